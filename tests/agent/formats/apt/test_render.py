"""The tree of an apt repository: as the expected one stands in this folder, complete, the same bytes each time."""

import dataclasses
import gzip
import hashlib
import lzma
import random
import re
import time
from collections.abc import Mapping
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import pytest

from agent.formats.apt.readable import EXPECTED, readable, wanted_files
from packrat_agent.formats.apt.layout import suite_of
from packrat_agent.formats.interface import RenderSettings, explain_ahead, explain_held
from packrat_agent.model.entries import Entry
from packrat_agent.model.records import DistroVersion
from packrat_agent.model.tree import PendingFile, Publication, TreeFile
from packrat_core.errors import Refused
from packrat_demo.build_deb import Deb
from support.apt_packages import (
    APT,
    NOW,
    REPO,
    SETTINGS,
    Chunks,
    content_of,
    entry,
    files_of,
    one_suite,
    package_file,
    request,
    with_plain,
)

FACTS = {"bookworm": {"Origin": "Packrat", "Label": "Development packages", "Codename": "bookworm", "Date": "1000"}}
"""Of a suite that an older agent published."""


def release_of(publication: Publication) -> dict[str, str]:
    """The one-line fields of a suite's Release."""
    (file,) = (
        pointer
        for pointer in publication.pointers
        if isinstance(pointer, TreeFile) and pointer.path == f"dists/{publication.name}/Release"
    )
    lines = bytes(file.content).decode().splitlines()
    return dict(line.split(": ", 1) for line in lines if re.match(r"[A-Z]\S*: ", line))


def many(directory: Path, count: int) -> list[Entry]:
    """Entries of one package under many names."""
    one = entry(Deb("p", "1", "all", compression="none"), directory)
    return [
        dataclasses.replace(
            one,
            path=f"pool/p{number}/p{number}_1_all.deb",
            fragment=dataclasses.replace(
                one.fragment,
                name=f"p{number}",
                body=one.fragment.body.replace(b"Package: p\n", f"Package: p{number}\n".encode()),
            ),
        )
        for number in range(count)
    ]


def test_the_tree_is_the_expected_one(tmp_path: Path) -> None:
    expected = {
        str(path.relative_to(EXPECTED)): path.read_text() for path in sorted(EXPECTED.rglob("*")) if path.is_file()
    }
    found = readable(tmp_path)
    assert sorted(found) == sorted(expected)
    for path, text in found.items():
        assert text == expected[path], path


def test_release_lists_every_index_with_its_size_and_hash_and_by_hash_has_it(tmp_path: Path) -> None:
    tree = APT.render(request(wanted_files(tmp_path)))
    files = with_plain(files_of(tree))
    for publication in tree:
        top = f"dists/{publication.name}"
        listed = {}
        for line in files[f"{top}/Release"].decode().splitlines():
            if match := re.fullmatch(r" ([0-9a-f]{64}) +([0-9]+) (\S+)", line):
                listed[f"{top}/{match[3]}"] = (match[1], int(match[2]))
        pointers = {file.path for file in publication.pointers} - {
            f"{top}/{name}" for name in ("Release", "Release.gpg", "InRelease")
        }
        # The plain index is listed, as clients check what they decompress, and stands nowhere.
        plain = {path for path in listed if path.endswith("/Packages")}
        assert len(plain) >= 2
        assert set(listed) - plain == pointers
        # Where an earlier version wrote it, it is withdrawn like content.
        assert set(publication.former) == plain
        for path, (sha256, size) in listed.items():
            assert (hashlib.sha256(files[path]).hexdigest(), len(files[path])) == (sha256, size)
            by_hash = files.get(f"{path.rpartition('/')[0]}/by-hash/SHA256/{sha256}")
            assert by_hash == (None if path in plain else files[path])
        for file in content_of(publication):
            assert file.path.endswith(hashlib.sha256(bytes(file.content)).hexdigest())


