"""What others plant in a tree does not keep `verify` from looking at all of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_agent.verify.docker_policy import find_signature
from packrat_agent.verify.findings import Subject
from packrat_agent.verify.withdrawn import is_withdrawn_suite
from packrat_core.fs.links import remove_tree
from support.deep_directories import plant

DEPTH = 1100
"""More levels than the interpreter has frames; what has as many again is beyond the longest path."""


@pytest.fixture
def top(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "top"
    # pytest itself could not.
    remove_tree(tmp_path / "top")


def test_a_withdrawn_suite_is_one_however_deep_its_directories_are(top: Path) -> None:
    plant(top / "suite", DEPTH)
    assert is_withdrawn_suite(top, "suite")
    (top / "suite/d/d/Packages").touch()
    assert not is_withdrawn_suite(top, "suite")


def test_a_link_that_leads_nowhere_is_a_file_of_a_suite(top: Path) -> None:
    (top / "suite").mkdir(parents=True)
    (top / "suite/link").symlink_to("link")
    assert not is_withdrawn_suite(top, "suite")


def test_signatures_are_found_beside_deep_directories(top: Path) -> None:
    plant(top / "sigstore", DEPTH)
    assert find_signature(Subject(top, None), "sigstore") is None
    (top / "sigstore/image@sha256=1").mkdir()
    (top / "sigstore/image@sha256=1/signature-1").write_bytes(b"signed")
    assert find_signature(Subject(top, None), "sigstore") == b"signed"
