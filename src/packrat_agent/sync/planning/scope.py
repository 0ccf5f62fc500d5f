"""Narrows a sync to the packages that changed; the index's entries for all others stay as they are.

Files of these packages that are live as the index has them stay, too: an image may have thousands of tags.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from packrat_agent.model.entries import Entry, Parts, Placement
from packrat_agent.model.records import Repo
from packrat_agent.state.file_rows import Selection, Uris
from packrat_agent.sync.last_renders import LastRender
from packrat_agent.sync.planning.index_entries import IndexEntries


@dataclass(frozen=True, slots=True)
class Scope:
    """The part of a repository that a sync decides again.

    Attributes:
        last: What the last sync left; without entries where everything is decided again.
        packages: The packages whose files are decided again; None for all.
        before: The entries of these files that the last sync left.
        looked_at: The URIs of the files that are not settled; the state database has the entries of the others. None:
            none was left out since it is settled.
        uris: Of the packages' files, the only ones that are decided again; None for all.
    """

    repo: Repo
    last: LastRender
    packages: frozenset[str] | None = None
    before: Sequence[Entry] = ()
    looked_at: frozenset[str] | None = None
    uris: frozenset[str] | None = None

    @property
    def files(self) -> Selection | None:
        """The files that are decided again, None for all."""
        return self.packages if self.uris is None else Uris(self.uris)

    def without_standing(self, marks: Mapping[str, bool | None]) -> "Scope":
        """Leave out the files that are live, and marked, as the index has them.

        Args:
            marks: The URI of each wanted file of `files` → whether it is yanked, None if it is not live.
        """
        standing = {entry.file.uri for entry in self.before if marks.get(entry.file.uri) == entry.file.yanked}
        before = [entry for entry in self.before if entry.file.uri not in standing]
        return replace(self, before=before, uris=frozenset(marks.keys() - standing))

    @property
    def memo(self) -> dict[str, Any]:
        """What the last render left, so that the next one is quicker."""
        return self.last.memo

    def paths(self, placements: Sequence[Placement], parts: Mapping[str, Parts]) -> frozenset[str] | None:
        """The paths that the decision depends on, None for all; relative to `root_dir`.

        parts: URI → what is published of the file, where it is known.
        """
        if self.packages is None:
            return None
        paths = {placement.path for placement in placements}
        paths.update(path for published in parts.values() for path in published)
        paths.update(self.last.entries.paths_of(self.before))
        return frozenset(paths)

    def shared(self, paths: Collection[str]) -> frozenset[str]:
        """Those of `paths` that a standing entry needs, too."""
        if not paths:
            return frozenset()
        return self.last.entries.shared(paths, self.before)

    def claims(self) -> Mapping[str, str]:
        """Map each path that a standing entry needs to the SHA-256 that stands there."""
        return self.last.entries.standing(self.before)


def whole_repo(repo: Repo) -> Scope:
    """Look at all packages."""
    return Scope(repo, LastRender(IndexEntries(repo), frozenset(), {}))


def narrow(
    repo: Repo, packages: Collection[str] | None, last: LastRender | None, touched: frozenset[str] | None = None
) -> Scope:
    """Look at some packages, and at what was refused before; at everything where nothing is known of the last sync.

    Args:
        repo: The repository.
        packages: The packages; None for all.
        last: What the last sync left.
        touched: The URIs of the only files of the packages of which anything has changed; None: any of them.
    """
    if packages is None or last is None:
        return whole_repo(repo)
    looked_at = last.refused.union(packages)
    # A file of these packages that is neither live nor refused was left to a full sync, or that sync left no `last`.
    uris = touched if not last.refused else None
    return Scope(repo, last, looked_at, last.entries.of(looked_at, uris), uris=uris)