def test_the_compressed_indexes_are_the_same(tmp_path: Path) -> None:
    files = files_of(APT.render(request(wanted_files(tmp_path))))
    packed = [path for path in files if path.endswith("/Packages.xz")]
    assert len(packed) == 7
    for path in packed:
        assert gzip.decompress(files[f"{path.removesuffix('.xz')}.gz"]) == lzma.decompress(files[path])


def test_the_same_request_gives_the_same_tree_whatever_the_order_and_the_cache(tmp_path: Path) -> None:
    shelved = wanted_files(tmp_path)
    chunks = Chunks()
    first = APT.render(request(shelved, chunks=chunks))
    assert APT.render(request(shelved, chunks=chunks)) == first
    for seed in range(5):
        random.Random(seed).shuffle(shelved)
        assert APT.render(request(shelved)) == first


def test_an_empty_repository_has_every_suite(tmp_path: Path) -> None:
    publications = APT.render(request())
    assert [publication.name for publication in publications] == ["bookworm", "noble", "trixie"]
    assert all(release_of(publication)["Architectures"] == "all amd64" for publication in publications)
    files = files_of(APT.render(request()))
    assert gzip.decompress(files["dists/noble/main/binary-amd64/Packages.gz"]) == b""
    assert lzma.decompress(files["dists/noble/main/binary-amd64/Packages.xz"]) == b""


def test_packages_for_all_stand_in_every_index_and_in_one_of_their_own(tmp_path: Path) -> None:
    debs = [Deb("a", "1", "all"), Deb("b", "1", "amd64"), Deb("c", "1", "arm64"), Deb("d", "1", "all")]
    shelved = [entry(deb, tmp_path, number=number) for number, deb in enumerate(debs, 1)]
    (publication,) = APT.render(request(shelved, repo=one_suite()))
    files = with_plain(files_of(APT.render(request(shelved, repo=one_suite()))))

    def names(architecture: str) -> list[bytes]:
        index = files[f"dists/bookworm/main/binary-{architecture}/Packages"]
        return re.findall(rb"(?m)^Package: (.*)$", index)

    assert release_of(publication)["Architectures"] == "all amd64 arm64"
    assert "No-Support-for-Architecture-all" not in release_of(publication)
    assert names("all") == [b"a", b"d"]
    assert names("amd64") == [b"a", b"b", b"d"]
    assert names("arm64") == [b"a", b"c", b"d"]


def test_the_architectures_of_a_mirror_that_was_taken_over_stay(tmp_path: Path) -> None:
    facts = {"bookworm": {"Architectures": "amd64 i386"}}
    asked = request([entry(Deb("p", "1", "arm64"), tmp_path)], facts=facts)
    bookworm = next(suite for suite in APT.render(asked) if suite.name == "bookworm")
    assert release_of(bookworm)["Architectures"] == "all amd64 arm64 i386"
    assert bookworm.facts["Architectures"] == "amd64 i386"
    # Without that fact there are those of the packages.
    plain = next(suite for suite in APT.render(request(asked.entries)) if suite.name == "bookworm")
    assert release_of(plain)["Architectures"] == "all arm64"
    assert "Architectures" not in plain.facts


def test_without_a_key_nothing_is_to_be_signed(tmp_path: Path) -> None:
    signed, unsigned = (
        APT.render(request(settings=dataclasses.replace(SETTINGS, signed=signed)))[0] for signed in (True, False)
    )
    assert any(isinstance(file, PendingFile) for file in signed.pointers)
    assert not any(isinstance(file, PendingFile) for file in unsigned.pointers)
    assert signed.identity != unsigned.identity


def test_the_same_bytes_may_stand_in_several_suites_under_one_path(tmp_path: Path) -> None:
    files = with_plain(files_of(APT.render(request(wanted_files(tmp_path)))))
    line = b"Filename: pool/hello-/hello-doc_2.10~rc1-3+b1_all.deb\n"
    assert all(line in files[f"dists/{suite}/main/binary-amd64/Packages"] for suite in ("bookworm", "noble"))


