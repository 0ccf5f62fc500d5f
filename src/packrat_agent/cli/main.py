"""The command line: one function a command.

Takes: arguments, mirror.conf.
Gives: answers on stdout, the log on stderr, an exit code.
Touches: through the agent: everything; itself only the terminal and signals.
"""

import asyncio
import os
import signal
import socket
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import structlog

from packrat_agent.cli.as_root import refuse_as_root
from packrat_agent.cli.demo import demo_command
from packrat_agent.cli.status import check_command, status_command
from packrat_agent.cli.verify import verify_command
from packrat_agent.config.checks import warn as warn_of_config
from packrat_agent.config.describe import describe
from packrat_agent.config.load import load
from packrat_agent.config.settings import Config
from packrat_agent.formats.interface import WebServer
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.changes import Confirmed
from packrat_agent.publish.claim import confirm
from packrat_agent.state.database import copy_database
from packrat_agent.state.facts import Failure, RefusedConfig
from packrat_agent.state.store import Store
from packrat_agent.status.sync_report import show_progress, show_summary
from packrat_agent.sync.full_sync import Progress, Summary, sync
from packrat_agent.sync.mirror import Mirror, Wish, ready
from packrat_agent.upstream.connection import connected
from packrat_agent.upstream.login import LoginState
from packrat_agent.watch import memory
from packrat_agent.watch import systemd as notify
from packrat_agent.watch.agent import run
from packrat_agent.watch.signals import EndWork, until_signalled
from packrat_agent.web.site_files import Site, write_site
from packrat_agent.web.static import serve_until
from packrat_core import __version__
from packrat_core.errors import (
    Busy,
    DiskError,
    Incomplete,
    PackratError,
    ServerBroken,
    ServerRefused,
    ServerUnavailable,
)
from packrat_core.listen import parse_listen
from packrat_core.log import set_up_log

log = structlog.get_logger()

DEFAULT_CONFIG = Path("/etc/packrat/mirror.conf")
_EXIT_CODES = """
Exit codes: 0 all good; 1 a fault of this program; 2 configuration or command line; 3 the server can't be reached;
4 the server said no; 5 the server's answers are broken; 6 the signing key; 7 the disk; 8 another agent is at work;
9 root_dir holds somebody else's files; 10 held back until confirmed; 12 done, but something was left out;
13 verify found faults. `check` has codes of its own: see there.
"""


