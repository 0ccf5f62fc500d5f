"""`packrat-server repo`: sets up repositories."""

from pathlib import Path

import click

from packrat_server import admin
from packrat_server.cli.data_option import data_option
from packrat_server.cli.record_change import show_change
from packrat_server.store.database import open_database


@click.group("repo")
def repo_group() -> None:
    """Repositories: which tag and distribution versions they take."""


@repo_group.command("set")
@click.argument("name")
@click.option("--type", "kind", type=click.Choice(admin.KINDS), help="Its type; a new repository needs one.")
@click.option("--tag", help="Take the files that have this tag; a new repository needs one.")
@click.option(
    "--distro",
    "distros",
    multiple=True,
    help="A distribution version; may be repeated. Those given replace those before; a new repository needs them.",
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
def repo_set(name: str, distros: tuple[str, ...], all_versions: bool | None, data: Path, **given: str | None) -> None:
    """Make or change a repository.

    What no option names stays as it is. Prints each field that changed, before → after.
    """
    show_only_latest = None if all_versions is None else not all_versions
    repo = admin.NewRepo(name, distro_versions=distros or None, show_only_latest=show_only_latest, **given)
    show_change(admin.save_repo(open_database(data), repo), f"repository {name}")


@repo_group.command("remove")
@click.argument("name")
@data_option
def repo_remove(name: str, data: Path) -> None:
    """Remove a repository; its package files stay."""
    admin.remove_repo(open_database(data), name)
