"""What the pypi type renders is the tree that a person can read beside this file."""

import hashlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.formats.interface import Change, RenderRequest, RenderSettings
from packrat_agent.formats.pypi.format import PypiFormat
from packrat_agent.formats.pypi.pages import ListedFile, _file_json
from packrat_agent.model.entries import Entry
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.model.tree import Publication, Touched, TreeFile, TreeLink, publications_of
from packrat_core.errors import Refused
from packrat_demo.build_wheel import Python, build_sdist, build_wheel
from support.standing_entries import Standing

EXPECTED = Path(__file__).parent / "expected"
REPO = Repo("pypi-dev", "Python", "pypi-dev", "pypi", (DistroVersion("pypi", "none", None, "python"),))
FORM = PypiFormat()
FIRST = Python("Zope.Thing", "1.0", (), ">=3.8,<4")
SECOND = Python("zope-thing", "1.1.dev1", (), "")
LOCAL = Python("other", "2!1.0+local.1", (), ">=3.11")


class NoChunks:
    """Keeps nothing, and nothing is asked of it."""

    def get(self, coding: str, digest: str) -> bytes | None:
        raise AssertionError

    def put(self, coding: str, digest: str, chunk: bytes) -> None:
        raise AssertionError


def entry(name: str, data: bytes, directory: Path, created: str = "2026-11-22T11:20:20.264145Z") -> Entry:
    path = directory / name
    path.write_bytes(data)
    fragment = replace(FORM.read(path, directory), size=1000 + len(name))
    # Hashes of what is compressed depend on the version of zlib.
    digest = f"{len(name):064x}"
    file = PackageFile("/f/1", fragment.name, "pypi", fragment.version, "python", "all", f"/files/{name}", name, digest)
    file = replace(file, created=created)
    FORM.agree(file, fragment)
    return Entry(file, FORM.place(REPO, file), fragment)


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    return [
        entry(FIRST.wheel_name, build_wheel(FIRST), tmp_path),
        entry(FIRST.sdist_name, build_sdist(FIRST), tmp_path, ""),
        entry(SECOND.wheel_name, build_wheel(SECOND), tmp_path),
        entry(LOCAL.wheel_name, build_wheel(LOCAL), tmp_path),
    ]


def render(entries: list[Entry]) -> tuple[Publication, ...]:
    settings = RenderSettings("", signed=False)
    return publications_of(FORM.render(RenderRequest(REPO, entries, settings, datetime.now(UTC), NoChunks())))


def pages(publications: tuple[Publication, ...]) -> dict[str, bytes]:
    files = [file for publication in publications for file in publication.pointers]
    return {file.path: bytes(file.content) for file in files if isinstance(file, TreeFile)}


def test_the_tree_is_the_expected_one(entries: list[Entry]) -> None:
    found = pages(render(entries))
    expected = {str(path.relative_to(EXPECTED)): path.read_bytes() for path in EXPECTED.rglob("*") if path.is_file()}
    assert sorted(found) == sorted(expected)
    for path, content in found.items():
        assert content == expected[path], path


def test_the_order_of_the_files_does_not_matter(entries: list[Entry]) -> None:
    assert render(entries) == render(entries[::-1])


def test_the_root_comes_last_and_an_empty_repository_has_one(entries: list[Entry]) -> None:
    assert [publication.name for publication in render(entries)] == ["other", "zope-thing", "simple/"]
    assert [publication.name for publication in render([])] == ["simple/"]


def test_only_the_project_that_changed_has_another_identity(entries: list[Entry], tmp_path: Path) -> None:
    before = {publication.name: publication.identity for publication in render(entries)}
    newer = replace(LOCAL, version="2!1.1")
    after = render([*entries, entry(newer.wheel_name, build_wheel(newer), tmp_path)])
    assert [publication.name for publication in after if before[publication.name] != publication.identity] == ["other"]


def test_a_page_says_how_large_it_is_and_what_its_hash_is(entries: list[Entry]) -> None:
    for publication in render(entries):
        for file in publication.pointers:
            assert isinstance(file, TreeFile)
            assert len(bytes(file.content)) == file.content.size
            assert file.content.digest == hashlib.sha256(bytes(file.content)).hexdigest()


def as_json(file: ListedFile) -> dict[str, Any]:
    value: dict[str, Any] = {
        "filename": file.name,
        "url": file.url,
        "hashes": {"sha256": file.sha256},
        "size": file.size,
        "yanked": file.yanked,
    }
    if file.requires_python:
        value["requires-python"] = file.requires_python
    if file.metadata is not None:
        value["core-metadata"] = {"sha256": file.metadata}
    if file.created:
        value["upload-time"] = file.created
    return value


@given(
    st.builds(
        ListedFile,
        *(st.text(), st.text(), st.just("1.0"), st.text(), st.integers(0)),
        *(st.text(), st.none() | st.text(), st.text(), st.booleans()),
    )
)
def test_a_file_is_listed_as_the_json_module_would_write_it(file: ListedFile) -> None:
    assert _file_json(file) == json.dumps(as_json(file), sort_keys=True)


def test_a_file_for_two_distribution_versions_is_listed_once(entries: list[Entry]) -> None:
    twice = [*entries, replace(entries[0], file=replace(entries[0].file, uri="/f/2", distro_version="other"))]
    assert pages(render(twice)) == pages(render(entries))


