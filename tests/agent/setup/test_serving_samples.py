"""What somebody has put below root_dir keeps `doctor` neither waiting nor ends it."""

import os
from pathlib import Path

import pytest

from packrat_agent.setup.doctor import serving
from packrat_agent.status.values import RepoStatus


def test_a_sample_is_read_only_if_it_is_a_file_that_can_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_SAMPLE_LIMIT", 3)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"four")
    (tmp_path / "good").write_bytes(b"abc")
    (tmp_path / "link").symlink_to("good")
    (tmp_path / "nowhere").symlink_to("missing")
    (tmp_path / "round").symlink_to("round")
    names = ("pipe", "large", "good", "link", "nowhere", "round", "missing")
    assert {name: serving._read(tmp_path / name) for name in names} == {
        **dict.fromkeys(names),
        "good": b"abc",
        "link": b"abc",
    }
    assert serving._mtime_ns(tmp_path / "nowhere") == 0
    assert max(tmp_path.glob("[gn]o*"), key=serving._mtime_ns).name == "good"


@pytest.mark.parametrize("text", [b"[" * 100_000, b"{", b'{"tags": []}', b"\xff"])
def test_a_list_of_tags_that_is_none_ends_nothing(tmp_path: Path, text: bytes) -> None:
    listed = tmp_path / "docker/v2/image/tags/list"
    listed.parent.mkdir(parents=True)
    listed.write_bytes(text)
    assert list(serving._look_at_registry("http://127.0.0.1:9", tmp_path, _repo("docker"))) == []


def test_a_name_in_no_encoding_ends_nothing(tmp_path: Path) -> None:
    suite = tmp_path / os.fsdecode(b"apt/dists/\xff/InRelease")
    suite.parent.mkdir(parents=True)
    suite.write_bytes(b"")
    [told] = serving._look_at_repo("http://127.0.0.1:9", tmp_path, _repo("apt"))
    assert "apt/dists/%FF/InRelease can't be fetched" in told.text


def _repo(kind: str) -> RepoStatus:
    """A repository that stands in a directory of the name of its kind."""
    return RepoStatus(kind, kind, kind, 0, 0, 0, 0, None, None, None, None, None, None, 0, 0)
