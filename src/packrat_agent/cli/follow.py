"""Follows the server until SIGTERM, with the configuration that is in force: what `packrat-agent run` does."""

import asyncio
import signal
import time
from contextlib import suppress
from functools import partial
from pathlib import Path

import structlog

from packrat_agent.cli.as_root import refuse_as_root
from packrat_agent.cli.load_config import load_and_warn
from packrat_agent.config.settings import Config
from packrat_agent.formats.table import FORMATS
from packrat_agent.state.facts import RefusedConfig
from packrat_agent.status.progress import show_progress
from packrat_agent.status.reading import read_totals
from packrat_agent.sync.context import MirrorContext
from packrat_agent.sync.mirror import open_mirror
from packrat_agent.watch import memory
from packrat_agent.watch import systemd as notify
from packrat_agent.watch.agent import Agent
from packrat_agent.watch.signals import CaughtSignals, EndWork, until_signalled
from packrat_core.errors import DiskError, Expired, NotYetValid, PackratError

log = structlog.get_logger()

_CLOCK_PAUSE_S = 5.0
_CLOCK_SET_WITHIN_S = 600.0
"""So long after a machine has started, NTP may not have set its clock yet."""
_WAITING: dict[type[PackratError], str] = {
    NotYetValid: "the key is tried again until it can sign",
    Expired: "the clock may be ahead, since this machine has just started: the key is tried again for ten minutes",
}
_LONGEST_START_S = 120.0
"""Within this time after each try, systemd takes it that the start has not hung: as TimeoutStartSec in the unit."""


def follow(config_path: Path) -> None:
    """Run until SIGTERM; a SIGHUP reads the configuration again.

    Raises:
        PackratError: The agent can't start, or can't go on.
    """
    memory.be_sparing()
    config = in_force = load_and_warn(config_path)
    refuse_as_root(config)
    refused: str | None = None
    waits_for = ""
    # Before the lock is taken: from then on `sync` asks this process, which may not be ready yet.
    with CaughtSignals((signal.SIGHUP, signal.SIGUSR1)) as caught:
        while True:
            try:
                following = _run_until_reload(config, refused, caught)
            except PackratError as error:
                if caught.has_stopped:
                    raise
                # While one is in force, a new configuration doesn't wait for its key.
                if _is_of_the_clock(error) and (config is in_force or waits_for):
                    if str(error) != waits_for:
                        log.error("waiting", reason=str(error), text=_WAITING[type(error)])
                        notify.status(f"waiting: {error}")
                    in_force, waits_for = config, str(error)
                    following = _wait_for_clock(config, refused, caught)
                elif config is in_force:
                    raise
                else:
                    log.error("config", reason=str(error), text="the configuration before it stays in force")
                    following = in_force, str(error)
            else:
                in_force, waits_for = config, ""
            if following is None:
                break
            config, refused = following
    log.info("stopped")


def _is_of_the_clock(error: PackratError) -> bool:
    """Tell whether a signing key may be able to sign once this machine's clock is set.

    A machine whose clock has no battery starts years back or ahead, until NTP sets it. That a key is expired may be
    true as well, so that counts only while the machine has just started.
    """
    has_just_started = time.clock_gettime(time.CLOCK_BOOTTIME) <= _CLOCK_SET_WITHIN_S
    return isinstance(error, NotYetValid) or (isinstance(error, Expired) and has_just_started)


def _wait_for_clock(config: Config, refused: str | None, caught: CaughtSignals) -> tuple[Config, str | None]:
    """Wait a moment; gives the configuration to try then, with why the one on disk can't be used if it is not that.

    Args:
        config: The configuration that waits; a SIGHUP reads it again.
        refused: Why the configuration on disk can't be used, where it is not that.
        caught: Keeps the signals that come meanwhile.
    """
    notify.still_starting(_LONGEST_START_S)
    time.sleep(_CLOCK_PAUSE_S)
    if not caught.take(signal.SIGHUP):
        return config, refused
    try:
        read = load_and_warn(config.source)
    except PackratError as error:
        log.error("config", reason=str(error), text="the configuration in force stays")
        return config, str(error)
    log.info("config", text="read again")
    return read, None


def _run_until_reload(config: Config, refused: str | None, caught: CaughtSignals) -> tuple[Config, str | None] | None:
    """Run with one configuration until a SIGHUP, until the signing keys are renewed, or until SIGTERM.

    Args:
        config: The configuration.
        refused: Why the configuration on disk can't be used, where it is not the one in force.
        caught: Keeps the signals that come before this one is ready, or between two configurations.

    Returns:
        The next configuration, with why the one on disk can't be used if it is not that; None after SIGTERM.
    """
    found: list[Config] = []
    refusals = [refused]
    bell = asyncio.Event()

    def reload(end: EndWork) -> None:
        try:
            found.append(load_and_warn(config.source))
        except PackratError as error:
            log.error("config", reason=str(error), text="the configuration in force stays")
            refusals.append(str(error))
            _note_refused(context, str(error))
            return
        log.info("config", text="read again")
        notify.reloading()
        end()

    def ring(end: EndWork) -> None:
        bell.set()

    # Those of all types now: the server may name a new one weeks later, when other modules are installed here.
    list(FORMATS.values())
    with open_mirror(config, "run") as context, show_progress(partial(read_totals, config)) as on_progress:
        _note_refused(context, refused)
        others = {signal.SIGHUP: reload, signal.SIGUSR1: ring}
        agent = Agent(context, on_progress, bell)
        # Only then: systemd kills a service after a while that says that it stops, and goes on after a reload.
        is_renewed = until_signalled(partial(_follow, agent), others, caught, on_stop=notify.stopping)
        if caught.has_stopped:
            return None
        if is_renewed and not found:
            log.info("key", text="the keyring has new dates of a signing key: its public key is published again")
            notify.reloading()
            return config, refusals[-1]
    return (found[-1], None) if found else None


async def _follow(agent: Agent) -> bool:
    await agent.run()
    return True


def _note_refused(context: MirrorContext, reason: str | None) -> None:
    """Have `status` and `check` tell that the configuration on disk is not the one in force."""
    with suppress(DiskError):
        if reason is None:
            context.store.facts.drop(RefusedConfig)
        else:
            context.store.facts.write(RefusedConfig(time.time(), reason))
