"""The text of the sealed list: what is written comes back, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.state.sealed_text import (
    FIRST_LINE,
    SealedText,
    read_sealed_text,
    write_in_portions,
)

SHA256 = st.text("0123456789abcdef", min_size=64, max_size=64)
NAMES = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=30)
LABELS = st.sampled_from(["yum-1-none", "docker-1-none", "yum-1-unsigned " + "F" * 40])


def written(sealed: SealedText) -> bytes:
    return b"".join(write_in_portions(sealed.mirror, sealed.backups, sorted(sealed.names.items())))


@given(
    NAMES,
    st.dictionaries(LABELS, st.dictionaries(SHA256, SHA256, min_size=1, max_size=5), max_size=3),
    st.dictionaries(NAMES, SHA256, max_size=5),
)
def test_a_written_list_reads_back_the_same(
    mirror: str, backups: dict[str, dict[str, str]], names: dict[str, str]
) -> None:
    sealed = SealedText(mirror, backups, names)
    text = written(sealed)
    assert read_sealed_text(text) == sealed
    assert text == written(SealedText(mirror, dict(reversed(backups.items())), names))


def test_a_large_list_comes_back() -> None:
    sealed = SealedText("lab", {}, {f"apt-dev/pool/{number}": f"{number:064x}" for number in range(2500)})
    text = written(sealed)
    assert read_sealed_text(text) == sealed


@given(st.one_of(st.binary(max_size=100), st.text(max_size=100).map(lambda text: f"{FIRST_LINE}\n{text}".encode())))
def test_nonsense_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        read_sealed_text(data)


_HASHES = ("a" * 64, "b" * 64)
_LINES = ["names", "backups yum-1-none", "backups docker-1-none", *(f"{sha256} x" for sha256 in _HASHES), "", "names x"]
_LINES += [" ".join(_HASHES), f"{_HASHES[0]} with a blank", f"{_HASHES[0]}", f"{'A' * 64} x"]


@given(st.lists(st.sampled_from(_LINES), max_size=8))
def test_what_is_read_stands_in_the_list_where_it_belongs(lines: list[str]) -> None:
    try:
        read = read_sealed_text("\n".join([FIRST_LINE, "mirror lab", *lines]).encode())
    except ValueError:
        # A line that fits nowhere, or fits only before the names, is the only reason.
        of_names = lines[lines.index("names") :] if "names" in lines else []
        assert {*_LINES[-2:], "names x"} & {*lines} or any(line.startswith("backups ") for line in of_names)
        return
    at = lines.index("names") if "names" in lines else len(lines)
    assert read.mirror == "lab"
    assert {f"{sha256} {path}" for path, sha256 in read.names.items()} <= {*lines[at:]}
    assert {path for line in lines[at:] if (path := line.partition(" ")[2])} == read.names.keys()
    assert {f"backups {label}" for label in read.backups} == {line for line in lines[:at] if line[:8] == "backups "}
    for label, found in read.backups.items():
        first = lines.index(f"backups {label}")
        assert {f"{sha256} {digest}" for sha256, digest in found.items()} <= {*lines[first:at]}


@pytest.mark.parametrize(
    "text",
    [
        b"Origin: Packrat\nSuite: bookworm\n",
        b"packrat-agent sealed list 2\nmirror lab\nnames\n",
        f"{FIRST_LINE}\nnames\n".encode(),
        f"{FIRST_LINE}\nmirror lab\nnames\n{'a' * 63} path\n".encode(),
        f"{FIRST_LINE}\nmirror lab\nnames\nbackups yum-1-none\n".encode(),
    ],
)
def test_a_malformed_sealed_list_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        read_sealed_text(text)