class _Commands(click.Group):
    """Tells every PackratError in one sentence and exits with its code."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except PackratError as error:
            click.echo(f"packrat-agent: {error}", err=True)
            ctx.exit(error.exit_code)


@click.group(cls=_Commands, epilog=_EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="packrat-agent")
@click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, readable=False),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="The configuration file.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What to log on stderr.",
)
@click.pass_context
def main(ctx: click.Context, config_path: Path, log_level: str) -> None:
    """Follow a packrat server and build package repositories from it, signed where their clients check signatures."""
    set_up_log(log_level)
    # What is published is for everyone to read, whoever starts us.
    os.umask(0o022)
    ctx.obj = config_path


@main.command("config")
@click.pass_obj
def config_command(config_path: Path) -> None:
    """Check the configuration and print what is in force. Secrets are masked."""
    config = load(config_path)
    click.echo(describe(config), nl=False)
    for warning in warn_of_config(config):
        log.warning("config", text=warning)


@main.command("sync")
@click.option("--dry-run", is_flag=True, help="Say what would be done; touch nothing.")
@click.option("--adopt", is_flag=True, help="Take over a root_dir that holds files of somebody else; they are removed.")
@click.option(
    "--accept-removals", is_flag=True, help="Confirm that the server means it when it offers nothing any more."
)
@click.option(
    "--trust-clock", is_flag=True, help="Confirm that this host's clock is right where a Release is dated ahead of it."
)
@click.pass_obj
def sync_command(config_path: Path, dry_run: bool, adopt: bool, accept_removals: bool, trust_clock: bool) -> None:
    """Do one full pass and exit. Asks for everything, checks every file, mends, publishes, removes what is foreign."""
    config = _load(config_path)
    wish = Wish(dry_run, adopt, Confirmed(accept_removals, trust_clock))
    refuse_as_root(config, asks_a_running_agent=not (dry_run or adopt))

    try:
        with ready(config, wish) as mirror, show_progress() as on_progress:
            summary = until_signalled(lambda: _sync(mirror, wish, on_progress))
    except Busy as busy:
        if busy.runner is None or dry_run or adopt:
            raise
        confirm(config.mirror.root_dir, wish.confirmed)
        os.kill(busy.runner, signal.SIGUSR1)
        click.echo(
            f"asked the running agent (process {busy.runner}) for a full pass; `packrat-agent status` tells more"
        )
        return
    if summary is None:
        raise Incomplete("stopped by a signal; what was published stays, the next pass goes on")
    show_summary(summary, dry_run=dry_run)
    if not summary.complete:
        raise Incomplete("the pass is done, but not everything could be published; see above")


async def _sync(mirror: Mirror, wish: Wish, on_progress: Progress) -> Summary:
    url, facts = mirror.config.packrat.url, mirror.store.facts
    try:
        async with connected(mirror.config, LoginState(mirror.fault_log.login)) as server:
            summary = await sync(mirror, server, wish, on_progress)
    except PackratError as error:
        with suppress(DiskError):
            if isinstance(error, ServerUnavailable | ServerRefused | ServerBroken):
                facts.note_server(url, time.time(), str(error))
            if not isinstance(error, ServerUnavailable):
                facts.write(Failure(time.time(), str(error)))
        raise
    facts.note_server(url, time.time())
    facts.drop(Failure)
    return summary


@main.command("run")
@click.pass_obj
def run_command(config_path: Path) -> None:
    """Do a full pass, then follow the server until SIGTERM. SIGHUP reads the configuration again."""
    memory.be_sparing()
    config = in_force = _load(config_path)
    refuse_as_root(config)
    refused: str | None = None
    while True:
        try:
            following = _run_until_reload(config, refused)
        except PackratError as error:
            if config is in_force:
                raise
            log.error("config", reason=str(error), text="the configuration before it stays in force")
            config, refused = in_force, str(error)
            continue
        if following is None:
            break
        in_force, config, refused = config, following, None
    log.info("stopped")


def _run_until_reload(config: Config, refused: str | None) -> Config | None:
    """Run with one configuration; gives the next one after a SIGHUP, None after SIGTERM.

    refused: why the one that was to follow can't be used.
    """
    found: list[Config] = []
    bell = asyncio.Event()

    def reload(end: EndWork) -> None:
        try:
            found.append(_load(config.source))
        except PackratError as error:
            log.error("config", reason=str(error), text="the configuration in force stays")
            _note_refused(mirror, str(error))
            return
        log.info("config", text="read again")
        notify.reloading()
        end()

    def ring(end: EndWork) -> None:
        bell.set()

    with ready(config, Wish(), "run") as mirror, show_progress() as on_progress:
        _note_refused(mirror, refused)
        others = {signal.SIGHUP: reload, signal.SIGUSR1: ring}
        until_signalled(lambda: run(mirror, on_progress, bell), others)
    return found[-1] if found else None


def _note_refused(mirror: Mirror, reason: str | None) -> None:
    """Have `status` and `check` tell that the configuration on disk is not the one in force."""
    with suppress(DiskError):
        if reason is None:
            mirror.store.facts.drop(RefusedConfig)
        else:
            mirror.store.facts.write(RefusedConfig(time.time(), reason))


@main.command("serve")
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="HOST:PORT to serve root_dir on.")
@click.option("--root", type=click.Path(path_type=Path), help="Serve this directory instead of root_dir.")
@click.pass_obj
def serve_command(config_path: Path, listen: str, root: Path | None) -> None:
    """Serve root_dir over HTTP, for a small site or to try things out."""
    directory = root or load(config_path).mirror.root_dir
    host, port = parse_listen(listen)

    async def serve() -> None:
        await serve_until(directory, host, port, asyncio.Event())

    until_signalled(serve)


@main.command("site")
@click.argument("server", type=click.Choice([one.value for one in WebServer]))
@click.option("--host", help="The site's host name; by default that of public_url.")
@click.pass_obj
def site_command(config_path: Path, server: str, host: str | None) -> None:
    """Print the site file for nginx or Apache. Run it again when repositories were added."""
    mirror = load(config_path).mirror
    public = urlsplit(mirror.public_url or "")
    name = host or public.hostname or socket.getfqdn()
    port = public.port if public.scheme == "http" else None
    with tempfile.TemporaryDirectory(prefix="packrat-agent-") as scratch:
        store = Store(copy_database(mirror.state_db, Path(scratch) / "state.db"))
        repos = store.wanted.repos()
        store.close()
    click.echo(write_site(WebServer(server), mirror.root_dir, Site(name, port or 80), repos, FORMATS), nl=False)


main.add_command(demo_command)
main.add_command(status_command)
main.add_command(check_command)
main.add_command(verify_command)


def _load(config_path: Path) -> Config:
    config = load(config_path)
    for warning in warn_of_config(config):
        log.warning("config", text=warning)
    return config
