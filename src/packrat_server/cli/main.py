"""The command line of the server: puts the commands together, and ends with a message and an exit code on errors."""

import io
import sys

import click

from packrat_core import __version__
from packrat_core.cli import ErrorTellingGroup
from packrat_core.log import set_up_log
from packrat_server.cli.files import FILE_COMMANDS
from packrat_server.cli.init import init_command
from packrat_server.cli.mirror import mirror_group
from packrat_server.cli.repo import repo_group
from packrat_server.cli.serve import serve_command
from packrat_server.cli.user import user_group


@click.group("packrat-server", cls=ErrorTellingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="packrat-server")
def main() -> None:
    """Keep package files and promote them through tags, for packrat-agents to mirror."""
    set_up_log()
    if isinstance(sys.stdout, io.TextIOWrapper):
        # An answer must not fail for a character that the terminal lacks.
        sys.stdout.reconfigure(errors="backslashreplace")


for _command in (init_command, serve_command, repo_group, mirror_group, user_group, *FILE_COMMANDS):
    main.add_command(_command)
