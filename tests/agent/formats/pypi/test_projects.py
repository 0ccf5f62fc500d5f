"""A Python repository after changes is what is built from nothing, and little of it is held in memory."""

import gc
import resource
import tracemalloc
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.formats.pypi.test_render import NoChunks
from packrat_agent.formats.interface import Change, RenderRequest, RenderSettings
from packrat_agent.formats.pypi import render as render_module
from packrat_agent.formats.pypi.format import PypiFormat
from packrat_agent.formats.pypi.pages import Page, write_project
from packrat_agent.model.entries import Entry, Fragment, Product
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.model.tree import Publication, Touched, TreeFile, publications_of
from packrat_core.errors import DiskError
from support.standing_entries import Standing

VERSIONS = tuple(DistroVersion(name, "none", None, "python") for name in ("pypi", "other"))
REPO = Repo("pypi-dev", "Python", "pypi-dev", "pypi", VERSIONS)
FORM = PypiFormat()


def entry(number: int, package: str, name: str, file_name: str, clients: str = "", about: bytes = b"") -> Entry:
    """An entry of a project `name`; `clients` is the file name that clients need, `about` what it requires."""
    distro_version = VERSIONS[number % 2].name
    record = PackageFile(
        *(f"/f/{number}", package, distro_version, "1.0", "python", "all"),
        *(f"/files/{file_name}", file_name, f"{number:064x}"),
    )
    products = (Product(clients, "", 7, beside=True),) if clients else ()
    fragment = Fragment(b"sdist\n" + about, name, "1.0", "all", products, size=7)
    return Entry(record, FORM.place(REPO, record), fragment)


POOL = [
    entry(number, package, name, f"my-tool-{version}.tar.gz", clients)
    for number, (package, name, version, clients) in enumerate(
        # Where one stood on older mirrors, another one stands; and several stood at the same place.
        (package, name, version, clients)
        for package in ("my-tool", "my", "my_tool", "other")
        for name in ("my-tool", "other")
        for version in ("1", "2")
        for clients in ("", "my-tool-1.0.tar.gz")
    )
]


def request(
    entries: Sequence[Entry], memo: dict[str, Any], change: Change | None = None, standing: Sequence[Entry] = ()
) -> RenderRequest:
    asked = RenderRequest(REPO, entries, RenderSettings("", signed=False), datetime.now(UTC), NoChunks(), memo=memo)
    return replace(asked, change=change, standing=Standing(list(standing)))


def whole(entries: Sequence[Entry], standing: Sequence[Entry] = ()) -> dict[str, Publication]:
    rendered = FORM.render(request(entries, {}, None, standing))
    assert not isinstance(rendered, Touched)
    return {publication.name: publication for publication in rendered}


NUMBERS = st.sampled_from(range(len(POOL)))


@given(st.sets(NUMBERS, min_size=4), st.lists(st.sets(NUMBERS, min_size=1, max_size=2), min_size=1, max_size=6))
def test_any_sequence_of_changes_gives_what_is_built_from_nothing(first: set[int], steps: list[set[int]]) -> None:
    memo: dict[str, Any] = {}
    there = [POOL[number] for number in sorted(first)]
    rendered = FORM.render(request(there, memo))
    assert not isinstance(rendered, Touched)
    published = {publication.name: publication for publication in rendered}
    for step in steps:
        toggled = [POOL[number] for number in sorted(step)]
        change = Change([one for one in toggled if one in there], [one for one in toggled if one not in there])
        there = [one for one in POOL if (one in there) != (one in toggled)]
        touched = FORM.render(request(change.new, memo, change, [one for one in there if one not in change.new]))
        assert isinstance(touched, Touched)
        published |= {publication.name: publication for publication in touched.publications}
        for name in touched.ended:
            del published[name]
        assert published == whole(there)
        assert published == whole(there[::2], there[1::2])


