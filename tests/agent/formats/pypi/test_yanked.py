"""Whatever is yanked, HTML and JSON say the same of it, and `verify`, which writes both by itself, agrees."""

import hashlib
import json
from datetime import UTC, datetime
from itertools import product
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.formats.interface import RenderRequest, RenderSettings
from packrat_agent.formats.pypi.render import render_repository
from packrat_agent.model.entries import Entry, Fragment, Product
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.model.tree import Publication, TreeFile, publications_of
from packrat_agent.verify.pypi_spelling import find_unusual, spell_project
from packrat_agent.verify.read_page import read_page

SUITES = ("pypi", "other")
REPO = Repo("r", "", "r", "pypi", tuple(DistroVersion(name, "none", None, "python") for name in SUITES))
SIMPLE = "simple/a/"


class NoChunks:
    """Remembers nothing."""

    def get(self, coding: str, digest: str) -> bytes | None:
        return None

    def put(self, coding: str, digest: str, chunk: bytes) -> None:
        pass


def entry(number: int, version: str, requires: str, *, wheel: bool, suite: str, yanked: bool) -> Entry:
    name = f"a-{version}-py3-none-any.whl" if wheel else f"a-{version}.tar.gz"
    sha256 = hashlib.sha256(name.encode()).hexdigest()
    products = (Product(".metadata", "d" * 64, 3, beside=True),) if wheel else ()
    body = f"{'wheel' if wheel else 'sdist'}\n{requires}".encode()
    url = f"/files/{name}"
    file = PackageFile(f"/f/{number}", "a", suite, version, "python", "all", url, name, sha256, yanked=yanked)
    return Entry(file, f"packages/a/{name}", Fragment(body, "a", version, "all", products, size=7))


def project(entries: list[Entry]) -> Publication:
    request = RenderRequest(REPO, entries, RenderSettings("", signed=False), datetime.now(UTC), NoChunks())
    return publications_of(render_repository(request))[0]


def pages(publication: Publication) -> dict[str, bytes]:
    return {file.path: bytes(file.content) for file in publication.pointers if isinstance(file, TreeFile)}


FILES = st.lists(
    st.tuples(
        st.sampled_from(["1.0", "1.1rc1", "2.0"]),
        st.sampled_from(["", ">=3.8,<4", "<3"]),
        st.booleans(),
        # The marks of its record in each distribution version; None where it has none.
        st.tuples(st.sampled_from([None, False, True]), st.sampled_from([None, False, True])),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda file: (file[0], file[2]),
)


@given(FILES)
def test_both_forms_mark_what_is_yanked_in_all_distribution_versions(files: list[tuple[Any, ...]]) -> None:
    entries: list[Entry] = []
    expected = {}
    for version, requires, wheel, marks in files:
        for suite, mark in zip(SUITES, marks, strict=True):
            if mark is not None:
                entries.append(entry(len(entries), version, requires, wheel=wheel, suite=suite, yanked=mark))
                expected[entries[-1].file.file_name] = all(mark is not False for mark in marks)
    if not entries:
        return
    found = pages(project(entries))
    value = json.loads(found[f"{SIMPLE}index.v1_json"])
    assert {file["filename"]: file["yanked"] for file in value["files"]} == expected
    links = read_page(found[f"{SIMPLE}index.html"])
    assert {link["text"]: link.get("data-yanked") == "" for link in links} == expected
    assert [find_unusual(file) for file in value["files"]] == [None] * len(expected)
    spelled = spell_project("a", value["versions"], value["files"])
    assert spelled == (found[f"{SIMPLE}index.v1_json"], found[f"{SIMPLE}index.html"])


def test_a_page_is_another_publication_for_each_set_of_marks() -> None:
    versions = ("1.0", "2.0", "3.0")
    identities = set()
    for marks in product([False, True], repeat=3):
        entries = [
            entry(number, version, "", wheel=True, suite="pypi", yanked=mark)
            for number, (version, mark) in enumerate(zip(versions, marks, strict=True))
        ]
        identities.add(project(entries).identity)
    assert len(identities) == 8
