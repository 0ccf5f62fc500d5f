"""Reconciles a whole repository some packages at a time, and keeps in memory only what is not settled.

A file is settled where nothing is left to do: the index names it, all that is published of it stands in its place, and
it was read. A full sync of a large repository finds nearly all files so. This is for formats whose package files share
no places, unless they have the same bytes.

1. Where this process has placed all files of the repository on the same basis before, the state database tells which
   packages are settled, and only the others are looked at.
2. What a portion decides is in the state database before the next one is looked at.
3. What stands beside a package file belongs to it. Where clients need another name than that of the record, the state
   database can't tell what that is, so the package is looked at.
4. A path that a file of another portion claims has been published under that file's SHA-256, or `build` finds the two.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

from packrat_agent.formats.interface import Format, Treatment
from packrat_agent.model.entries import Fragment, Placement, Plan
from packrat_agent.state.file_state import FileState
from packrat_agent.state.packages import IndexedFile, WantedFile
from packrat_agent.sync.context import MirrorContext, Order
from packrat_agent.sync.planning.published_parts import parts_of
from packrat_agent.sync.planning.reconcile import reconcile
from packrat_agent.sync.planning.scope import Scope, whole_repo

_FILES = 1000
"""Number of package files that are looked at together, all of a package at once."""


@dataclass(slots=True)
class Unsettled:
    """What is not settled.

    indexed: what the index names of it. moved: those of `indexed` that have another place now, or none. fragments: by
    the SHA-256 of the package file. accompanying: what stands beside package files that clients need under another
    name, settled or not.
    """

    wanted_files: list[WantedFile] = field(default_factory=list)
    indexed: list[IndexedFile] = field(default_factory=list)
    moved: list[IndexedFile] = field(default_factory=list)
    fragments: dict[str, Fragment] = field(default_factory=dict)
    plans: list[Plan] = field(default_factory=list)
    accompanying: set[str] = field(default_factory=set)

    def add(
        self, wanted_files: Iterable[WantedFile], fragments: dict[str, Fragment], plan: Plan, marked: Mapping[str, bool]
    ) -> None:
        """Add the files of one portion that are not settled.

        Args:
            wanted_files: They, as they were remembered before the portion was looked at.
            fragments: Those of the portion.
            plan: What must be done about the portion, without what is settled.
            marked: URI → whether the index has a file as yanked, where that has changed.
        """
        places = {placement.file.uri: placement.path for placement in (*plan.keep, *plan.link, *plan.fetch)}
        for item in wanted_files:
            file = item.file
            self.wanted_files.append(item)
            if file.sha256 in fragments:
                self.fragments[file.sha256] = fragments[file.sha256]
            if item.state is FileState.LIVE:
                was_yanked = marked.get(file.uri, file.yanked)
                indexed = IndexedFile(file.uri, file.sha256, item.path, file.file_name, was_yanked)
                self.indexed.append(indexed)
                if places.get(file.uri) != item.path:
                    self.moved.append(indexed)
        self.plans.append(plan)

    def note_accompanying(
        self, wanted_files: Iterable[WantedFile], fragments: Mapping[str, Fragment], plan: Plan
    ) -> None:
        """Note what stands, or is to stand, beside package files of other names than clients need.

        Args:
            wanted_files: Those of a portion.
            fragments: Those of the portion.
            plan: That of the portion.
        """
        places = {placement.file.uri: placement.path for placement in (*plan.keep, *plan.link, *plan.fetch)}
        for item in wanted_files:
            fragment, path = fragments.get(item.file.sha256), places.get(item.file.uri)
            if fragment is None or path is None or not any(product.beside for product in fragment.products):
                continue
            if fragment.file_name != item.file.file_name:
                self.accompanying.update(parts_of(path, item.file.sha256, fragment))


def reconcile_in_portions(
    scope: Scope,
    form: Format,
    order: Order,
    context: MirrorContext,
    marked: Mapping[str, bool],
    *,
    is_placed: bool,
) -> tuple[Unsettled, Plan]:
    """Plan a sync of all packages; adopt what is found in its place, and remember places and refusals.

    Args:
        scope: Of all packages.
        form: The repository's type.
        order: The piece of work.
        context: The mirror.
        marked: URI → whether the index has a file as yanked, where that has changed.
        is_placed: Every live file stands where the format puts it, and agrees with its record.

    Returns:
        What is not settled, and the plan for it.
    """
    repo, source, store = scope.repo, context.source_of(form, scope.repo), context.store
    unsettled = Unsettled()
    portions: Iterable[Sequence[str]] = store.wanted.packages(repo.name, _FILES)
    if is_placed:
        left = {*store.open_packages(repo.name, source), *store.wanted.packages_of(repo.name, marked)}
        if not left and not store.has_unwanted(repo.name, source):
            return unsettled, _joined(scope, (), (), order)
        portions = store.wanted.packages_among(repo.name, left, _FILES)
    withdrawn = store.live.withdrawn(repo.name)
    # The name of a Python package is checked against what kind of file it is, which the short body says.
    has_bodies = form.treatment is Treatment.ACCOMPANIED
    for packages in portions:
        portion = replace(whole_repo(repo), packages=frozenset(packages))
        wanted_files, fragments, plan = reconcile(portion, form, order, context, has_bodies=has_bodies)
        settled = _find_settled(wanted_files, fragments, plan, withdrawn) - marked.keys()
        unsettled.note_accompanying(wanted_files, fragments, plan)
        open_files = [item for item in wanted_files if item.file.uri not in settled]
        if open_files:
            # Read above without their bodies, which are large, and which only open files need.
            if any(not fragment.body for item in open_files if (fragment := fragments.get(item.file.sha256))):
                fragments = store.wanted.fragments(repo.name, source, {item.file.package for item in open_files})
            keep = tuple(placement for placement in plan.keep if placement.file.uri not in settled)
            unsettled.add(open_files, fragments, replace(plan, keep=keep), marked)
    withdraw = tuple(path for path in store.unplaced(repo.name, source) if path not in unsettled.accompanying)
    return unsettled, _joined(scope, unsettled.plans, withdraw, order)


def _find_settled(
    wanted_files: Iterable[WantedFile], fragments: Mapping[str, Fragment], plan: Plan, withdrawn: Set[str]
) -> set[str]:
    """Give the URIs of files that are live where their format puts them, and were read: nothing is left to do for them.

    Args:
        wanted_files: Those of a portion.
        fragments: Those of the portion.
        plan: That of the portion.
        withdrawn: The paths of package files that are withdrawn.
    """
    paths = {placement.file.uri: placement.path for placement in plan.keep}
    return {
        item.file.uri
        for item in wanted_files
        if item.state is FileState.LIVE
        and paths.get(item.file.uri) == item.path
        and withdrawn.isdisjoint(plan.parts[item.file.uri])
        and item.file.sha256 in fragments
    }


def _joined(scope: Scope, plans: Iterable[Plan], withdraw: tuple[str, ...], order: Order) -> Plan:
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
        held=order.rehearsed.products,
    )


def _oldest_first(placements: Iterable[Placement]) -> list[Placement]:
    return sorted(placements, key=lambda placement: placement.file.record_order)
