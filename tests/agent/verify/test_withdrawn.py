"""A repository that changed its type has no pointer of the former one left; each that is there counts."""

from pathlib import Path

import pytest

from packrat_agent.verify.withdrawn import is_withdrawn_type

LEFT = ("packages/t/tool-1.tar.gz", "v2/web/manifests/sha256:00", "v2/web/blobs/sha256:00")
DIRECTORIES = ("simple/tool", "v2/web/tags")


@pytest.fixture
def top(tmp_path: Path) -> Path:
    """A mirror with what a Python index and a docker repository leave for the grace period."""
    for name in LEFT:
        put(tmp_path, name)
    for name in DIRECTORIES:
        (tmp_path / "repo" / name).mkdir(parents=True, exist_ok=True)
    return tmp_path


def put(top: Path, name: str) -> None:
    path = top / "repo" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_a_type_without_pointers_is_withdrawn(top: Path) -> None:
    assert is_withdrawn_type(top, "pypi", "repo")
    assert is_withdrawn_type(top, "docker", "repo")


@pytest.mark.parametrize(
    ("kind", "pointer"),
    [
        ("pypi", "simple/index.html"),
        ("pypi", "simple/index.v1_json"),
        ("pypi", "simple/tool/index.html"),
        ("pypi", "simple/tool/index.v1_json"),
        ("docker", "v2/_catalog"),
        ("docker", "v2/index.html"),
        ("docker", "v2/web/tags/list"),
    ],
)
def test_a_type_with_one_pointer_is_not_withdrawn(kind: str, pointer: str, top: Path) -> None:
    put(top, pointer)
    assert not is_withdrawn_type(top, kind, "repo")


@pytest.mark.parametrize("kind", ["apt", "yum", "json"])
def test_other_types_are_not_withdrawn_as_a_whole(kind: str, top: Path) -> None:
    assert not is_withdrawn_type(top, kind, "repo")
