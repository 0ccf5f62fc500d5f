"""The command line of the server: lists the commands, each in a module of its own."""

import click

from packrat_core import __version__
from packrat_core.cli.command_group import CommandInModule, ErrorTellingGroup
from packrat_core.log import set_up_log


@click.group("packrat-server", cls=ErrorTellingGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", prog_name="packrat-server")
def main() -> None:
    """Keep package files and promote them through tags, for packrat-agents to mirror."""


def _prepare(_ctx: click.Context) -> None:
    set_up_log()


for _command, _place, _summary in (
    ("init", "init:init_command", "Set up a new server."),
    ("serve", "serve:serve_command", "Serve the API until SIGTERM."),
    (
        "tag-type",
        "tag_type:tag_type_group",
        "Tags: which tags each requires, and whether it needs a change control id.",
    ),
    (
        "distro",
        "distro:distro_group",
        "Distribution versions: what packages are built for, and the type of their files.",
    ),
    ("repo", "repo:repo_group", "Repositories: which tag and distribution versions they take."),
    ("mirror", "mirror:mirror_group", "Mirrors: which repositories they build."),
    ("user", "user:user_group", "Users, their roles and rights."),
    ("export-events", "export_events:export_events_command", "Write the history as JSON lines."),
    ("package", "package:package_group", "Packages: how many files they have, and how many of them are kept."),
    ("file", "file:file_group", "Package files: what they are, which repositories offer them; deletes files."),
    ("find", "look:find_command", "Find package files by their name, or that of their package."),
    ("diff", "look:diff_command", "Show what only one of two tags or repositories has."),
    ("history", "history:history_command", "Show what happened to a package file or a package."),
    ("where", "where:where_command", "Show which mirrors have published a package file, given its name."),
    ("upload", "upload:upload_command", "Upload package files and print the URI of each."),
    ("tag", "files:tag_command", "Promote package files, named by URI or file name, to a tag."),
    (
        "promote",
        "promote:promote_command",
        "Promote package files, named by URI or file name, through the tags that a tag requires.",
    ),
    ("fail", "files:fail_command", "Mark package files as failed: they leave all repositories."),
    ("unfail", "files:unfail_command", "Undo the failure of package files."),
    (
        "deprocate",
        "files:deprocate_command",
        "Mark package files as deprecated: they leave the repositories, or are yanked if they are Python files.",
    ),
    ("undeprocate", "files:undeprocate_command", "Undo the deprecation of package files."),
):
    main.add_command(CommandInModule(_command, f"packrat_server.cli.{_place}", _summary, _prepare))
