"""The tree of a docker repository, as a person reads it, and what it costs to change."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from packrat_agent.formats.docker.format import DockerFormat
from packrat_agent.formats.docker.layout import has_signature_api, public_host
from packrat_agent.formats.interface import RenderRequest, RenderSettings
from packrat_agent.model.entries import Entry
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.model.tree import PendingFile, Publication, TreeFile, TreeLink
from packrat_core.errors import Refused
from packrat_core.packages.image.versions import latest_of, version_order
from packrat_demo.build_image import Image, build_classic, build_oci
from support.image_archives import MANIFEST, described, digest, layout, manifest_of
from support.odd_images import with_artifact

REPO = Repo("docker-dev", "", "docker-dev", "docker", (DistroVersion("docker", "none", None, "docker"),))
BASE = (("base", b"base\n"),)
EXPECTED = Path(__file__).parent / "expected.txt"


class NoPieces:
    def get(self, coding: str, digest: str) -> bytes | None:
        return None

    def put(self, coding: str, digest: str, chunk: bytes) -> None:
        raise AssertionError("nothing is compressed here")


def record(image: str, tag: str, number: int = 1, data: bytes = b"") -> PackageFile:
    name = f"{image}_{tag}.tar"
    return PackageFile(
        uri=f"/api/v2/Package/PackageFile:{number}:",
        package=image,
        distro_version="docker",
        version=tag,
        kind="docker",
        arch="all",
        url=f"/files/{name}",
        file_name=name,
        sha256=hashlib.sha256(data or name.encode()).hexdigest(),
    )


def entry(image: Image, data: bytes, into: Path, number: int = 1) -> Entry:
    archive = into / image.file_name
    archive.write_bytes(data)
    fragment = DockerFormat().read(archive, into)
    return Entry(record(image.name, image.version, number, data), f"v2/{image.name}", fragment)


def request(entries: list[Entry], facts: dict[str, dict[str, str]] | None = None, signed: bool = True) -> RenderRequest:
    settings = RenderSettings(
        "the lab's mirror", signed, "https://repo.example.com", b"a public key" if signed else None
    )
    return RenderRequest(REPO, entries, settings, datetime(2026, 1, 1, tzinfo=UTC), NoPieces(), facts or {})


def shown(tree: Sequence[Publication], entries: list[Entry]) -> str:
    lines = ["products of the images"]
    lines += sorted({f"  {entry.path}/{p.name}  {p.size}" for entry in entries for p in entry.fragment.products})
    for publication in tree:
        for what, group in (("content", publication.content), ("pointers", publication.pointers)):
            lines.append(f"section {publication.name}: {what}")
            for file in group:
                match file:
                    case TreeFile():
                        lines.append(f"  {file.path}")
                        if "manifests/" not in file.path or file.path.endswith(".htaccess"):
                            lines += [f"    | {line}" for line in bytes(file.content).decode().splitlines()]
                    case TreeLink():
                        lines.append(f"  {file.path} -> {file.target}")
                    case PendingFile(quoting=()):
                        lines.append(f"  {file.path}, signs")
                        lines += [f"    | {bytes(data).decode()}" for data in file.signs]
                    case PendingFile():
                        assert len(file.signs) + 1 == len(file.quoting)
                        lines.append(f"  {file.path}")
                        lines += [f"    | {'<signature>'.join(chunk.decode() for chunk in file.quoting).strip()}"]
    return "\n".join(lines) + "\n"


def some(into: Path) -> list[Entry]:
    old, new = Image("web", "1.2", (BASE,)), Image("web", "1.10", (BASE, (("web", b"two\n"),)))
    tool = [Image("tool", "3.0", (((a, a.encode()),),), a) for a in ("amd64", "arm64")]
    return [
        entry(old, build_classic(old), into, 1),
        entry(new, build_oci(new), into, 2),
        entry(tool[0], build_oci(*tool), into, 3),
    ]


def test_the_tree_is_as_expected(tmp_path: Path) -> None:
    entries = some(tmp_path)
    text = shown(DockerFormat().render(request(entries)), entries)
    assert text == EXPECTED.read_text()


def test_the_same_request_gives_the_same_tree_in_any_order(tmp_path: Path) -> None:
    entries = some(tmp_path)
    tree = DockerFormat().render(request(entries))
    assert DockerFormat().render(request(entries[::-1])) == tree
    # What a publication remembers changes nothing as long as the images stay.
    facts = {publication.name: dict(publication.facts) for publication in tree}
    assert DockerFormat().render(request(entries, facts)) == tree


def test_the_memo_of_the_last_render_changes_no_output(tmp_path: Path) -> None:
    entries = some(tmp_path)
    memo: dict[str, Any] = {}
    for some_of in (entries, entries[:1], entries[1:], [], entries):
        for signed in (True, False):
            wanted = request(some_of, signed=signed)
            assert DockerFormat().render(replace(wanted, memo=memo)) == DockerFormat().render(wanted)


def test_an_image_that_is_as_it_was_is_not_rendered_again(tmp_path: Path) -> None:
    entries = some(tmp_path)
    memo: dict[str, Any] = {}
    first = DockerFormat().render(replace(request(entries), memo=memo))
    again = DockerFormat().render(replace(request(entries[:2]), memo=memo))
    assert publication(again, "web") is publication(first, "web")


def test_the_index_left_by_changes_is_compared_with_one_made_from_nothing(tmp_path: Path) -> None:
    entries, memo = some(tmp_path), dict[str, Any]()
    DockerFormat().render(replace(request(entries), memo=memo))
    with capture_logs() as logged:
        DockerFormat().render(replace(request(entries), kept=memo))
        DockerFormat().render(replace(request(entries[1:]), kept=memo))
    assert logged == []
    [last] = memo.values()
    kept = last.indexes["web"]
    last.indexes["web"] = replace(kept, publication=replace(kept.publication, identity="another"))
    with capture_logs() as logged:
        tree = DockerFormat().render(replace(request(entries), kept=memo))
    assert [(event["event"], event["index"]) for event in logged] == [("differs", "web")]
    assert tree == DockerFormat().render(request(entries))


def test_an_empty_repository_is_a_registry_without_images() -> None:
    tree = DockerFormat().render(request([]))
    (catalog,) = tree
    files = {file.path: bytes(file.content) for file in catalog.pointers if isinstance(file, TreeFile)}
    assert json.loads(files["v2/_catalog"]) == {"repositories": []}
    assert files["v2/index.html"] == b"{}\n"


def test_unsigned_images_say_that_they_are(tmp_path: Path) -> None:
    tree = DockerFormat().render(request(some(tmp_path), signed=False))
    files = [file for publication in tree for file in (*publication.content, *publication.pointers)]
    assert not [file for file in files if isinstance(file, PendingFile)]
    lists = [bytes(file.content) for file in files if isinstance(file, TreeFile) and "/signatures/" in file.path]
    assert len(lists) == 5
    assert set(lists) == {b'{"signatures":[]}\n'}


def publication(tree: Sequence[Publication], name: str) -> Publication:
    return next(publication for publication in tree if publication.name == name)


def test_manifests_that_are_gone_keep_their_type_for_those_who_know_them(tmp_path: Path) -> None:
    entries = some(tmp_path)
    before = publication(DockerFormat().render(request(entries)), "web")
    after = publication(DockerFormat().render(request(entries[:1], {"web": dict(before.facts)})), "web")
    gone = entries[1].fragment.body.split(b".")[0]
    rules = next(bytes(f.content) for f in after.pointers if isinstance(f, TreeFile) and f.path.endswith(".htaccess"))
    assert b'<Files "' + gone in rules
    assert b"1.10" not in rules


def test_the_newer_of_two_records_for_one_tag_wins(tmp_path: Path) -> None:
    one, other = Image("web", "1.2", (BASE,)), Image("web", "1.2", ((("web", b"two\n"),),))
    entries = [entry(other, build_oci(other), tmp_path, 10), entry(one, build_oci(one), tmp_path, 9)]
    links = [
        f.target
        for f in publication(DockerFormat().render(request(entries)), "web").pointers
        if isinstance(f, TreeLink)
    ]
    assert set(links) == {entries[0].fragment.body.split(b".")[0].decode()}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"package": "Web"}, "can't be called"),
        ({"package": "web..x"}, "can't be called"),
        ({"package": "-web"}, "can't be called"),
        ({"package": "_catalog"}, "can't be called"),
        ({"package": "index.html"}, "can't be called"),
        ({"version": "1.0+b1"}, "can't be a tag"),
        ({"version": "sha256:0"}, "can't be a tag"),
        ({"version": "x" * 129}, "can't be a tag"),
        ({"version": ".x"}, "can't be a tag"),
        ({"kind": "deb"}, "can't be in a docker repository"),
        ({"file_name": "web_1.0.tar.gz"}, "can't be in a docker repository"),
        ({"distro_version": "bookworm"}, "does not have"),
    ],
)
def test_records_without_a_place_among_images_are_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(Refused, match=reason):
        DockerFormat().place(REPO, replace(record("web", "1.0"), **changes))


def test_versions_are_ordered_by_the_usual_rules() -> None:
    ordered = [
        "0.9",
        "1.0-alpha",
        "1.0-beta2",
        "1.0-rc1",
        "1.0",
        "1.0-alpine",
        "1.0-1",
        "1.0.1",
        "v1.2",
        "1.10",
        "20240101",
    ]
    assert all(version_order(one) < version_order(other) for one, other in pairwise(ordered))


SIGNATURE = f"sha256-{'0a' * 32}"


@pytest.mark.parametrize(
    ("tags", "latest"),
    [
        ("1.9 1.10", "1.10"),
        ("1.0 2.0-rc1", "1.0"),
        ("2.0-rc1 2.0-rc2 2.0-beta3", "2.0-rc2"),
        ("v1.2 1.1 stable", "v1.2"),
        ("1.2 release-3.0 3f2a9c1", "1.2"),
        ("0.9 1.0b1", "0.9"),
        (f"1.0 {SIGNATURE}.sig {SIGNATURE}.att {SIGNATURE}", "1.0"),
        (f"edge {SIGNATURE}.sig", "edge"),
        (f"{SIGNATURE}.sig", None),
    ],
)
def test_latest_is_the_highest_release_and_never_a_signature(tags: str, latest: str | None) -> None:
    for order in (tags.split(), tags.split()[::-1]):
        assert latest_of(order) == latest


def test_an_image_of_signatures_only_has_no_latest(tmp_path: Path) -> None:
    def tags_of(*versions: str) -> dict[str, object]:
        images = [Image("web", version, ((("web", version.encode()),),)) for version in versions]
        entries = [entry(image, build_oci(image), tmp_path, number) for number, image in enumerate(images, 1)]
        publication = next(found for found in DockerFormat().render(request(entries)) if found.name == "web")
        links = {
            pointer.path.rpartition("/")[2]: pointer.target
            for pointer in publication.pointers
            if isinstance(pointer, TreeLink)
        }
        return {tag: links[tag] == links.get("latest") for tag in links}

    assert tags_of(f"{SIGNATURE}.sig") == {f"{SIGNATURE}.sig": False}
    assert tags_of("2.0-rc1", f"{SIGNATURE}.sig", "1.0") == {
        "2.0-rc1": False,
        f"{SIGNATURE}.sig": False,
        "1.0": True,
        "latest": True,
    }


@pytest.mark.parametrize(
    ("url", "host"),
    [
        (None, None),
        ("https://repo.example.com", "repo.example.com"),
        ("https://repo.example.com:5000/x", "repo.example.com:5000"),
        ("http://user:secret@repo.example.com", "repo.example.com"),
        ("http://localhost", "localhost"),
        ("http://mirror", None),
    ],
)
def test_references_need_a_host_that_is_none_of_docker_hubs(url: str | None, host: str | None) -> None:
    assert public_host(url) == host


def paths(tree: Sequence[Publication]) -> list[str]:
    return [file.path for made in tree for file in (*made.content, *made.pointers)]


def test_lists_of_signatures_stand_where_the_registry_hands_them_out(tmp_path: Path) -> None:
    for signed in (True, False):
        asked = request(some(tmp_path), signed=signed)
        assert any(path.startswith("extensions/") for path in paths(DockerFormat().render(asked)))
        without = replace(asked, settings=replace(asked.settings, signature_api=False), memo=asked.memo)
        left = paths(DockerFormat().render(without))
        assert not any(path.startswith("extensions/") for path in left)
        assert any(path.startswith("sigstore/docker-dev/") for path in left) == signed


def test_referrers_of_a_manifest_are_listed_wherever_they_were_uploaded(tmp_path: Path) -> None:
    image, alone = Image("web", "1.0"), Image("web", "sbom-1.0")
    both = entry(image, with_artifact(), tmp_path, 1)
    subject = both.fragment.body.split(b".")[0].decode()
    config = b"{}"
    about = manifest_of(config, subject={"mediaType": MANIFEST, "digest": subject, "size": 1})
    archive = layout(described(about, MANIFEST), blobs=[config, about])
    by_itself = entry(alone, archive, tmp_path, 2)
    # As an agent read it that did not look for a subject.
    old = replace(by_itself, fragment=replace(by_itself.fragment, body=f"{digest(about)}.ocim\n".encode() + about))
    for other in (by_itself, old):
        [listed] = [
            json.loads(bytes(file.content))["manifests"]
            for publication in DockerFormat().render(request([both, other]))
            for file in publication.pointers
            if isinstance(file, TreeFile) and file.path == f"v2/web/referrers/{subject}"
        ]
        digests = [descriptor["digest"] for descriptor in listed]
        assert digests == sorted(digests)
        assert set(digests) > {digest(about)}
        assert len(digests) == 2


def test_a_tree_from_before_the_setting_is_known_by_its_lists_of_signatures(tmp_path: Path) -> None:
    assert not has_signature_api(tmp_path)
    (tmp_path / "apt-dev/pool/a/b/c/extensions/v2").mkdir(parents=True)
    (tmp_path / "apt-dev/dists").mkdir()
    (tmp_path / ".hidden/extensions/v2").mkdir(parents=True)
    (tmp_path / "too/far/down/in/it/extensions/v2").mkdir(parents=True)
    assert not has_signature_api(tmp_path)
    (tmp_path / "images/of/the/team/extensions/v2").mkdir(parents=True)
    assert has_signature_api(tmp_path)
    (tmp_path / "v2").mkdir()
    (tmp_path / "v2/_catalog").touch()
    assert not has_signature_api(tmp_path)
    (tmp_path / "v2/_signatures").touch()
    assert has_signature_api(tmp_path)
