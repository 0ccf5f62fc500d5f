"""Fuzz targets: mirror.conf, and what is read back from below root_dir."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st

from packrat_agent.config.describe import describe
from packrat_agent.config.fields import FIELDS
from packrat_agent.config.load import load
from packrat_agent.state.lock_files import holder_file, read_holder
from packrat_agent.state.sealed_text import FIRST_LINE, read_sealed_text
from support.fuzz.engine import Target

_SHIPPED = Path(__file__).parents[3] / "packaging/mirror.conf"
_LINES = st.one_of(
    st.sampled_from(["[packrat]", "[mirror]", "[repo x]", "[", "]", "host: h", "name: lab", "root_dir: /x", "# c"]),
    st.tuples(st.sampled_from([row.key for row in FIELDS]), st.sampled_from(":="), st.text(max_size=20)).map("".join),
)
_CONF = st.lists(_LINES, max_size=25).map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass"))
_SHA256 = "0a" * 32
_SEALED = f"{FIRST_LINE}\nmirror lab\nbackups yum-1-none\n{_SHA256} {_SHA256}\nnames\n{_SHA256} apt-dev/pool/a b.deb\n"
_LISTED = st.lists(st.sampled_from([*_SEALED.splitlines(), "", "x"]) | st.text(max_size=70), max_size=8)
_HOLDER = '{"pid": 70, "host": "mirror", "command": "run", "processes": "1-2 pid:[4026531836]"}'
_NUMBERS = st.sampled_from(["70", "-1", "1e999", "NaN", "null", "true", "[7]", "9" * 4000, '"7"'])


@contextmanager
def text_targets(directory: Path) -> Iterator[list[Target]]:
    """The readers of mirror.conf, and of texts below root_dir."""
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

    def name_holder(data: bytes) -> None:
        holder_file(directory / "lock").write_bytes(data)
        read_holder(directory / "lock")

    lists = _LISTED.map(lambda lines: "\n".join([FIRST_LINE, "mirror lab", *lines]).encode("utf-8", "surrogatepass"))
    holders = _NUMBERS.map(lambda number: _HOLDER.replace("70", number, 1).encode())
    yield [
        Target("texts.mirror_conf", samples, read, _CONF),
        Target("texts.sealed_list", [_SEALED.encode()], read_sealed_text, lists, (ValueError,)),
        Target("texts.holder", [_HOLDER.encode()], name_holder, holders, (OSError,)),
    ]
