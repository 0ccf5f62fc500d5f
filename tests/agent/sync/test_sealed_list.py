"""The sealed list: what a former one says stays in it until all repositories are known again."""

import os
from contextlib import closing
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

import pytest

from packrat_agent.model.entries import Fragment, Product
from packrat_agent.model.records import PackageFile, Repo, Wanted
from packrat_agent.state.fragment_backup import MADE_DIR
from packrat_agent.state.fragments import FragmentSource
from packrat_agent.state.store import Store
from packrat_agent.sync import sealed_list
from packrat_agent.sync.sealed_list import SEALED, Sealer, Seals

SHA, BACKUP = "a" * 64, "b" * 64
MAIN, OWN = FragmentSource("yum", 1, "A" * 40), FragmentSource("yum", 1, "B" * 40)
"""Signed by the main key, and by the key that one repository has of its own."""
SIGNED = Fragment(b"body", "hello", "1", "x86_64", (Product("", "c" * 64, 12),), size=7)


@pytest.mark.parametrize("is_whole", [True, False])
def test_backups_of_a_repository_that_is_not_known_yet_stay_sealed(tmp_path: Path, is_whole: bool) -> None:
    (tmp_path / "root").mkdir()
    sealer = Sealer(None, tmp_path / "secret")

    def seals(store: Store) -> Seals:
        return Seals(tmp_path / "root", store, sealer, "mirror")

    store = Store(tmp_path / "state.db")
    fill(store, OWN)
    seals(store).seal([MAIN, OWN], is_whole=True)
    assert seals(store).backups(OWN) == {SHA: BACKUP}
    store.close()

    lost = Store(tmp_path / "new.db")
    fill(lost, MAIN)
    seals(lost).seal([MAIN], is_whole=is_whole)
    assert seals(lost).backups(MAIN) == {SHA: BACKUP}
    assert seals(lost).backups(OWN) == ({} if is_whole else {SHA: BACKUP})
    lost.close()


def test_a_list_is_sealed_again_only_where_it_says_something_else(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    path = root / MADE_DIR / SEALED
    with closing(Store(tmp_path / "state.db")) as store:
        sealed = Seals(root, store, Sealer(None, tmp_path / "secret"), "mirror")

        def is_written_by_next() -> bool:
            before = path.stat().st_ino if path.exists() else None
            sealed.seal([MAIN], is_whole=True)
            return path.exists() and path.stat().st_ino != before

        assert not is_written_by_next(), "there is nothing to seal"
        store.published_names.add((f"yum-dev/{number}", SHA) for number in range(12_000))
        assert is_written_by_next()
        assert not is_written_by_next()
        store.published_names.add([("yum-dev/ü/new", BACKUP), ("yum-dev/\U0001f600", SHA), ("yum-dev/\ufb01", SHA)])
        assert is_written_by_next()
        assert not is_written_by_next()
        assert not is_written_by_next(), "nor where it was found sealed before"
        path.write_bytes(path.read_bytes()[:-1])
        assert is_written_by_next()
        assert not is_written_by_next()
        fill(store, MAIN)
        assert is_written_by_next()
        assert not is_written_by_next()
        path.write_bytes(path.read_bytes()[:-1])
        assert is_written_by_next()
        path.unlink()
        assert is_written_by_next()
        other = Seals(root, store, Sealer(None, tmp_path / "other"), "mirror")
        before = path.read_bytes()
        other.seal([MAIN], is_whole=True)
        assert path.read_bytes() != before


def test_a_list_that_goes_on_growing_is_read_to_its_former_end_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, sealer = tmp_path / "root", Sealer(None, tmp_path / "secret")
    root.mkdir()
    with closing(Store(tmp_path / "state.db")) as store:
        fill(store, MAIN)
        Seals(root, store, sealer, "mirror").seal([MAIN], is_whole=True)
    path = root / MADE_DIR / SEALED
    path.write_bytes(path.read_bytes() + b"x" * 1_000_000)

    class Growing(FileIO):
        def readinto(self, buffer: Any) -> int | None:
            assert self.tell() < 10_000_000
            os.truncate(path, path.stat().st_size + 1_000_000)
            return super().readinto(buffer)

    monkeypatch.setattr(sealed_list, "open_regular", lambda path: BufferedReader(Growing(path)))
    with closing(Store(tmp_path / "new.db")) as store:
        assert Seals(root, store, sealer, "mirror").backups(MAIN) == {}


@pytest.mark.timeout(30)
def test_a_list_without_an_end_is_not_read_to_it(tmp_path: Path) -> None:
    """A sparse file of 15 TiB takes no room on the disk, and days to hash."""
    root, sealer = tmp_path / "root", Sealer(None, tmp_path / "secret")
    root.mkdir()
    with closing(Store(tmp_path / "state.db")) as store:
        fill(store, MAIN)
        Seals(root, store, sealer, "mirror").seal([MAIN], is_whole=True)
        os.truncate(root / MADE_DIR / SEALED, 15 << 40)
        assert Seals(root, store, sealer, "mirror").backups(MAIN) == {}
        Seals(root, store, sealer, "mirror").seal([MAIN], is_whole=True)
        assert Seals(root, store, sealer, "mirror").backups(MAIN) == {SHA: BACKUP}


def fill(store: Store, source: FragmentSource) -> None:
    """Have a repository that wants a package file, whose backup stands in root_dir."""
    store.repos.save([Repo("yum-dev", "", "yum-dev", "yum", ())])
    file = PackageFile("/f/1", "hello", "rhel9", "1", "rpm", "x86_64", "/files/x.rpm", "x.rpm", SHA)
    store.wanted.remember_wanted("yum-dev", Wanted(frozenset({file.uri}), (file,), ()), None)
    store.fragments.save(source, {SHA: SIGNED})
    store.fragments.note_backups(source, {SHA: BACKUP})
