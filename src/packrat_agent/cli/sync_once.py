"""One full sync, which `packrat-agent sync` does itself, or asks the running agent to do."""

import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click
import structlog

from packrat_agent.cli.as_root import refuse_as_root
from packrat_agent.cli.load_config import load_and_warn
from packrat_agent.cli.next_step import command_line
from packrat_agent.config.settings import Config
from packrat_agent.model.changes import Confirmed
from packrat_agent.publish.claim import write_confirmed
from packrat_agent.setup.service import BY_INIT
from packrat_agent.state.facts import Failure
from packrat_agent.status.progress import show_progress
from packrat_agent.status.reading import read_totals
from packrat_agent.status.sync_report import show_summary
from packrat_agent.sync.context import MirrorContext, Progress, Summary
from packrat_agent.sync.full_sync import Rehearsal, rehearse, sync
from packrat_agent.sync.mirror import finds_takeover, open_for_dry_run, open_mirror
from packrat_agent.upstream.connection import connected
from packrat_agent.upstream.login import LoginState
from packrat_agent.watch import memory
from packrat_agent.watch.signals import until_signalled
from packrat_core.cli.tell_next import tell_next
from packrat_core.errors import (
    OF_SERVER,
    Busy,
    DiskError,
    Held,
    Incomplete,
    PackratError,
    ServerUnavailable,
)
from packrat_core.text import count_of

T = TypeVar("T")

log = structlog.get_logger()


def sync_once(config_path: Path, confirmed: Confirmed, *, dry_run: bool, adopt: bool) -> None:
    """Do one full sync, or ask the agent that runs here for one, and print what came of it.

    Args:
        config_path: mirror.conf.
        confirmed: What the operator confirms.
        dry_run: Show what would be done, and change nothing.
        adopt: Take over a tree that no packrat-agent made.

    Raises:
        PackratError: It failed, or not everything could be published.
    """
    memory.be_sparing()
    config = load_and_warn(config_path)
    refuse_as_root(config, asks_a_running_agent=not (dry_run or adopt))
    # os.path.exists never raises.
    is_first = not os.path.exists(config.mirror.state_db) and BY_INIT not in os.environ

    rehearsal = _rehearse(config, confirmed) if adopt and not dry_run and finds_takeover(config) else None
    opened = open_for_dry_run(config) if dry_run else open_mirror(config, adopt=adopt)
    figures = nullcontext() if dry_run else _figures_at_end(config)
    try:
        with figures, opened as context, show_progress(partial(read_totals, config)) as on_progress:
            summary = _until_stopped(lambda: _sync(context, confirmed, on_progress, rehearsal))
    except Busy as busy:
        if busy.runner is None or dry_run or adopt:
            raise
        _ask_running_agent(busy.runner, config, confirmed)
        return
    if summary is None:
        raise Incomplete("stopped by a signal", hint="what was published stays, the next sync goes on")
    show_summary(summary, dry_run=dry_run)
    if dry_run:
        _hold_takeover(summary, confirmed)
        # Without --adopt, a sync refuses what no packrat-agent made.
        takes_over = adopt or finds_takeover(config)
        tell_next(f"{command_line(config_path, 'sync', *(['--adopt'] if takes_over else []))} does it")
    elif is_first:
        serve, run = command_line(config_path, "site", "nginx"), command_line(config_path, "run")
        tell_next(f"{serve} (or apache) prints the site file that serves it, {run} follows the server from now on")
    _raise_if_incomplete(summary)


def _ask_running_agent(process: int, config: Config, confirmed: Confirmed) -> None:
    """Have the agent that runs here do a full sync; it reads what is confirmed when the signal comes."""
    write_confirmed(config.mirror.state_db, confirmed)
    os.kill(process, signal.SIGUSR1)
    click.echo(f"asked the running agent (process {process}) for a full sync; `packrat-agent status` tells more")


def _raise_if_incomplete(summary: Summary) -> None:
    if summary.disk_error is not None:
        raise summary.disk_error
    if not summary.complete:
        raise Incomplete(
            "the full sync is done, but not everything could be published", hint="the log above says what and why"
        )


def _until_stopped(start: Callable[[], Coroutine[Any, Any, T]]) -> T | None:
    # A script must not take a sync that did not end in time for one that is done.
    return until_signalled(start, abandoned_code=Incomplete.exit_code)


@contextmanager
def _figures_at_end(config: Config) -> Iterator[None]:
    """Write metrics_file once this sync is over, even if it failed; another agent that is at work writes its own."""
    mirror, is_ours = config.mirror, True
    try:
        yield
    except Busy:
        is_ours = False
        raise
    finally:
        if is_ours and mirror.metrics_file is not None and os.path.exists(mirror.state_db):
            # It takes a while to import, and few mirrors have such a file.
            from packrat_agent.status.prometheus import collect

            if (reason := collect(config)) is not None:
                log.warning("metrics", reason=reason)


def _rehearse(config: Config, confirmed: Confirmed) -> Rehearsal:
    """Do a dry run of a takeover, and give what it leaves to it, so that nothing is hashed or read twice.

    Raises:
        Held: Clients would lose something by it that the operator has not confirmed; nothing was touched.
        Incomplete: A signal stopped it.
    """
    with open_for_dry_run(config) as context, show_progress(partial(read_totals, config)) as on_progress:
        rehearsed = _until_stopped(lambda: _ask_and_rehearse(context, confirmed, on_progress))
    if rehearsed is None:
        raise Incomplete("stopped by a signal; nothing was touched")
    summary, rehearsal = rehearsed
    if summary.changes or (summary.losses and not confirmed.removals):
        show_summary(summary, dry_run=True)
    _hold_takeover(summary, confirmed)
    return rehearsal


def _hold_takeover(summary: Summary, confirmed: Confirmed) -> None:
    if summary.changes:
        raise Held(
            "the takeover is held, and nothing was touched: apt's users would have to accept other names; the lines "
            "that begin with ~ say what to set in [mirror]"
        )
    if summary.losses and not confirmed.removals:
        losses = count_of(len(summary.losses), "line that begins with ? names", "lines that begin with ? name")
        raise Held(
            f"the takeover is held, and nothing was touched: clients would lose what {losses}. Mend it on the server, "
            "or confirm with `packrat-agent sync --adopt --accept-removals`"
        )


async def _ask_and_rehearse(
    context: MirrorContext, confirmed: Confirmed, on_progress: Progress
) -> tuple[Summary, Rehearsal]:
    async with connected(context.config, LoginState(context.fault_log.login)) as server:
        return await rehearse(context, server, confirmed, on_progress)


async def _sync(
    context: MirrorContext, confirmed: Confirmed, on_progress: Progress, rehearsal: Rehearsal | None
) -> Summary:
    url, facts = context.config.packrat.url, context.store.facts
    try:
        async with connected(context.config, LoginState(context.fault_log.login)) as server:
            summary = await sync(context, server, confirmed, on_progress, rehearsal)
    except PackratError as error:
        with suppress(DiskError):
            if isinstance(error, OF_SERVER):
                facts.note_server(url, time.time(), str(error))
            if not isinstance(error, ServerUnavailable):
                facts.write(Failure(time.time(), str(error)))
        raise
    facts.note_server(url, time.time())
    facts.drop(Failure)
    return summary
