"""What the json type renders is the tree that a person can read beside this file."""

from datetime import UTC, datetime
from pathlib import Path

from packrat_agent.formats.interface import RenderRequest, RenderSettings
from packrat_agent.formats.json.format import FilesFormat
from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.model.tree import PendingFile, Publication, TreeFile, sha256_of


class NoPieces:
    """Keeps nothing."""

    def get(self, coding: str, digest: str) -> bytes | None:
        return None

    def put(self, coding: str, digest: str, chunk: bytes) -> None:
        """Forget it."""


EXPECTED = Path(__file__).parent / "expected"
VERSIONS = tuple(DistroVersion(name, "none", None, name) for name in ("resource", "tar"))
REPO = Repo("json-dev", "Files", "json-dev", "json", VERSIONS)
FORM = FilesFormat()


def entry(number: int, package: str, version: str, kind: str, name: str) -> Entry:
    file = PackageFile(f"/f/{number}", package, kind, version, kind, "all", f"/files/{name}", name, f"{number:064x}")
    return Entry(file, FORM.place(REPO, file), Fragment(b"", "", "", "", size=number * 1000))


ENTRIES = [
    entry(1, "conf", "1.0", "resource", "conf_1.0.json"),
    entry(2, "conf", "1.1", "resource", "conf_1.1.json"),
    entry(3, "Tree", "1.0-rc.1", "tar", "Tree_1.0-rc.1_fXxNNB9.tar.gz"),
    entry(4, "g++", "pkg-0.3", "resource", "g++_1~x.bin"),
]


def render(entries: list[Entry], signed: bool) -> Publication:
    request = RenderRequest(REPO, entries, RenderSettings("", signed=signed), datetime.now(UTC), NoPieces())
    (publication,) = FORM.render(request)
    return publication


def test_the_tree_is_the_expected_one() -> None:
    publication = render(ENTRIES, False)
    found = {file.path: bytes(file.content) for file in publication.pointers if isinstance(file, TreeFile)}
    expected = {str(path.relative_to(EXPECTED)): path.read_bytes() for path in EXPECTED.rglob("*") if path.is_file()}
    assert found == expected


def test_the_order_of_the_files_does_not_matter() -> None:
    assert render(ENTRIES, True) == render(ENTRIES[::-1], True)


def test_signatures_are_asked_for_where_there_is_a_key() -> None:
    publication = render(ENTRIES, True)
    asked = [file.path for file in publication.pointers if isinstance(file, PendingFile)]
    assert asked == ["SHA256SUMS.gpg", "SHA256SUMS.asc", "SHA256SUMS.signed", "_repo_main/MANIFEST_all.json.gpg"]
    assert publication.identity != render(ENTRIES, False).identity


def test_a_signed_tree_of_an_agent_without_the_clear_signed_list_is_published_again() -> None:
    lists = [bytes(file.content) for file in render(ENTRIES, True).pointers if isinstance(file, TreeFile)]
    before = {signed: sha256_of((f"{signed}\n".encode(), *lists)) for signed in (True, False)}
    assert render(ENTRIES, True).identity != before[True]
    # Nothing changes for a mirror without a key.
    assert render(ENTRIES, False).identity == before[False]


def test_the_same_file_of_two_records_is_listed_once() -> None:
    again = entry(1, "conf", "1.0", "tar", "conf_1.0.json")
    assert render([*ENTRIES, again], False) == render(ENTRIES, False)
