"""`packrat-server mirror`: sets up mirrors."""

from pathlib import Path

import click

from packrat_server import admin
from packrat_server.accounts.passwords import new_password
from packrat_server.cli.data_option import data_option
from packrat_server.cli.record_change import show_change
from packrat_server.store.database import open_database


@click.group("mirror")
def mirror_group() -> None:
    """Mirrors: which repositories they build."""


@mirror_group.command("set")
@click.argument("name")
@click.option(
    "--repo",
    "repos",
    multiple=True,
    help="A repository; may be repeated. Those given replace those before; a new mirror needs them.",
)
@click.option("--description", help="What it is. New: its name.")
@click.option("--new-psk", is_flag=True, help="Generate a new psk for a mirror that exists; its sessions end.")
@data_option
def mirror_set(name: str, repos: tuple[str, ...], description: str | None, new_psk: bool, data: Path) -> None:
    """Make or change a mirror.

    What no option names stays as it is. Prints each field that changed, before → after, and the psk of a new
    mirror.
    """
    psk = new_password() if new_psk else None
    change = admin.set_mirror(open_database(data), name, repos or None, description, psk)
    show_change(change, f"mirror {name}")
    if change.secret is not None:
        click.echo(f"mirror {name} has the psk {change.secret} (shown this once; put it into mirror.conf)")


@mirror_group.command("remove")
@click.argument("name")
@data_option
def mirror_remove(name: str, data: Path) -> None:
    """Remove a mirror."""
    admin.remove_mirror(open_database(data), name)
