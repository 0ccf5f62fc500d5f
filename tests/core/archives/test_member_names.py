"""Names and links that pass stay inside the directory that an archive is unpacked into."""

import ntpath
import posixpath

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from packrat_core.archives.member_names import normalize_name, resolve_link
from packrat_core.errors import Refused

TEXT = st.text("ab./\\:C\0 é", max_size=20) | st.text(max_size=20)


def is_inside(path: str) -> bool:
    """Whether a path stays inside, on Linux and on Windows."""
    posix = posixpath.normpath(posixpath.join("/top/x", path))
    windows = ntpath.normpath(ntpath.join("D:\\top\\x", path)).lower()
    return (posix + "/").startswith("/top/x/") and (windows + "\\").startswith("d:\\top\\x\\")


@settings(deadline=None)
@given(TEXT)
@example("..")
@example("a/..")
@example("C:x")
@example("a\\..\\..\\b")
@example("C:/x")
@example("//x")
def test_a_name_that_passes_stays_inside(name: str) -> None:
    try:
        found = normalize_name(name)
    except Refused:
        return
    assert name
    assert "\0" not in name
    assert is_inside(name)
    assert found == posixpath.normpath(name)
    assert ".." not in found.split("/")


@settings(deadline=None)
@given(st.lists(st.text("abcé.-_", min_size=1).filter(lambda part: ".." not in part), min_size=1).map("/".join))
def test_ordinary_names_pass(name: str) -> None:
    assert normalize_name(name) == posixpath.normpath(name)
    assert normalize_name(f"./{name}") == posixpath.normpath(name)
    assert normalize_name("..." + name)


@settings(deadline=None)
@given(st.sampled_from(["x", "a/x", "a/b/x"]), TEXT, st.booleans())
def test_a_link_that_passes_leads_inside(name: str, target: str, symbolic: bool) -> None:
    try:
        found = resolve_link(name, target, symbolic=symbolic)
    except Refused:
        return
    directory = posixpath.dirname(name) if symbolic else ""
    assert is_inside(posixpath.join(directory, target))
    assert (found or ".") == posixpath.normpath(posixpath.join(directory, target))


@pytest.mark.parametrize("target", ["..", "../..", "a/../../b", "..\\b", "/a", "\\a", "C:a", "a\0b"])
def test_a_link_that_leads_out_is_refused(target: str) -> None:
    assert resolve_link("a/link", "../b", symbolic=True) == "b"
    assert resolve_link("a/link", "b/./c//d", symbolic=False) == "b/c/d"
    with pytest.raises(Refused, match=r"leads out|absolute target"):
        resolve_link("link", target, symbolic=True)
    with pytest.raises(Refused, match=r"leads out|absolute target"):
        resolve_link("a/link", target, symbolic=False)
