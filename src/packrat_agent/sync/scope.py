"""Narrows a sync to the packages that changed; the index's entries for all others stay as they are."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from packrat_agent.model.entries import Entry, KnownPlacement, Part, Placement
from packrat_agent.model.paths import path_in_root
from packrat_agent.model.records import Repo
from packrat_agent.sync.build import parts_of
from packrat_agent.sync.last_renders import LastRender


@dataclass(frozen=True, slots=True)
class Scope:
    """What a sync decides anew: the files of `packages`, None for all.

    standing: the entries of all other packages. before: those of `packages`, as the last sync left them. memo: what
    the last render left to be quicker.
    """

    repo: Repo
    packages: frozenset[str] | None = None
    standing: Sequence[Entry] = ()
    before: Sequence[Entry] = ()
    memo: dict[str, Any] = field(default_factory=dict)

    def paths(self, placements: Sequence[Placement]) -> frozenset[str] | None:
        """The paths that the decision depends on, None for all; relative to `root_dir`."""
        if self.packages is None:
            return None
        paths = {placement.path for placement in placements}
        known = (placement for placement in placements if isinstance(placement, KnownPlacement))
        paths.update(part.path for placement in known for part in placement.parts)
        paths.update(part.path for entry in self.before for part in self._parts(entry))
        return frozenset(paths)

    def shared(self, paths: Collection[str]) -> frozenset[str]:
        """Those of `paths` that a standing entry needs, too."""
        if not paths:
            return frozenset()
        return frozenset(part.path for entry in self.standing for part in self._parts(entry) if part.path in paths)

    def claims(self) -> Mapping[str, str]:
        """Map each path that a standing entry needs to the SHA-256 that stands there."""
        return {part.path: part.sha256 for entry in self.standing for part in self._parts(entry)}

    def _parts(self, entry: Entry) -> tuple[Part, ...]:
        return parts_of(path_in_root(self.repo, entry.path), entry.file.sha256, entry.fragment)


def narrow(repo: Repo, packages: Collection[str] | None, left: LastRender | None) -> Scope:
    """Look at `packages` and at what was refused before; at everything where either is None."""
    if packages is None or left is None:
        return Scope(repo)
    looked_at = left.refused.union(packages)
    standing: list[Entry] = []
    before: list[Entry] = []
    for entry in left.entries:
        (before if entry.file.package in looked_at else standing).append(entry)
    return Scope(repo, looked_at, standing, before, left.memo)
