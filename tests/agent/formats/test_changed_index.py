"""What a format renders from a change is, byte for byte, what it renders from all entries."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from packrat_agent.formats.interface import Change, RenderRequest, RenderSettings, package_order
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.entries import Entry, Fragment
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from support.apt_packages import Chunks

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BODIES = {"apt": b"Package: x\n", "yum": b"<package>@\n</package>\0<package/>\0<package/>"}
VERSIONS = {
    "apt": (DistroVersion("bookworm", "debian", "12", "deb"), DistroVersion("trixie", "debian", "13", "deb")),
    "yum": (DistroVersion("el8", "rhel", "8", "rpm"), DistroVersion("el9", "rhel", "9", "rpm")),
}
ARCHITECTURES = {"apt": ("amd64", "all", "arm64"), "yum": ("x86_64", "noarch", "aarch64")}


@dataclass(frozen=True)
class Standing:
    """Entries that are not held by the sync."""

    entries: list[Entry]

    def by_package(self, distro_versions: Collection[str]) -> Iterator[Entry]:
        found = [entry for entry in self.entries if entry.file.distro_version in distro_versions]
        return iter(sorted(found, key=package_order))

    def architectures(self, distro_versions: Collection[str]) -> frozenset[str]:
        return frozenset(entry.fragment.arch for entry in self.by_package(distro_versions))


@dataclass
class Steps:
    """What is in the index, and how it was rendered last."""

    kind: str
    present: dict[str, Entry] = field(default_factory=dict)
    memo: dict[str, Any] = field(default_factory=dict)

    def render(self, change: Change | None) -> object:
        repo = Repo("r", "R", "r", self.kind, VERSIONS[self.kind])
        entries = sorted(self.present.values(), key=lambda entry: entry.file.record_order)
        request = RenderRequest(repo, entries, RenderSettings("", signed=True), NOW, Chunks())
        whole = FORMATS[self.kind].render(request)
        if change is None:
            self.memo.clear()
        changed = FORMATS[self.kind].render(
            replace(request, memo=self.memo, change=change, entries=entries if change is None else ())
        )
        assert changed == whole
        # Some of the entries may be in the state database alone.
        held, standing = entries[::2], Standing(entries[1::2])
        assert FORMATS[self.kind].render(replace(request, entries=held, standing=standing)) == whole
        return whole


def entry(kind: str, record: int, package: int, suite: int, arch: int) -> Entry:
    version, architecture = VERSIONS[kind][suite], ARCHITECTURES[kind][arch]
    name = f"package{package}"
    file = PackageFile(
        f"/f/{record}/", name, version.name, "1", version.file_type, architecture, "/x", f"{record}", f"{record:064x}"
    )
    directory = f"{version.distro}/{version.version}/{architecture}" if kind == "yum" else "pool"
    return Entry(file, f"{directory}/{name}-{record}", Fragment(BODIES[kind], name, "1", architecture, size=record))


_packages = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 1), st.integers(0, 2)), max_size=25)


@pytest.mark.parametrize("kind", BODIES)
@settings(max_examples=25, deadline=None)
@given(st.data())
def test_a_change_gives_what_all_entries_give(kind: str, data: st.DataObject) -> None:
    steps, record = Steps(kind), 0
    change = None
    for _ in range(4):
        gone = data.draw(st.lists(st.sampled_from(sorted(steps.present)), unique=True)) if steps.present else []
        new = []
        for package, suite, arch in data.draw(_packages):
            record += 1
            new.append(entry(kind, record, package, suite, arch))
        made = Change([steps.present.pop(uri) for uri in gone], new)
        steps.present.update((one.file.uri, one) for one in new)
        steps.render(None if change is None else made)
        change = made
