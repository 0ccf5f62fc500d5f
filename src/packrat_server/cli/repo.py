"""`packrat-server repo`: sets up repositories."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from packrat_core.cli.command_group import InnerGroup
from packrat_core.cli.tell_next import tell_next
from packrat_core.packages.repository_types import TYPE_NAMES
from packrat_server.cli.consent import Consent, carry_out, with_consent
from packrat_server.cli.data_option import data_option
from packrat_server.cli.next_step import command_line
from packrat_server.cli.records import Records, add_looking

if TYPE_CHECKING:
    from sqlalchemy import Connection


@click.group("repo", cls=InnerGroup)
def repo_group() -> None:
    """Repositories: which tag and distribution versions they take."""


def _read(connection: "Connection") -> Records:
    from packrat_server.admin.listing import list_repos

    return list_repos(connection)


def _count_files(connection: "Connection", name: str) -> Mapping[str, Any]:
    from packrat_server.admin.listing import count_wanted

    return {"files": count_wanted(connection, name)}


add_looking(
    repo_group,
    "repository",
    _read,
    ("name", "type", "tag", "distros", "newest_only", "mirrors", "directory"),
    _count_files,
)


@repo_group.command("set")
@click.argument("name")
@click.option("--type", "kind", type=click.Choice(TYPE_NAMES), help="Its type; a new repository needs one.")
@click.option("--tag", help="Take the files that have this tag; a new repository needs one.")
@click.option(
    "--distro",
    "distros",
    multiple=True,
    help="A distribution version; may be repeated. Those given replace the present ones; a new repository needs them.",
)
@click.option("--directory", help="Its directory below root_dir, part of the address for clients. New: its name.")
@click.option("--description", help="What it is, as clients see it. New: its name.")
@click.option(
    "--all-versions/--newest-only",
    "all_versions",
    default=None,
    help="Offer every version, or the newest only. New: the newest only.",
)
@data_option
@with_consent
def repo_set(
    name: str, distros: tuple[str, ...], all_versions: bool | None, data: Path, consent: Consent, **given: str | None
) -> None:
    """Make or change a repository.

    Settings that no option names stay as they are. Prints each field that changed, before → after. Asks for
    confirmation if clients would lose files or their address.
    """
    from packrat_server import admin

    show_only_latest = None if all_versions is None else not all_versions
    repo = admin.NewRepo(name, distro_versions=distros or None, show_only_latest=show_only_latest, **given)
    change = carry_out(
        f"repository {name}", data, lambda engine, approval: admin.save_repo(engine, repo, approval), consent
    )
    if change.is_new and not consent.dry_run:
        mirror = command_line("mirror", "set", "MIRROR", "--repo", name)
        tell_next(f"{mirror} has a mirror build it; name the other repositories of that mirror, too")


@repo_group.command("remove")
@click.argument("name")
@data_option
@with_consent
def repo_remove(name: str, data: Path, consent: Consent) -> None:
    """Remove a repository; its package files stay. Asks for confirmation."""
    from packrat_server import admin

    carry_out(f"repository {name}", data, lambda engine, approval: admin.remove_repo(engine, name, approval), consent)
