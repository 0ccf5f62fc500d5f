"""Puts the package files of a large new repository in place some at a time, so that its first sync needs little memory.

1. Only as long as nothing of the repository is published, so that no client looks for its files yet. If its directory
   holds anything that the state database does not know, a former index may be among it, and this is not done.
2. Some packages at a time are planned, fetched, read and put in place, and the state database learns that they are
   live. A file that is not as it should be is left alone: the sync that follows finds it unsettled, and reports it.
3. The index is made by that sync, from the state database. Each portion makes a new revision of the database, so that a
   change that comes between looks at everything, too.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from packrat_agent.formats.interface import Treatment
from packrat_agent.model.entries import Fragment, Plan
from packrat_agent.model.paths import path_in_root
from packrat_agent.model.records import Wanted
from packrat_agent.model.tree import UnsignedTree
from packrat_agent.state.fragment_backup import keep
from packrat_agent.state.packages import WantedFile
from packrat_agent.sync.build import Made, Material, build_packages
from packrat_agent.sync.commit import make_live
from packrat_agent.sync.fetch.download import Fetched
from packrat_agent.sync.job import Job
from packrat_agent.sync.planning.gains import find_gains, new_refusals, of_entries, standing
from packrat_agent.sync.planning.plan_repo import basis_of
from packrat_agent.sync.planning.reconcile import reconcile
from packrat_agent.sync.planning.scope import whole_repo
from packrat_agent.sync.roll_forward import roll_forward
from packrat_agent.sync.turns import EVERYTHING
from packrat_core.aio.threads import in_thread
from packrat_core.errors import ServerUnavailable
from packrat_core.fs.flush import flush_files

MANY = 20_000
"""Up to so many package files are planned and built at once, at some 4 KiB each."""
_FILES = 5000
"""Number of package files in each portion; each rewrites most pages of the state database's indexes by SHA-256."""


async def place_ahead(job: Job, wanted: Wanted, changes: int) -> None:
    """Place the package files of a repository of which nothing is published, if there are very many.

    Whatever is awaited stays this full sync's (`turn.fetching`) until it has planned the rest.

    Args:
        job: A full sync of it.
        wanted: What the server said.
        changes: How many changes were synced when it was asked.

    Raises:
        DiskError: The disk failed; what is in place stays there.
        SigningError: The key does not sign.
    """
    repo, store, turn = job.repo, job.context.store, job.turn
    async with turn.lock:
        # What came between is in no list that was made before it.
        if turn.changes != changes or not await in_thread(_is_due, job):
            return
        await in_thread(store.wanted.remember_wanted, repo.name, wanted, None)
        job.work.fetch(await in_thread(store.wanted.awaited_count, repo.name))
        # The sync that follows plans all of it, so no change has to know what it is.
        turn.fetching = EVERYTHING
    async with job.context.turns.working(repo.name):
        portions = store.wanted.packages(repo.name, _FILES)
        while packages := await in_thread(next, portions, None):
            if not await _place_some(job, packages):
                return
        # Each was placed just now, so that the sync that follows has to look only at what is not settled.
        job.context.last_renders.end_placing(basis_of(job))


def _is_due(job: Job) -> bool:
    repo, store = job.repo.name, job.context.store
    if not job.form.keeps_index or store.publications.identities(repo):
        return False
    below = path_in_root(job.repo, "")
    if any(path.startswith(below) for path in job.order.untracked):
        return False
    # Beside most Python packages stands another file.
    many = MANY // 2 if job.form.treatment is Treatment.ACCOMPANIED else MANY
    return store.wanted.count(repo, None) - store.wanted.live_count(repo) > many


async def _place_some(job: Job, packages: Collection[str]) -> bool:
    """Place the files of some packages; tells whether to go on."""
    with job.staging() as share:
        async with job.turn.lock:
            portion = await in_thread(_plan, job, packages)
            changes = job.turn.changes
        fetched = await job.fetch(portion.plan, share)
        own = replace(job, context=replace(job.context, staging=share.staging))
        async with job.turn.lock:
            if job.turn.changes != changes:
                portion = await in_thread(_plan, job, packages)
            made = await in_thread(_make, own, portion, fetched)
            async with job.context.turns.publishing:
                await in_thread(_settle, own, portion, made)
    # Where the server is away, one sync that tries all that is left is enough.
    is_away = any(isinstance(error, ServerUnavailable) for error in fetched.failed.values())
    return not is_away or bool(fetched.staged)


@dataclass(frozen=True, slots=True)
class _Portion:
    """Some packages: their wanted files, what was read of these before, and what must be done."""

    wanted_files: Sequence[WantedFile]
    fragments: Mapping[str, Fragment]
    plan: Plan


def _plan(job: Job, packages: Collection[str]) -> _Portion:
    scope = replace(whole_repo(job.repo), packages=frozenset(packages))
    wanted_files, fragments, plan = reconcile(scope, job.form, job.order, job.context)
    # It is remembered with the reason from now on, and would not be new to the sync that follows.
    job.result.newly_refused += new_refusals(plan.refused, wanted_files)
    return _Portion(wanted_files, fragments, plan)


def _make(job: Job, portion: _Portion, fetched: Fetched) -> Made:
    plan, context = portion.plan, job.context
    paths = {placement.path for placement in (*plan.keep, *plan.link, *plan.fetch)}
    # Those under which clients are to find Python packages are known once these are read.
    names = context.store.published_names.below(job.repo.directory, paths)
    material = Material(
        root=context.root,
        staging=context.staging,
        staged=fetched.staged,
        failed=fetched.failed,
        known=portion.fragments,
        published_names=names,
        claims={},
    )
    made = build_packages(plan, job.form, context.signer_of(job.form, job.repo), material)
    # Nobody else should wait for the disk when they are placed.
    flush_files([f"{context.staging}/{sha256}" for sha256 in sorted({package.sha256 for package in made.packages})])
    return made


def _settle(job: Job, portion: _Portion, made: Made) -> None:
    """Put what was made in place, and note that it is live; nothing else is noted."""
    repo, context, store = job.repo, job.context, job.context.store
    # What a failing disk left half published would mislead.
    roll_forward(repo.name, store, context.root, context.kept)
    source = context.source_of(job.form, repo)
    good = {entry.file.sha256: entry.fragment for entry in made.entries}
    store.fragments.save(source, {sha256: made.fresh[sha256] for sha256 in good.keys() & made.fresh.keys()})
    keep(context.root, source, store.fragments, good)
    store.revisions.advance(repo.name)
    store.live.reinstate(repo.name, (path for parts in portion.plan.parts.values() for path in parts))
    if made.packages:
        # A change may have published something in between; nothing of that is withdrawn.
        tree = UnsignedTree(repo, (), None)
        make_live(tree, made.packages, (), context)
    for path in made.unneeded:
        path.unlink(missing_ok=True)
    live_before = store.wanted.indexed_among(repo.name, [item.file.uri for item in portion.wanted_files])
    uris = {entry.file.uri for entry in made.entries}
    store.wanted.set_live_among(repo.name, uris, uris)
    now = of_entries(repo, made.entries)
    gains = find_gains(live_before, now, standing(now, job.order.untracked), job.form.treatment)
    job.result.placed_ahead += gains.added
