"""Reconciles a whole repository some packages at a time, and keeps in memory only what is not settled.

A file is settled where nothing is left to do: the index names it, it stands in its place, and it was read. A full sync
of a large repository finds nearly all files so. This is for formats whose package files share no places.

1. Where this process has placed all files of the repository on the same basis before, the state database tells which
   packages are settled, and only the others are looked at.
2. What a portion decides is in the state database before the next one is looked at.
3. A path that a file of another portion claims has been published under that file's SHA-256, or `build` finds the two.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from packrat_agent.formats.interface import Format
from packrat_agent.model.entries import Fragment, Placement, Plan
from packrat_agent.state.file_state import FileState
from packrat_agent.state.packages import IndexedFile, WantedFile
from packrat_agent.state.store import Store
from packrat_agent.sync.context import MirrorContext, Order
from packrat_agent.sync.planning.reconcile import reconcile
from packrat_agent.sync.planning.scope import Scope, whole_repo

_FILES = 1000
"""Number of package files that are looked at together, all of a package at once."""


@dataclass(slots=True)
class Unsettled:
    """What is not settled.

    indexed: what the index names of it. moved: those of `indexed` that have another place now, or none. fragments: by
    the SHA-256 of the package file.
    """

    wanted_files: list[WantedFile] = field(default_factory=list)
    indexed: list[IndexedFile] = field(default_factory=list)
    moved: list[IndexedFile] = field(default_factory=list)
    fragments: dict[str, Fragment] = field(default_factory=dict)
    plans: list[Plan] = field(default_factory=list)

    def add(self, wanted_files: Iterable[WantedFile], fragments: dict[str, Fragment], plan: Plan) -> None:
        """Add the files of one portion that are not settled.

        Args:
            wanted_files: They, as they were remembered before the portion was looked at.
            fragments: Those of the portion.
            plan: What must be done about the portion, without what is settled.
        """
        places = {placement.file.uri: placement.path for placement in (*plan.keep, *plan.link, *plan.fetch)}
        for item in wanted_files:
            file = item.file
            self.wanted_files.append(item)
            if file.sha256 in fragments:
                self.fragments[file.sha256] = fragments[file.sha256]
            if item.state is FileState.LIVE:
                indexed = IndexedFile(file.uri, file.sha256, item.path, file.file_name, file.yanked)
                self.indexed.append(indexed)
                if places.get(file.uri) != item.path:
                    self.moved.append(indexed)
        self.plans.append(plan)


def reconcile_in_portions(
    scope: Scope, form: Format, order: Order, store: Store, context: MirrorContext, *, is_placed: bool
) -> tuple[Unsettled, Plan]:
    """Plan a sync of all packages; adopt what is found in its place, and remember places and refusals.

    Args:
        scope: Of all packages.
        form: The repository's type.
        order: The piece of work.
        store: The state database.
        context: The mirror.
        is_placed: Every live file stands where the format puts it, and agrees with its record.

    Returns:
        What is not settled, and the plan for it.
    """
    repo, source = scope.repo, context.source_of(form, scope.repo)
    unsettled = Unsettled()
    withdrawn = store.live.withdrawn(repo.name)
    portions: Iterable[Sequence[str]] = store.wanted.packages(repo.name, _FILES)
    if is_placed:
        left = store.open_packages(repo.name, source)
        if not left and not store.has_unwanted(repo.name):
            return unsettled, _joined(scope, (), ())
        portions = store.wanted.packages_among(repo.name, left, _FILES)
    for packages in portions:
        portion = replace(whole_repo(repo), packages=frozenset(packages))
        wanted_files, fragments, plan = reconcile(portion, form, order, store, context, has_bodies=False)
        paths = {placement.file.uri: placement.path for placement in plan.keep}
        # Live in the place that the format gives it, and read before: nothing is left to do for it.
        settled = {
            item.file.uri
            for item in wanted_files
            if item.state is FileState.LIVE
            and item.path not in withdrawn
            and paths.get(item.file.uri) == item.path
            and item.file.sha256 in fragments
        }
        open_files = [item for item in wanted_files if item.file.uri not in settled]
        if open_files:
            of_open = {item.file.package for item in open_files}
            # Read above without their bodies, which are large, and which only open files need.
            if any(not fragment.body for item in open_files if (fragment := fragments.get(item.file.sha256))):
                fragments = store.wanted.fragments(repo.name, source, of_open)
            keep = tuple(placement for placement in plan.keep if placement.file.uri not in settled)
            unsettled.add(open_files, fragments, replace(plan, keep=keep))
    return unsettled, _joined(scope, unsettled.plans, tuple(store.live.unplaced(repo.name)))


def _joined(scope: Scope, plans: Iterable[Plan], withdraw: tuple[str, ...]) -> Plan:
    every = list(plans)
    kept = {p.file.uri: plan.parts[p.file.uri] for plan in every for p in (*plan.keep, *plan.link)}
    return Plan(
        repo=scope.repo,
        keep=tuple(_oldest_first(placement for plan in every for placement in plan.keep)),
        fetch=tuple(_oldest_first(placement for plan in every for placement in plan.fetch)),
        link=tuple(_oldest_first(placement for plan in every for placement in plan.link)),
        withdraw=withdraw,
        refused=tuple(refusal for plan in every for refusal in plan.refused),
        parts=kept,
        missing={uri: parts for plan in every for uri, parts in plan.missing.items()},
        sources={sha256: path for plan in every for sha256, path in plan.sources.items()},
    )


def _oldest_first(placements: Iterable[Placement]) -> list[Placement]:
    return sorted(placements, key=lambda placement: placement.file.record_order)
