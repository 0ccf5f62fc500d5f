"""Fuzz targets: mirror.conf, and what is read back from below root_dir."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st

from packrat_agent.config.describe import describe
from packrat_agent.config.fields import FIELDS
from packrat_agent.config.load import load
from support.fuzz.engine import Target

_SHIPPED = Path(__file__).parents[3] / "packaging/mirror.conf"
_LINES = st.one_of(
    st.sampled_from(["[packrat]", "[mirror]", "[repo x]", "[", "]", "host: h", "name: lab", "root_dir: /x", "# c"]),
    st.tuples(st.sampled_from([row.key for row in FIELDS]), st.sampled_from(":="), st.text(max_size=20)).map("".join),
)
_CONF = st.lists(_LINES, max_size=25).map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass"))


@contextmanager
def text_targets(directory: Path) -> Iterator[list[Target]]:
    """The reader of mirror.conf."""
    path = directory / "mirror.conf"
    needed = f"[packrat]\nhost: packrat\nname: lab\n[mirror]\nroot_dir: {directory}/www\n"
    needed += f"state_db: {directory}/state/state.db\n"
    more = "grace_period: 3600\nmax_file_size: 1M\npublic_url: https://repo.example.com/a\n"
    proxy = needed.replace("name: lab\n", "name: lab\npsk: x\nproxy: http://u:p@proxy:3128\n")
    commented = "".join(f"# {line}\n" for line in _SHIPPED.read_text().splitlines())

    def read(data: bytes) -> None:
        path.write_bytes(data)
        describe(load(path))

    samples = [text.encode() for text in (proxy + more, needed + commented)]
    yield [Target("texts.mirror_conf", samples, read, _CONF)]
