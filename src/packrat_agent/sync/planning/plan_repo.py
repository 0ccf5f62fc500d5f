"""Plans the sync of one repository: remembers what the server said, and reconciles it with the disk.

`make_plan` begins a sync. `plan_again` follows where changes came between a full sync's plan and its publication.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from packrat_agent.model.entries import Fragment, Placement, Plan
from packrat_agent.model.records import Wanted
from packrat_agent.state.file_rows import about
from packrat_agent.state.file_state import FileState
from packrat_agent.state.packages import IndexedFile, WantedFile
from packrat_agent.sync.fetch.download import Fetched
from packrat_agent.sync.job import Job
from packrat_agent.sync.last_renders import Basis
from packrat_agent.sync.planning.gains import Before, of_entries
from packrat_agent.sync.planning.reconcile import reconcile
from packrat_agent.sync.planning.reconcile_portions import reconcile_in_portions
from packrat_agent.sync.planning.removals import Missing, explain_held_back, hold_back_removals
from packrat_agent.sync.planning.scope import Scope, narrow, whole_repo
from packrat_core.failpoints import done


@dataclass(frozen=True, slots=True)
class Asked:
    """The server's answer for the repository, and what it lacks of the live files."""

    wanted: Wanted
    missing: Missing


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, what it was made from, and (`at`) after how many changes of the repository.

    leaving: files that the published index names and the state database no longer has, or has otherwise. marked: URI →
    whether the index has a file as yanked, where the state database says otherwise and is read portion by portion.
    """

    basis: Basis
    scope: Scope
    before: Before
    leaving: frozenset[IndexedFile]
    wanted_files: Sequence[WantedFile]
    fragments: Mapping[str, Fragment]
    plan: Plan
    at: int
    marked: Mapping[str, bool] = field(default_factory=dict)


def basis_of(sync: Job) -> Basis:
    """Say what a render kept from the last sync must have been made from, to be of use to this one."""
    revision = sync.context.store.revisions.of(sync.repo.name)
    return Basis(sync.repo, sync.context.source_of(sync.form, sync.repo), revision)


def hold_back(sync: Job, asked: Asked) -> Wanted:
    """Add to what is wanted what is not to go yet, and tell of it."""
    repo, context, accepted = sync.repo, sync.context, sync.order.confirmed.removals
    wanted = hold_back_removals(repo, asked.wanted, asked.missing, context.store, context.removals, accepted=accepted)
    sync.result.held = explain_held_back(repo, context.store)
    return wanted


def make_plan(sync: Job, asked: Asked) -> Planned:
    """Remember what the server said, and reconcile it with the disk."""
    was_unfinished, sync.turn.is_unfinished = sync.turn.is_unfinished, True
    planned = _remember_and_plan(sync, asked)
    sync.turn.is_unfinished = was_unfinished or bool(planned.leaving)
    return planned


def _remember_and_plan(sync: Job, asked: Asked) -> Planned:
    repo, order, context, store = sync.repo, sync.order, sync.context, sync.context.store
    basis, wanted = basis_of(sync), asked.wanted
    sync.result.rejected = list(wanted.rejected)
    store.rejections.note(repo.name, wanted.rejected, None if order.packages is None else wanted.uris)
    wanted = hold_back(sync, asked)
    # A full sync decides everything again; what the last one left stays for the changes that come between.
    left = None if order.reread else context.last_renders.take(basis)
    scope = narrow(repo, order.packages, left, wanted.touched)
    if scope.packages is None and sync.form.keeps_index:
        return _plan_in_portions(sync, wanted, basis)
    indexed: Collection[IndexedFile] = store.wanted.indexed(repo.name, None) if scope.packages is None else ()
    store.wanted.remember_wanted(repo.name, wanted, order.packages)
    done("wanted-remembered")
    if scope.packages is None:
        leaving = frozenset(indexed).difference(store.wanted.indexed(repo.name, None))
    else:
        marks = store.wanted.marks(repo.name, scope.files or ())
        scope = scope.without_standing(marks)
        indexed = of_entries(repo, scope.before)
        leaving = frozenset(file for file in indexed if marks.get(file.uri) is None)
    wanted_files, fragments, plan = reconcile(scope, sync.form, order, context)
    before = Before(indexed, wanted_files)
    return Planned(basis, scope, before, leaving, wanted_files, fragments, plan, sync.turn.changes)


def _plan_in_portions(sync: Job, wanted: Wanted, basis: Basis) -> Planned:
    """Decide everything again, and hold only what is not settled."""
    repo, order, store = sync.repo, sync.order, sync.context.store
    some = about(order.packages, wanted.touched)
    lost = () if wanted.names_all_known else store.wanted.lost(repo.name, wanted.uris, some)
    gone = store.wanted.indexed_among(repo.name, lost)
    marked = store.wanted.changed_marks(repo.name, wanted, order.packages)
    try:
        store.wanted.remember_wanted(repo.name, wanted, order.packages)
        done("wanted-remembered")
        planned = _reconcile_in_portions(sync, basis, frozenset(gone), marked)
    except BaseException:
        # The state database may have lost what the index still names, so no change may start from that index.
        sync.context.last_renders.drop(repo.name)
        raise
    if planned.leaving and order.reread:
        # Until this sync has published, changes must not take what the database has for what the index names.
        store.revisions.advance(repo.name)
        planned = replace(planned, basis=replace(basis, revision=basis.revision + 1))
    return planned


def _reconcile_in_portions(
    sync: Job, basis: Basis, gone: frozenset[IndexedFile], marked: Mapping[str, bool]
) -> Planned:
    scope, renders = whole_repo(sync.repo), sync.context.last_renders
    is_placed = renders.is_placed(basis)
    if not is_placed:
        renders.begin_placing(basis)
    unsettled, plan = reconcile_in_portions(scope, sync.form, sync.order, sync.context, marked, is_placed=is_placed)
    renders.end_placing(basis)
    scope = replace(scope, looked_at=frozenset(item.file.uri for item in unsettled.wanted_files))
    before = Before(gone.union(unsettled.indexed), unsettled.wanted_files)
    leaving = gone.union(unsettled.moved)
    files, fragments = unsettled.wanted_files, unsettled.fragments
    return Planned(basis, scope, before, leaving, files, fragments, plan, sync.turn.changes, marked)


def plan_again(first: Planned, sync: Job) -> Planned:
    """Plan again after changes that came between; what clients gained and lost by these is logged already."""
    if sync.form.keeps_index:
        again = _reconcile_in_portions(sync, basis_of(sync), first.leaving, first.marked)
        return replace(again, leaving=first.leaving)
    basis, scope, store = basis_of(sync), whole_repo(sync.repo), sync.context.store
    before = Before(first.leaving.union(store.wanted.indexed(sync.repo.name, None)), first.before.wanted_files)
    wanted_files, fragments, plan = reconcile(scope, sync.form, sync.order, sync.context)
    return Planned(basis, scope, before, first.leaving, wanted_files, fragments, plan, sync.turn.changes)


def names_what_is_missing(planned: Planned) -> bool:
    """Say whether the published index names files that are not on disk."""
    missing = {placement.file.uri for placement in planned.plan.fetch}
    return any(item.state is FileState.LIVE and item.file.uri in missing for item in planned.wanted_files)


def leave_to_full_sync(planned: Planned, sync: Job) -> Planned:
    """Take out of a plan what a full sync is downloading at the moment, unless it is what changed."""
    fetching, packages = sync.turn.fetching, frozenset(sync.order.packages or ())
    fetch = tuple(p for p in planned.plan.fetch if p.file.sha256 not in fetching or p.file.package in packages)
    sync.result.left = len(planned.plan.fetch) - len(fetch)
    return replace(planned, plan=replace(planned.plan, fetch=fetch))


def without_fetched(plan: Plan, fetched: Fetched) -> Plan:
    """Take out of a plan what was fetched, and what could not be."""
    done_with = fetched.staged.keys() | fetched.failed.keys()

    def are_parts_staged(placement: Placement) -> bool:
        return all(sha256 in fetched.staged for sha256 in plan.missing[placement.file.uri].values())

    return replace(
        plan,
        fetch=tuple(placement for placement in plan.fetch if placement.file.sha256 not in done_with),
        link=tuple(p for p in plan.link if not are_parts_staged(p) and p.file.sha256 not in done_with),
    )
