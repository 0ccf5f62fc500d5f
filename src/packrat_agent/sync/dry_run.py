"""Says what the sync of one repository would do, and remembers nothing."""

from dataclasses import replace

from packrat_agent.sync.job import Job
from packrat_agent.sync.planning.gains import find_gains, new_refusals, of_plan, refused_for_good, standing
from packrat_agent.sync.planning.plan_repo import Asked, hold_back
from packrat_agent.sync.planning.reconcile import reconcile_dry
from packrat_core.aio.threads import in_thread


async def note_plan(sync: Job, asked: Asked) -> None:
    """Put into the result of a sync what it would do."""
    repo, order, context, result = sync.repo, sync.order, sync.context, sync.result
    result.rejected = list(asked.wanted.rejected)
    wanted = await in_thread(hold_back, sync, asked)
    held = await in_thread(context.store.removals.held, repo.name)
    stays = await in_thread(context.store.record_reads.read_among, repo.name, list(held))
    wanted = replace(wanted, files=(*wanted.files, *stays))
    wanted_files, plan = await in_thread(reconcile_dry, repo, sync.form, wanted, order, context)
    new = (*plan.fetch, *plan.link)
    stands = {p.path for p in new if p.path in order.untracked and order.untracked[p.path].sha256 == p.file.sha256}
    parts = (path for p in plan.keep for path in plan.parts[p.file.uri] if path in order.untracked)
    result.adopted = [*parts, *sorted(stands)]
    result.downloads = [p.path for p in plan.fetch if p.file.sha256 not in plan.sources and p.path not in stands]
    result.planned = [*plan.keep, *plan.link, *plan.fetch]
    before, now = context.store.wanted.indexed(repo.name, None), of_plan(plan)
    gains = find_gains(before, now, standing(now, order.untracked), sync.form.treatment)
    result.added, result.removed = gains.added, gains.removed
    result.yanked, result.unyanked = gains.yanked, gains.unyanked
    result.refused = [*plan.refused, *refused_for_good(wanted_files)]
    result.newly_refused = new_refusals(result.refused, wanted_files)
