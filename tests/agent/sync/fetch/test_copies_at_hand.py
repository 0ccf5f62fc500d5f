"""fetch: what stands on disk already, whole or in parts, is staged from there and not asked for."""

import hashlib
import os
from contextlib import nullcontext
from pathlib import Path

import pytest

from packrat_agent.sync.fetch import local_copies
from support.bundle_server import placement
from support.file_server import CONTENT, FileServer, run_fetch
from support.small_disk import small_disk


@pytest.mark.parametrize("is_whole", [True, False])
def test_parts_that_are_at_hand_are_staged_and_the_package_is_fetched_only_where_one_is_gone(
    tmp_path: Path, is_whole: bool
) -> None:
    whole = placement("image.tar", CONTENT)
    blobs = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("one", "two")}
    for name in blobs:
        (tmp_path / f"old-{name}").write_bytes(name.encode())
    if not is_whole:
        (tmp_path / "old-two").write_bytes(b"damaged")
    missing = {whole.file.uri: {f"repo/{name}": sha256 for name, sha256 in blobs.items()}}
    sources = {sha256: f"old-{name}" for name, sha256 in blobs.items()}
    server = FileServer({"/files/image.tar": CONTENT})
    fetched = run_fetch(server, tmp_path, whole, missing=missing, sources=sources)
    assert not fetched.failed
    if is_whole:
        assert {sha256: staged.read_bytes() for sha256, staged in fetched.staged.items()} == {
            sha256: name.encode() for name, sha256 in blobs.items()
        }
        assert server.asked == []
    else:
        assert set(fetched.staged) == {whole.file.sha256}
        assert server.asked == [("/files/image.tar", 0)]


@pytest.mark.parametrize("portion_bytes", [1, 3 * 3, 1 << 20])
def test_many_copies_are_staged_in_portions_and_what_is_damaged_or_gone_is_fetched(
    tmp_path: Path, portion_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local_copies, "_PORTION_BYTES", portion_bytes)
    contents = {f"{number:03}": b"%03d" % number for number in range(500)}
    wanted = [placement(name, content) for name, content in contents.items()]
    sources = {place.file.sha256: f"d{place.file.file_name[-1]}/{place.file.file_name}" for place in wanted[:450]}
    for place in sources.values():
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(contents[place[-3:]])
    (tmp_path / "d3/123").write_bytes(b"xyz")
    (tmp_path / "d4/124").unlink()
    told: list[tuple[int, int]] = []
    server = FileServer({place.file.url: contents[place.file.file_name] for place in wanted})
    fetched = run_fetch(server, tmp_path, *wanted, sources=sources, told=told, parallel=3)
    assert not fetched.failed
    assert {staged.read_bytes() for staged in fetched.staged.values()} == set(contents.values())
    assert sorted(path for path, _ in server.asked) == sorted(
        ["/files/123", "/files/124", *(place.file.url for place in wanted[450:])]
    )
    assert fetched.staged[wanted[0].file.sha256].samefile(tmp_path / "d0/000")
    assert sum(files for files, _ in told) == 500


_AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a filesystem")


@pytest.mark.parametrize("is_elsewhere", [False, pytest.param(True, marks=_AS_ROOT)], ids=["linked", "copied"])
def test_a_part_that_several_packages_need_at_once_is_staged_for_each(tmp_path: Path, is_elsewhere: bool) -> None:
    layer = CONTENT * 8
    sha256, wanted = hashlib.sha256(layer).hexdigest(), [placement(f"{n}.tar", b"%d" % n) for n in range(8)]
    missing = {place.file.uri: {f"{place.path}/layer": sha256} for place in wanted}
    (tmp_path / "disk").mkdir()
    with small_disk(tmp_path / "disk", "64m") if is_elsewhere else nullcontext():
        (tmp_path / "disk/layer").write_bytes(layer)
        server = FileServer({place.file.url: b"" for place in wanted})
        # Each task has the layer hashed before the first of them has staged it.
        found = run_fetch(server, tmp_path, *wanted, missing=missing, sources={sha256: "disk/layer"}, parallel=8)
        assert (server.asked, found.failed) == ([], {})
        assert found.staged[sha256].read_bytes() == layer
        assert [path.name for path in (tmp_path / "staging").iterdir()] == [sha256]
