"""rehearsed: what a rehearsal read counts only as long as nobody has touched the file."""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from packrat_agent.model.entries import Fragment, Product
from packrat_agent.model.records import PackageFile
from packrat_agent.state.fragments import FragmentSource
from packrat_agent.sync.takeover.rehearsed import Rehearsed
from packrat_core.fs.verified import is_settled

SHA, OTHER = "1" * 64, "2" * 64
SOURCE = FragmentSource("apt", 2)
RECORD = PackageFile("/f/1/", "tool", "bookworm", "1.0", "deb", "all", "/files/tool.deb", "tool.deb", SHA)
FRAGMENT = Fragment(b"Package: tool\n", "tool", "1.0", "all", size=7)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tool.deb"
    path.write_bytes(b"content")
    while not is_settled(path.stat().st_ctime_ns):
        pass
    return path


def note(
    memory: Rehearsed,
    file: Path,
    source: FragmentSource = SOURCE,
    fragment: Fragment = FRAGMENT,
    products: Mapping[str, bytes] | None = None,
) -> None:
    memory.note(source, SHA, file.name, file.stat(), fragment, products or {})


def test_fragments_are_recalled_by_hash_and_source(file: Path) -> None:
    memory = Rehearsed()
    note(memory, file)
    assert memory.recall(file.parent, SOURCE, {SHA, OTHER}) == {SHA: FRAGMENT}
    assert memory.recall(file.parent, SOURCE, {OTHER}) == {}
    assert memory.recall(file.parent, replace(SOURCE, version=3), {SHA}) == {}


def test_a_file_that_was_written_to_counts_no_more_whatever_its_times_say(file: Path) -> None:
    memory, status = Rehearsed(), file.stat()
    note(memory, file)
    file.write_bytes(b"CONTENT")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert memory.recall(file.parent, SOURCE, {SHA}) == {}


def test_a_file_that_was_replaced_or_is_gone_counts_no_more(file: Path) -> None:
    memory = Rehearsed()
    note(memory, file)
    spare = file.with_name("spare")
    file.rename(spare)
    assert memory.recall(file.parent, SOURCE, {SHA}) == {}
    file.symlink_to(spare)
    assert memory.recall(file.parent, SOURCE, {SHA}) == {}


def test_records_are_given_once_while_the_server_stands_where_it_stood() -> None:
    memory = Rehearsed(position="7")
    memory.note_records("apt-dev", [RECORD])
    memory.keep_records("7")
    assert memory.take_records("apt-prod") == {}
    assert memory.take_records("apt-dev") == {RECORD.uri: RECORD}
    assert memory.take_records("apt-dev") == {}


@pytest.mark.parametrize(("before", "after"), [("7", "8"), ("7", None), (None, None), (None, "7")])
def test_records_are_forgotten_where_the_server_moved_or_tells_no_position(
    before: str | None, after: str | None
) -> None:
    memory = Rehearsed(position=before)
    memory.note_records("apt-dev", [RECORD])
    memory.keep_records(after)
    assert memory.take_records("apt-dev") == {}


def test_records_beyond_the_limit_are_read_again() -> None:
    memory = Rehearsed(position="7", records_left=2)
    others = [replace(RECORD, uri=f"/f/{number}/") for number in range(4)]
    memory.note_records("apt-dev", others[:1])
    memory.note_records("apt-dev", others[1:])
    assert set(memory.take_records("apt-dev")) == {"/f/0/", "/f/1/"}


WITH_METADATA = replace(
    FRAGMENT, products=(Product(".metadata", OTHER, 7, beside=True), Product("tool.whl", "", 7, beside=True))
)


def test_products_of_a_file_are_held_with_it(file: Path) -> None:
    memory = Rehearsed()
    note(memory, file, fragment=WITH_METADATA, products={OTHER: b"Name: x"})
    assert memory.recall(file.parent, SOURCE, {SHA}) == {SHA: WITH_METADATA}
    assert memory.products == {OTHER: b"Name: x"}


def test_products_of_a_file_count_towards_the_limit(file: Path) -> None:
    for limit, products in ((len(FRAGMENT.body) + 7, {OTHER: b"Name: x"}), (len(FRAGMENT.body) + 6, {})):
        memory = Rehearsed(limit_bytes=limit)
        note(memory, file, fragment=WITH_METADATA, products={OTHER: b"Name: x"})
        assert memory.products == products
        assert bool(memory.recall(file.parent, SOURCE, {SHA})) is bool(products)


def test_signed_files_and_products_on_disk_are_not_held(file: Path) -> None:
    memory = Rehearsed()
    note(memory, file, replace(SOURCE, signer="A" * 40))
    note(memory, file, fragment=WITH_METADATA)
    assert memory.recall(file.parent, SOURCE, {SHA}) == {}
    assert memory.recall(file.parent, replace(SOURCE, signer="A" * 40), {SHA}) == {}


def test_no_more_is_held_than_the_limit(file: Path) -> None:
    memory = Rehearsed(limit_bytes=len(FRAGMENT.body) + 1)
    note(memory, file)
    memory.note(SOURCE, OTHER, file.name, file.stat(), FRAGMENT, {})
    assert memory.recall(file.parent, SOURCE, {SHA, OTHER}) == {SHA: FRAGMENT}