def test_the_newest_record_wins_among_files_with_one_name_version_and_architecture(tmp_path: Path) -> None:
    (tmp_path / "later").mkdir()
    older = entry(Deb("x", "1", "amd64", compression="none"), tmp_path, number=9)
    newer = entry(Deb("x", "1", "amd64", files=(("/etc/x", b"2"),), compression="none"), tmp_path / "later", number=10)
    for order in ([older, newer], [newer, older]):
        index = with_plain(files_of(APT.render(request(order))))["dists/bookworm/main/binary-amd64/Packages"]
        assert index.count(b"Package: x\n") == 1
        assert newer.file.sha256.encode() in index


def test_one_more_package_compresses_one_shard_again_and_nothing_changed_none(tmp_path: Path) -> None:
    shelved = many(tmp_path, 2000)
    chunks = Chunks()
    repo = one_suite()
    APT.render(request(shelved, repo=repo, chunks=chunks))
    whole = len(chunks.made)
    assert whole > 40
    chunks.made.clear()
    APT.render(request(shelved, repo=repo, chunks=chunks))
    assert chunks.made == []
    for number in (0, 777, 1999):
        chunks.made.clear()
        fewer = [*shelved[:number], *shelved[number + 1 :]]
        tree = APT.render(request(fewer, repo=repo, chunks=chunks))
        # In each of two codings: its shard; where that was cut for its length, those up to the next cut by hash.
        assert len(chunks.made) <= 6
        assert tree == APT.render(request(fewer, repo=repo))


@pytest.mark.parametrize("name", ["Origin", "Label", "Codename"])
def test_a_change_of_what_clients_hold_us_to_is_held_until_it_is_confirmed(name: str) -> None:
    facts = {"bookworm": {**FACTS["bookworm"], name: "Published"}}
    held = APT.render(request(facts=facts))[0]
    said = explain_held({held.name: held.facts})
    assert said is not None
    for told in (name, "'Published'", "bookworm would change", "`confirm_release_change: apt-dev`"):
        assert told in said
    # What is published goes on under the old name, and so does the next publication.
    assert (release_of(held)[name], held.facts[name]) == ("Published", "Published")
    files = [file for file in held.pointers if isinstance(file, TreeFile)]
    [beside] = [bytes(file.content) for file in files if file.path.endswith("binary-amd64/Release")]
    assert (f"\n{name}: Published\n".encode() in beside) == (name != "Codename")
    assert APT.render(request(facts={"bookworm": held.facts}))[0].identity == held.identity
    confirmed = dataclasses.replace(SETTINGS, confirmed_repos=frozenset({"apt-dev"}))
    publication = APT.render(request(facts=facts, settings=confirmed))[0]
    assert publication.facts[name] == FACTS["bookworm"][name]
    assert explain_held({publication.name: publication.facts}) is None
    other = dataclasses.replace(SETTINGS, confirmed_repos=frozenset({"apt-prod"}))
    assert APT.render(request(facts=facts, settings=other))[0] == held


def test_unchanged_or_unpublished_names_are_not_held() -> None:
    assert release_of(APT.render(request(facts=FACTS))[0])["Label"] == "Development packages"
    assert APT.render(request(facts={"bookworm": {"Date": "1000"}}))[0].facts["Origin"] == "Packrat"


def test_a_repository_that_is_published_is_not_published_again_to_name_itself() -> None:
    for published in (FACTS, {"trixie": FACTS["bookworm"]}):
        (publication,) = APT.render(request(repo=one_suite(), facts=published))
        release = release_of(publication)
        assert (release["Label"], release.get("Repository")) == ("Development packages", None)
        assert "Repository" not in publication.facts
    (publication,) = APT.render(request(repo=one_suite()))
    again = APT.render(request(repo=one_suite(), facts={"bookworm": publication.facts}))[0]
    assert (release_of(again)["Label"], release_of(again)["Repository"]) == ("apt-dev", "apt-dev")
    assert again.identity == publication.identity


