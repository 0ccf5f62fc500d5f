"""Changing keys of mirror.conf leaves every other line as it is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.config.edit import change, save
from packrat_agent.config.ini import parse
from packrat_core.errors import ConfigError

_KEYS = {"mirror": frozenset({"a", "b", "c", "d"}), "repo NAME": frozenset({"a", "b", "c", "d"})}
_VALUES = st.sampled_from(["1", "x y", "AB: C", "# not a comment"])
_CHANGES = st.dictionaries(st.sampled_from("abc"), st.none() | _VALUES, min_size=1)
_ENDS = st.sampled_from(["\n", "\r\n"])


@st.composite
def _files(draw: st.DrawFn) -> str:
    """A file of two sections, in which each key stands once at most, with comments and values of several lines."""
    end, lines = draw(_ENDS), []
    for section in draw(st.permutations(["mirror", "repo x"])):
        lines.append(f"[{section}]")
        for key in draw(st.permutations("abcd")):
            if key != "a" and draw(st.booleans()):
                continue
            lines.append(f"{key}{draw(st.sampled_from([':', ' = ']))}{draw(_VALUES)}")
            more = ["", "  more", "# a comment", "# a comment,\n  more", "  more\n a: more"]
            lines += draw(st.sampled_from(more)).split("\n")
    return end.join(lines) + draw(st.sampled_from(["", end]))


def _read(text: str) -> dict[tuple[str, str], list[str]]:
    found, faults = parse(text, Path("mirror.conf"), _KEYS, frozenset())
    assert not faults
    return {name: [value.text for value in values] for name, values in found.items()}


@given(_files(), st.sampled_from(["mirror", "repo x"]), _CHANGES)
def test_the_named_keys_change_and_no_other(text: str, section: str, values: dict[str, str | None]) -> None:
    values = {"a": "new", **values}
    expected = _read(text)
    for key, value in values.items():
        expected.pop((section, key), None)
        if value is not None:
            expected[section, key] = [value]
    changed = change(text, section, values)
    assert _read(changed) == expected
    if "a" in values and values["a"] is not None:
        assert change(changed, section, values) == changed


def test_new_keys_stand_behind_the_first_one() -> None:
    text = "[mirror]\n# ours\na: 1\n\n[repo x]\na: 2\n"
    assert change(text, "mirror", {"a": "3", "b": "4"}) == "[mirror]\n# ours\na: 3\nb: 4\n\n[repo x]\na: 2\n"


def test_a_section_without_any_of_them_is_not_changed() -> None:
    with pytest.raises(ConfigError, match=r"\[repo y\] has none of a"):
        change("[mirror]\na: 1\n", "repo y", {"a": "2"})


def test_a_file_keeps_its_mode_and_may_be_reached_by_a_link(tmp_path: Path) -> None:
    path, link = tmp_path / "real.conf", tmp_path / "mirror.conf"
    path.write_text("old")
    path.chmod(0o640)
    link.symlink_to(path)
    save(link, "new")
    assert (link.is_symlink(), path.read_text(), path.stat().st_mode & 0o777) == (True, "new", 0o640)
    assert sorted(found.name for found in tmp_path.iterdir()) == ["mirror.conf", "real.conf"]


_SWAPPED = """
import os, sys
from pathlib import Path
from packrat_agent.config.edit import save

conf, victim = Path(sys.argv[1]), sys.argv[2]
spare = conf.with_name(f".{conf.name}.new")
swapped = []

def swap(event, arguments):
    # Just before the system is told to change owner or mode.
    if event in ("os.chown", "os.chmod") and not swapped:
        swapped.append(event)
        spare.unlink()
        spare.symlink_to(victim)

sys.addaudithook(swap)
save(conf, "new")
print(*swapped)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_a_link_that_the_directorys_owner_swaps_in_gives_that_user_no_file_of_roots(tmp_path: Path) -> None:
    directory, victim = tmp_path / "etc", tmp_path / "shadow"
    directory.mkdir()
    conf = directory / "mirror.conf"
    conf.write_text("old")
    conf.chmod(0o644)
    for path in (directory, conf):
        os.chown(path, 65534, 65534)
    victim.write_text("secret")
    victim.chmod(0o600)
    command = [sys.executable, "-c", _SWAPPED, str(conf), str(victim)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split(), "nothing was swapped in"
    found = victim.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (0, 0, 0o600)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
def test_a_file_that_root_changes_keeps_its_owner(tmp_path: Path) -> None:
    conf = tmp_path / "mirror.conf"
    conf.write_text("old")
    conf.chmod(0o640)
    os.chown(conf, 65534, 4242)
    save(conf, "new")
    found = conf.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777, conf.read_text()) == (65534, 4242, 0o640, "new")


def test_an_indented_key_stays_indented_or_the_next_ones_would_continue_it() -> None:
    text = "[mirror]\n  a: 1\n  b: 2\n  c: 3\n"
    changed = change(text, "mirror", {"a": "9", "d": "4"})
    assert changed == "[mirror]\n  a: 9\n  d: 4\n  b: 2\n  c: 3\n"
    assert {key: value for (_, key), value in _read(changed).items()} == {
        "a": ["9"],
        "b": ["2"],
        "c": ["3"],
        "d": ["4"],
    }