def links(publications: tuple[Publication, ...]) -> dict[str, str]:
    found = [file for publication in publications for file in publication.content]
    return {file.path: file.target for file in found if isinstance(file, TreeLink)}


def test_a_file_is_also_a_link_where_the_original_agent_had_it(entries: list[Entry], tmp_path: Path) -> None:
    dashed = Python("my-tool", "1.0")
    file = entry("my-tool-1.0.tar.gz", build_sdist(dashed), tmp_path)
    before = {publication.name: publication.identity for publication in render(entries)}
    found = render([*entries, file])
    assert links(found) == {
        "packages/my/my-tool-1.0.tar.gz": "../my-too/my-tool-1.0.tar.gz",
        f"packages/zope_t/{SECOND.wheel_name}": f"../zope-t/{SECOND.wheel_name}",
    }
    assert b'href="../../packages/my-too/my-tool-1.0.tar.gz#' in pages(found)["simple/my-tool/index.html"]
    # The others are not published again.
    assert {project.name: project.identity for project in found if project.name in ("other", "zope-thing")} == {
        name: before[name] for name in ("other", "zope-thing")
    }


def test_no_link_takes_the_place_of_another_package(tmp_path: Path) -> None:
    dashed = entry("my-tool-1.0.tar.gz", build_sdist(Python("my-tool", "1.0")), tmp_path)
    other = replace(dashed, path="packages/my/my-tool-1.0.tar.gz")
    assert not links(render([dashed, other]))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"package": "other"}, "the server has it as package other"),
        ({"version": "1.2"}, "the server has it as version 1.2"),
        ({"version": "new"}, "not a version by PEP 440"),
        ({"file_name": "Zope.Thing-1.1-py3-none-any.whl"}, "its file name says zope-thing 1.1"),
        ({"file_name": "Zope.Thing-1.0.whl"}, "its file name can't be used"),
        ({"file_name": "Zope.Thing-1.0.zip"}, "inside it is a wheel"),
    ],
)
def test_a_record_that_contradicts_the_file_is_refused(
    entries: list[Entry], change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        FORM.agree(replace(entries[0].file, **change), entries[0].fragment)


@pytest.mark.parametrize("package", ["zope_thing", "ZOPE-THING", "zope.thing"])
def test_the_server_may_spell_a_project_as_it_likes(entries: list[Entry], package: str) -> None:
    FORM.agree(replace(entries[0].file, package=package, version="v1.0.0"), entries[0].fragment)


def test_a_record_renamed_for_the_server_is_the_project_inside(tmp_path: Path) -> None:
    local = Python("Zope.Thing_x", "1.0+cu118")
    one = entry(local.sdist_name, build_sdist(local), tmp_path)
    for package in ("zopething_x", "ZopeThing-x", "zope-thing-x"):
        for version in ("1.0-cu118", "1.0.cu118", "1.0cu118", "1.0+CU118", "1-0_cu118"):
            FORM.agree(replace(one.file, package=package, version=version), one.fragment)
    changes: tuple[dict[str, Any], ...] = (
        *({"package": "zopething"}, {"version": "1.0-cu117"}),
        *({"version": "1.0"}, {"version": "1.1+cu118"}),
    )
    for change in changes:
        with pytest.raises(Refused, match="the server"):
            FORM.agree(replace(one.file, **change), one.fragment)


def test_a_version_with_a_dash_is_one(tmp_path: Path) -> None:
    dashed = Python("foo", "1.0-1")
    one = entry("foo-1.0-1.tar.gz", build_sdist(dashed), tmp_path)
    assert [publication.name for publication in render([one])] == ["foo", "simple/"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"kind": "deb"}, "can't be in a pypi repository"),
        ({"file_name": "foo-1.0.egg"}, "is an egg, which pip and uv can't install"),
        ({"file_name": "foo-1.0.tar.bz2"}, "build the source distribution again, as .tar.gz"),
        ({"file_name": "foo-1.0.img"}, "neither a wheel"),
        ({"distro_version": "bookworm"}, "it is for bookworm"),
    ],
)
def test_files_that_cannot_be_in_the_repository_are_refused(
    entries: list[Entry], change: dict[str, Any], reason: str
) -> None:
    with pytest.raises(Refused, match=reason):
        FORM.place(REPO, replace(entries[0].file, **change))


def test_a_change_renders_what_it_touches_and_nothing_else(entries: list[Entry], tmp_path: Path) -> None:
    request = RenderRequest(REPO, entries, RenderSettings("", signed=False), datetime.now(UTC), NoChunks())
    other = entry("foo-1.0-1.tar.gz", build_sdist(Python("foo", "1.0-1")), tmp_path)
    local = next(one for one in entries if one.fragment.name == LOCAL.name)
    yanked = replace(local, file=replace(local.file, yanked=True))
    FORM.render(request)
    standing = entries
    changes: tuple[tuple[Change, list[str], set[str]], ...] = (
        (Change((local,), (yanked,)), ["other"], set()),
        (Change((), (other,)), ["foo", "simple/"], set()),
        (Change((yanked,), ()), ["simple/"], {"other"}),
        (Change((other,), (local,)), ["other", "simple/"], {"foo"}),
    )
    for change, names, ended in changes:
        standing = [one for one in standing if one not in change.gone]
        asked = replace(request, change=change, entries=change.new, standing=Standing(standing))
        touched = FORM.render(asked)
        standing += change.new
        assert isinstance(touched, Touched)
        assert [publication.name for publication in touched.publications] == names
        assert set(touched.ended) == ended
