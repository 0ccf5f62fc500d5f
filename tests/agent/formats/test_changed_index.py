"""What a format renders from a change is, byte for byte, what it renders from all entries."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.formats.docker.body import Body, write_body
from packrat_agent.formats.interface import Change, RenderRequest, RenderSettings
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.entries import Entry, Fragment, Product
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_agent.model.tree import Publication, Rendered, Touched
from support.apt_packages import Chunks
from support.standing_entries import Standing

BODIES = {"apt": b"Package: x\n", "yum": b"<package>@\n</package>\0<package/>\0<package/>", "pypi": b"wheel\n>=3"}
VERSIONS = {
    "apt": (DistroVersion("bookworm", "debian", "12", "deb"), DistroVersion("trixie", "debian", "13", "deb")),
    "yum": (DistroVersion("el8", "rhel", "8", "rpm"), DistroVersion("el9", "rhel", "9", "rpm")),
    "docker": (DistroVersion("docker", "none", None, "docker"), DistroVersion("docker2", "none", None, "docker")),
    "pypi": (DistroVersion("pypi", "none", None, "python"), DistroVersion("pypi2", "none", None, "python")),
    "json": (DistroVersion("all", "none", None, "other"), DistroVersion("all2", "none", None, "other")),
}
ARCHITECTURES = {"apt": ("amd64", "all", "arm64"), "yum": ("x86_64", "noarch", "aarch64")}
TAGS = (
    *("1.9", "1.10", "latest", "2.0-rc1", "stable", "1.9-alpine", "0.9", "release-3", "v1.10"),
    *(f"sha256-{'0' * 64}.sig", "main"),
)
"""Tags of which `latest` is one, or stands for another one, whichever others are there."""
GRACE_S = 2.5
"""Names that left a manifest go during the test; a step takes a second."""


@dataclass
class Steps:
    """What is in the index, and how it was rendered last."""

    kind: str
    signed: bool = True
    present: dict[str, Entry] = field(default_factory=dict)
    memo: dict[str, Any] = field(default_factory=dict)
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    published: dict[str, Publication] = field(default_factory=dict)

    def render(self, change: Change | None) -> None:
        repo = Repo("r", "R", "r", self.kind, VERSIONS[self.kind])
        entries = sorted(self.present.values(), key=lambda entry: entry.file.record_order)
        asked = RenderSettings("", signed=self.signed, public_url="https://repo.example.com", grace_s=GRACE_S)
        facts = {name: publication.facts for name, publication in self.published.items()}
        request = RenderRequest(repo, entries, asked, self.now, Chunks(), facts)
        whole = FORMATS[self.kind].render(request)
        if change is None:
            self.memo.clear()
        changed = FORMATS[self.kind].render(
            replace(request, memo=self.memo, change=change)
            if change is None
            else replace(request, memo=self.memo, change=change, entries=change.new, standing=self.standing(change))
        )
        changed = self.complete(changed)
        assert changed == whole
        if FORMATS[self.kind].keeps_index:
            # Some of the entries may be in the state database alone.
            held, standing = entries[::2], Standing(entries[1::2])
            assert FORMATS[self.kind].render(replace(request, entries=held, standing=standing)) == whole
            self.check_kept(request, whole)
        self.check_differences(changed)
        self.published = {publication.name: publication for publication in whole}
        self.now += timedelta(seconds=1)

    def standing(self, change: Change) -> Standing:
        """What a change leaves as it is, which the state database has; others may not read it."""
        new = {entry.file.uri for entry in change.new}
        return Standing([entry for uri, entry in self.present.items() if uri not in new])

    def complete(self, rendered: Rendered) -> tuple[Publication, ...]:
        """Put what a change leaves alone beside what it touches; the root page of a Python repository comes last."""
        if not isinstance(rendered, Touched):
            return rendered
        assert not rendered.ended & {publication.name for publication in rendered.publications}
        assert rendered.ended <= self.published.keys()
        now = self.published | {publication.name: publication for publication in rendered.publications}
        last = [name for name in now if name.endswith("/")]
        names = [*sorted(now.keys() - rendered.ended - set(last)), *last]
        told = [publication.name for publication in rendered.publications]
        assert told == sorted(told, key=names.index)
        return tuple(now[name] for name in names)

    def check_kept(self, request: RenderRequest, whole: Sequence[Publication]) -> None:
        """What changes have left is used as long as it is true, and not where an entry is another one."""
        all_standing = replace(request, entries=(), standing=Standing(list(request.entries)), kept=self.memo, memo={})
        assert FORMATS[self.kind].render(all_standing) == whole
        assert all(all_standing.memo[name] is index for name, index in self.memo.items())
        if request.entries:
            newest = request.entries[-1]
            fragment = replace(newest.fragment, name=f"{newest.fragment.name}x", body=newest.body + b"x")
            other = [*request.entries[:-1], replace(newest, fragment=fragment)]
            made = replace(request, entries=other, memo={})
            changed = replace(all_standing, standing=Standing(other), memo={})
            assert FORMATS[self.kind].render(changed) == FORMATS[self.kind].render(made)
            assert any(changed.memo[name] is not index for name, index in self.memo.items())

    def check_differences(self, changed: Sequence[Publication]) -> None:
        """What a publication says that it changes of the one before makes it of that one."""
        for publication in changed:
            before, since = self.published.get(publication.name), publication.since
            if before is None or since is None or since.identity != before.identity:
                continue
            gone = {*since.gone_content, *since.gone_pointers}
            stays = {path: file for path, file in files_of(before).items() if path not in gone}
            now = files_of(publication)
            assert stays | {file.path: file for file in (*since.content, *since.pointers)} == now
            assert not gone & now.keys()
            assert tuple(publication.pointers[place - 1] for place in since.places) == since.pointers
            # Signatures are written in an order that hides none from a client that reads one after the other.
            assert [file for file in publication.content if file in since.content] == list(since.content)


def files_of(publication: Publication) -> dict[str, object]:
    return {file.path: file for file in (*publication.content, *publication.pointers)}


def entry(kind: str, record: int, package: int, suite: int, variant: int) -> Entry:
    version, name = VERSIONS[kind][suite], f"package{package}"
    architecture = ARCHITECTURES[kind][variant] if kind in ARCHITECTURES else "all"
    # A file that was uploaded for several distribution versions has a record for each.
    uploaded = record if kind in ARCHITECTURES else package
    file = PackageFile(
        *(f"/f/{record}/", name, version.name, "1", version.file_type, architecture, "/x"),
        *(f"{name}-1.{uploaded}.tar.gz", f"{uploaded:064x}"),
    )
    match kind:
        case "docker":
            return image(file, package, variant)
        case "pypi":
            spelling = (name, name.upper(), name.replace("package", "pack_age"))[package % 3]
            # What stands where mirrors of the original agent have a file of another project keeps that link away.
            place = "pack"
            if variant == 2:
                place, spelling = "packag", f"other{package}"
            renamed = (Product(f"{name}-1.0.{uploaded}.tar.gz", "", 1, beside=True),) if package % 5 == 0 else ()
            fragment = Fragment(BODIES[kind], spelling, "1", "all", renamed, size=uploaded)
            return Entry(replace(file, yanked=variant == 1), f"packages/{place}/{file.file_name}", fragment)
        case "json":
            return Entry(file, f"{name}/{file.file_name}", Fragment(b"", "", "", "", size=uploaded))
    directory = f"{version.distro}/{version.version}/{architecture}" if kind == "yum" else "pool"
    return Entry(file, f"{directory}/{name}-{record}", Fragment(BODIES[kind], name, "1", architecture, size=record))


def image(file: PackageFile, package: int, variant: int) -> Entry:
    """A tag of one of three images: its archive is one of three, which share manifests and refer to each other."""
    name, tag, archive = f"image{package % 3}", TAGS[package // 3], (package + variant) % 3
    tops = [b'{"number": %d}' % number for number in range(3)]
    digests = [f"sha256:{hashlib.sha256(top).hexdigest()}" for top in tops]
    referrers = {digests[0]: [{"digest": digests[2], "size": 3}]} if archive == 2 else {}
    artifacts = [(digests[2], "ocim")] if archive == 1 else []
    body = Body([(digests[archive], "ocim")], tops[archive], artifacts, referrers)
    record = replace(file, package=name, version=tag, sha256=f"{archive:064x}")
    return Entry(record, f"v2/{name}", Fragment(write_body(body), "", "", "all", size=1))


_packages = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 1), st.integers(0, 2)), max_size=25)


@pytest.mark.parametrize("kind", VERSIONS)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_change_gives_what_all_entries_give(kind: str, data: st.DataObject) -> None:
    steps, record = Steps(kind, data.draw(st.booleans())), 0
    change = None
    for _ in range(5):
        gone: Sequence[str] = ()
        if steps.present:
            gone = data.draw(st.lists(st.sampled_from(sorted(steps.present)), unique=True))
        new = []
        for package, suite, variant in data.draw(_packages):
            record += 1
            new.append(entry(kind, record, package, suite, variant))
        made = Change([steps.present.pop(uri) for uri in gone], new)
        steps.present.update((added.file.uri, added) for added in new)
        # A clock may be set back.
        steps.now -= timedelta(seconds=data.draw(st.sampled_from((0, 0, 3))))
        steps.render(None if change is None else made)
        change = made