@pytest.mark.parametrize(
    ("label", "description", "written"),
    [
        (None, "Development packages", "apt-dev"),
        (None, "", "apt-dev"),
        ("Ours\n  Evil: 1", "Development packages", "Ours Evil: 1"),
        (" Two \t words ", "", "Two words"),
    ],
)
def test_the_label_is_one_line(label: str | None, description: str, written: str) -> None:
    settings = dataclasses.replace(SETTINGS, apt_label=label, mirror_description="a\nb")
    repo = dataclasses.replace(one_suite(), description=description)
    release = release_of(APT.render(request(repo=repo, settings=settings))[0])
    assert (release["Label"], release["Repository"]) == (written, "apt-dev")
    assert release["Description"] == "a b"
    assert "Evil" not in release


def test_the_date_always_rises_also_where_the_clock_stepped_back() -> None:
    facts: dict[str, dict[str, str]] = {}
    dates = []
    for step_s in (0, 1, 1, -3600, 0.5, 86400):
        (publication,) = APT.render(request(repo=one_suite(), now=NOW + timedelta(seconds=step_s), facts=facts))
        facts = {publication.name: dict(publication.facts)}
        dates.append(parsedate_to_datetime(release_of(publication)["Date"]).timestamp() - NOW.timestamp())
    assert dates == [0, 1, 2, 3, 4, 86400]


def test_the_identity_is_without_the_date_and_follows_everything_else(tmp_path: Path) -> None:
    repo = one_suite()
    shelved = [wanted for wanted in wanted_files(tmp_path) if wanted.file.distro_version == "bookworm"]
    base = APT.render(request(shelved, repo=repo))[0]
    facts = {"bookworm": {**base.facts, "Date": "1000"}}
    later = APT.render(request(shelved, repo=repo, now=NOW + timedelta(days=400), facts=facts))[0]
    assert later.identity == base.identity
    assert release_of(later)["Date"] != release_of(base)["Date"]
    others = [
        request(shelved[1:], repo=repo),
        request(shelved, repo=repo, settings=dataclasses.replace(SETTINGS, mirror_description="other")),
        request(shelved, repo=repo, settings=dataclasses.replace(SETTINGS, apt_valid_for_s=86400)),
    ]
    assert len({base.identity, *(APT.render(other)[0].identity for other in others)}) == 4


def test_valid_until_is_written_when_asked_and_again_when_half_of_it_is_over() -> None:
    settings = dataclasses.replace(SETTINGS, apt_valid_for_s=86400)
    identities = []
    for hour in range(48):
        publication = APT.render(request(settings=settings, now=NOW + timedelta(hours=hour)))[0]
        release = release_of(publication)
        ahead = parsedate_to_datetime(release["Valid-Until"]) - parsedate_to_datetime(release["Date"])
        assert ahead == timedelta(days=1)
        identities.append(publication.identity)
    assert max(identities.count(identity) for identity in identities) == 12
    assert "Valid-Until" not in release_of(APT.render(request())[0])


def test_a_date_ahead_is_set_back_only_where_the_clock_is_vouched_for() -> None:
    def rendered(facts: Mapping[str, str], settings: RenderSettings = SETTINGS) -> Publication:
        return APT.render(request(settings=settings, facts={"bookworm": facts}))[0]

    def date(publication: Publication) -> float:
        return parsedate_to_datetime(release_of(publication)["Date"]).timestamp()

    ahead_s = int(NOW.timestamp()) + 86400
    ahead = rendered({**FACTS["bookworm"], "Date": str(ahead_s)})
    assert date(ahead) == ahead_s + 1
    right = rendered(ahead.facts, dataclasses.replace(SETTINGS, clock_confirmed=True))
    assert date(right) == NOW.timestamp()
    assert right.identity != ahead.identity
    # It is published once, not with each pass from now on.
    assert rendered(right.facts).identity == right.identity


