"""`packrat-agent sync`: does one full sync, or asks the agent that runs here for one."""

from pathlib import Path

import click

from packrat_agent.cli.config_option import config_option
from packrat_agent.model.changes import Confirmed
from packrat_core.cli.quick_import import quick_import


@click.command("sync")
@click.option("--dry-run", is_flag=True, help="Show what would be done, also by a takeover; change nothing.")
@click.option(
    "--adopt",
    is_flag=True,
    help="Take over the tree and the state database of the original packrat agent, or a root_dir that holds unmanaged "
    "files: wanted packages are kept in place, everything else is removed. Without it, sync stops with exit code 9 and "
    "touches nothing.",
)
@click.option(
    "--accept-removals",
    is_flag=True,
    help="Apply the removals that the mass-removal guard holds back; with --adopt, also take over where clients lose "
    "packages.",
)
@click.option(
    "--trust-clock", is_flag=True, help="Confirm that this host's clock is right where a Release is dated ahead of it."
)
@config_option
@click.pass_obj
def sync_command(config_path: Path, dry_run: bool, adopt: bool, accept_removals: bool, trust_clock: bool) -> None:
    """Run one full sync and exit. It repairs files, publishes, and removes untracked files.

    It reads every record of the server again and checks every file on disk. (The full syncs of `run` compare the lists,
    and read new records and a sample of the known ones.)
    """
    with quick_import():
        from packrat_agent.cli.sync_once import sync_once

    sync_once(config_path, Confirmed(accept_removals, trust_clock), dry_run=dry_run, adopt=adopt)
