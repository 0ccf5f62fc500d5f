"""`verify` takes yanked files for good if both pages of a project say the same of them, in a form that clients read."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from packrat_agent.verify.findings import Fault, Subject
from packrat_agent.verify.pypi import audit_pypi
from packrat_agent.verify.pypi_spelling import spell_project, spell_root
from packrat_agent.verify.signatures import Keyring

NAMES = ("a-1.tar.gz", "a-2.tar.gz")


def file(name: str, yanked: object) -> dict[str, Any]:
    address = f"../../packages/a/{name}"
    return {"filename": name, "url": address, "hashes": {"sha256": "0" * 64}, "size": 1, "yanked": yanked}


def write(top: Path, marks: tuple[object, object]) -> Path:
    """Write an index of one project; gives the directory of its page."""
    pages = {"simple": spell_root(["a"]), "simple/a": spell_project("a", ["1", "2"], list(map(file, NAMES, marks)))}
    for place, (as_json, as_html) in pages.items():
        (top / "r" / place).mkdir(parents=True)
        (top / "r" / place / "index.v1_json").write_bytes(as_json)
        (top / "r" / place / "index.html").write_bytes(as_html)
    return top / "r/simple/a"


def faults(top: Path) -> list[str]:
    return [finding.what for finding in audit_pypi(Subject(top, Keyring(b"")), "r") if isinstance(finding, Fault)]


@pytest.mark.parametrize("mark", [True, False, 'torn, "really" <torn>'], ids=str)
def test_a_mark_and_a_reason_are_good(tmp_path: Path, mark: object) -> None:
    write(tmp_path, (False, mark))
    assert faults(tmp_path) == []


@pytest.mark.parametrize("mark", [None, 0, 1, "", "two\nlines", ["x"], {}], ids=str)
def test_a_yank_that_is_neither_mark_nor_reason_is_a_fault(tmp_path: Path, mark: object) -> None:
    write(tmp_path, (False, mark))
    assert [what for what in faults(tmp_path) if "neither true, false nor a reason" in what]


@pytest.mark.parametrize(
    "lie",
    [
        lambda page: page.replace(' data-yanked=""', ""),
        lambda page: page.replace(' data-yanked=""', ' data-yanked="torn"'),
        lambda page: page.replace(' data-yanked=""', "").replace(">a-1.tar.gz<", ' data-yanked="">a-1.tar.gz<'),
        lambda page: page.replace(">a-1.tar.gz<", ' data-yanked="">a-1.tar.gz<'),
    ],
    ids=["none", "reason", "another", "both"],
)
def test_a_page_that_yanks_other_files_is_reported(tmp_path: Path, lie: Callable[[str], str]) -> None:
    page = write(tmp_path, (False, True)) / "index.html"
    page.write_text(lie(page.read_text()))
    assert faults(tmp_path) == ["yanks other files than index.v1_json, or for other reasons"]