@pytest.mark.parametrize(("ahead_s", "told"), [(-5, False), (10, False), (11, True)])
def test_changes_that_apt_would_refuse_are_reported(ahead_s: int, told: bool) -> None:
    facts = [{}, {"Date": "x"}, {"Date": str(int(NOW.timestamp()) + ahead_s)}]
    assert (explain_ahead(facts, NOW) is not None) is told


def test_the_date_is_in_utc_wherever_the_agent_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        context.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        assert release_of(APT.render(request())[0])["Date"] == "Sat, 07 Mar 2026 08:09:10 UTC"
    time.tzset()


def test_a_package_for_no_suite_of_the_repository_has_no_place() -> None:
    deb = Deb("x", "1", "amd64")
    file = dataclasses.replace(package_file(deb), distro_version="jammy")
    with pytest.raises(Refused, match="it is for jammy, which apt-dev does not have"):
        APT.place(REPO, file)


@pytest.mark.parametrize(("kind", "name"), [("rpm", "x-1.rpm"), ("deb", "x"), ("tar", "x.deb")])
def test_only_debs_have_a_place(kind: str, name: str) -> None:
    with pytest.raises(Refused, match="can't be in an apt repository"):
        APT.place(REPO, dataclasses.replace(package_file(Deb("x", "1", "amd64")), kind=kind, file_name=name))


def test_a_package_of_the_installer_has_no_place_and_is_told_apart() -> None:
    with pytest.raises(Refused, match=r"x_1\.udeb is a udeb: only Debian's installer uses those"):
        APT.place(REPO, dataclasses.replace(package_file(Deb("x", "1", "amd64")), file_name="x_1.udeb"))


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("arch", "arm64", "the server has it as arm64, its control file says amd64"),
        ("arch", "all", "the server has it as all, its control file says amd64"),
        ("package", "y", "the server has it as package y, its control file says x"),
        ("version", "1.0", "the server has it as version 1.0, its control file says 1:1"),
        ("version", "2:1", "the server has it as version 2:1, its control file says 1:1"),
    ],
)
def test_the_record_and_the_control_file_agree(tmp_path: Path, field: str, value: str, told: str) -> None:
    deb = Deb("x", "1:1", "amd64")
    one = entry(deb, tmp_path)
    change: dict[str, Any] = {field: value}
    for good in ("1:1", "1"):
        APT.agree(dataclasses.replace(one.file, version=good), one.fragment)
    with pytest.raises(Refused, match=told):
        APT.agree(dataclasses.replace(one.file, **change), one.fragment)


def test_a_record_renamed_for_the_server_is_the_package_inside(tmp_path: Path) -> None:
    one = entry(Deb("jq++", "1:1.6-2.1+deb12u3~a", "amd64"), tmp_path)
    for package, version in (("jq", "1.6-2.1.deb12u3-a"), ("jq--", "1.6-2.1deb12u3a"), ("jq++", "1.1.6-2.1_deb12u3.a")):
        APT.agree(dataclasses.replace(one.file, package=package, version=version), one.fragment)
    for package, version in (("jq", "1.6-2.1.deb12u2.a"), ("jqq", "1.6-2.1.deb12u3.a"), ("jq", "1.6-2.1.deb12u3")):
        with pytest.raises(Refused, match="the server has it as"):
            APT.agree(dataclasses.replace(one.file, package=package, version=version), one.fragment)


def test_a_suite_is_called_by_its_version_or_without_one_by_its_name() -> None:
    assert suite_of(DistroVersion("debian-12", "debian", "bookworm", "deb")) == "bookworm"
    assert suite_of(DistroVersion("sid", "debian", None, "deb")) == "sid"
