"""The command line: the options that all commands share, and the list of the commands, each in a module of its own."""

import os
from pathlib import Path

import click

from packrat_agent import DEFAULT_CONFIG
from packrat_core import __version__
from packrat_core.cli.command_group import CommandInModule, ErrorTellingGroup
from packrat_core.log import set_up_log

_LOADING_LIBRPM = ("sync", "run", "doctor", "demo")
# They log nothing, or set up the log where they do; setting it up takes as long as they do.
_WITHOUT_LOG = ("status", "check", "verify")
# They say on stdout what others say in the log.
_QUIET = ("init", "doctor")
_WAITING_FOR_DISKS = ("run", "sync", "key")
"""The others look at disks in a process of their own, or make copies of this one, which must have no other threads."""
_EXIT_CODES = """
Exit codes: 0 all good; 1 internal error; 2 configuration or command line; 3 the server can't be reached;
4 the server refused the request; 5 the server's answers are broken; 6 the signing key; 7 the disk; 8 another agent is
at work; 9 root_dir holds unmanaged files; 10 held back until confirmed; 12 done, but something was left out;
13 verify found faults. `check` and `doctor` have codes of their own: see there.
"""
_OTHER_NAMES = {
    "start": "`systemctl start packrat-agent` starts the service, `packrat-agent run` follows the server right here.",
    "interactive": "`packrat-agent run` follows the server right here.",
    "stop": "`systemctl stop packrat-agent` stops the service.",
    "kill": "`systemctl stop packrat-agent` stops the service.",
    "restart": "`systemctl restart packrat-agent` restarts the service.",
    "reload": "`systemctl reload packrat-agent` has the service read mirror.conf again.",
    "reload_config": "`systemctl reload packrat-agent` has the service read mirror.conf again.",
}
"""Commands of the original agent, and of init scripts."""


@click.group(
    "packrat-agent",
    cls=ErrorTellingGroup,
    other_names=_OTHER_NAMES,
    epilog=_EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, "-V", "--version", prog_name="packrat-agent")
@click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path, readable=False),
    default=DEFAULT_CONFIG,
    show_default=True,
    help="The configuration file.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    default="info",
    show_default=True,
    help="What to log on stderr.",
)
@click.pass_context
def main(ctx: click.Context, /, config_path: Path, **_log: str) -> None:
    """Follow a packrat server and build package repositories from it, signed where their clients check signatures."""
    # What is published is for everyone to read, whatever umask this process was started with.
    os.umask(0o022)
    ctx.obj = config_path


def _prepare(ctx: click.Context) -> None:
    """Set up the log, as the command wants it."""
    root = ctx.find_root()
    command = root.invoked_subcommand
    if command in _LOADING_LIBRPM:
        from packrat_agent.cli.library_output import log_library_output

        log_library_output()
    if command not in _WITHOUT_LOG:
        is_default = root.get_parameter_source("log_level") is click.core.ParameterSource.DEFAULT
        set_up_log("error" if is_default and command in _QUIET else root.params["log_level"])
    if command in _WAITING_FOR_DISKS:
        from packrat_agent.watch.disk_watch import WATCH

        WATCH.start()


for _command, _summary in (
    ("init", "Set up a mirror: user, directories, key, mirror.conf, first sync, site file, service."),
    ("config", "Check the configuration and print what is in force."),
    ("sync", "Run one full sync and exit."),
    ("run", "Run a full sync, then follow the server until SIGTERM."),
    ("serve", "Serve root_dir over HTTP, for a small site or to try things out."),
    ("site", "Print the site file for nginx or Apache."),
    ("doctor", "Check everything that can be wrong, and say what to do."),
    ("demo", "Try it out on this machine."),
    ("status", "Show the state of the mirror; changes nothing."),
    ("check", "Check the mirror, as a monitoring plugin."),
    ("verify", "Audit a tree as its clients would."),
    ("key", "Show, make, replace, export and back up the signing key."),
):
    main.add_command(CommandInModule(_command, f"packrat_agent.cli.{_command}:{_command}_command", _summary, _prepare))