def test_no_link_takes_the_place_of_a_file_that_was_renamed_for_clients() -> None:
    other = entry(0, "other", "other", "my-tool-1.0.tar.gz")
    renamed = entry(1, "my", "my-tool", "my-tool-1.0.tar_aBcDeFg.gz", "my-tool-1.0.tar.gz")
    memo: dict[str, Any] = {}
    FORM.render(request([other], memo))
    steps: tuple[tuple[Sequence[Entry], Sequence[Entry], list[str]], ...] = (
        ((), (renamed,), []),
        ((renamed,), (), ["packages/my/my-tool-1.0.tar.gz"]),
    )
    for gone, new, links in steps:
        touched = publications_of(FORM.render(request(new, memo, Change(gone, new), [other])))
        built = whole([*new], [other]), whole([], [*new, other]), whole([*new, other])
        for found in ({one.name: one for one in touched}, *built):
            assert [file.path for file in found["other"].content] == links


def test_the_pages_of_a_build_from_nothing_are_not_held_in_memory() -> None:
    many = [
        entry(number, f"p{number}", f"p{number}", f"p{number}-1.0.tar.gz", "", b"x" * 20_000) for number in range(60)
    ]
    tracemalloc.start()
    try:
        published = whole(many)
        contents = [file.content for one in published.values() for file in one.pointers if isinstance(file, TreeFile)]
        size = sum(content.size + len(content.digest) for content in contents)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert size > 60 * 2 * 20_000
    assert held < size / 4


def test_pages_that_the_disk_had_no_room_for_are_whole_when_it_has() -> None:
    many = [entry(number, "p", "p", f"p-{number}.tar.gz") for number in range(3)]
    asked = request(many, {})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(DiskError):
            FORM.render(asked)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    [page] = [
        file.content for file in publications_of(FORM.render(asked))[0].pointers[:1] if isinstance(file, TreeFile)
    ]
    assert bytes(page).count(b"p-") >= 3


def test_files_held_in_memory_take_little_room() -> None:
    many = [
        entry(number, f"project{number}", f"project{number}", f"project{number}-1.0.tar.gz") for number in range(999)
    ]
    # Those of a project whose files stood elsewhere on older mirrors.
    many += [entry(number, "a-project", "a-project", f"a_project-{number}.tar.gz") for number in range(1000, 5000)]
    memo: dict[str, Any] = {}
    tracemalloc.start()
    try:
        FORM.render(request((), memo, None, many))
        gc.collect()
        [held] = [sum(one.size for one in tracemalloc.take_snapshot().statistics("filename"))]
    finally:
        tracemalloc.stop()
    assert held / len(many) < 120


def test_a_project_that_is_published_as_it_is_has_no_page_written(monkeypatch: pytest.MonkeyPatch) -> None:
    there = [entry(number, name, name, f"{name}-{number}.tar.gz") for number in range(6) for name in ("one", "two")]
    known = {name: publication.identity for name, publication in whole(there).items()}
    known["two"] = "another one"
    written: list[str] = []

    def write(project: str, found: Iterable[tuple[str, Entry]]) -> Page:
        written.append(project)
        return write_project(project, found)

    monkeypatch.setattr(render_module, "write_project", write)
    asked = replace(request((), {}, None, there), is_published=lambda name, identity: known[name] == identity)
    rendered = publications_of(FORM.render(asked))
    assert written == ["two"]
    # Whoever asks all the same, since it was found damaged in between, gets what belongs there.
    assert {publication.name: publication for publication in rendered} == whole(there)


class Counted(Standing):
    """Notes how many entries are read together."""

    together: ClassVar[list[int]] = []

    def of(self, packages: Collection[str]) -> list[Entry]:
        found = super().of(packages)
        self.together.append(len(found))
        return found


def test_many_small_projects_are_read_together_and_large_ones_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render_module, "_FILES", 20)
    sizes = {"a": 15, "b": 15, "c": 50, **{f"d{number}": 4 for number in range(5)}}
    files = [(name, number) for name, size in sizes.items() for number in range(size)]
    there = [entry(at, name, name, f"{name}-{number}.tar.gz") for at, (name, number) in enumerate(files)]
    monkeypatch.setattr(Counted, "together", [])
    rendered = publications_of(FORM.render(replace(request((), {}), standing=Counted(there))))
    assert Counted.together == [15, 15, 50, 20]
    assert {publication.name: publication for publication in rendered} == whole(there)
