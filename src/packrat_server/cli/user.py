"""`packrat-server user`: sets up users."""

from pathlib import Path

import click

from packrat_server import admin
from packrat_server.accounts.passwords import new_password
from packrat_server.accounts.rights import USER_ROLES, Role
from packrat_server.cli.data_option import data_option
from packrat_server.cli.record_change import show_change
from packrat_server.store.database import open_database


@click.group("user")
def user_group() -> None:
    """Users, their roles and rights."""


@user_group.command("set")
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([str(role) for role in USER_ROLES]),
    help="What the user may do: reader (see everything), uploader (also upload), promoter (see everything, put on the "
    "tags that --right names, mark files), manager (upload, put on every tag, mark), admin (also delete files). "
    "New: manager.",
)
@click.option(
    "--right",
    "rights",
    multiple=True,
    metavar="RIGHT",
    help="A right beyond those of the role, such as tag_dev; may be repeated. Those given replace those before; "
    "--right '' takes all of them away.",
)
@click.option("--new-password", "renew", is_flag=True, help="Generate a new password for a user that exists.")
@data_option
def user_set(name: str, role: str | None, rights: tuple[str, ...], renew: bool, data: Path) -> None:
    """Make or change a user.

    What no option names stays as it is. Prints each field that changed, before → after, and the password of a new
    user. After a change the user must log in again. A user who was locked out becomes a user again as if new.
    """
    password = new_password() if renew else None
    change = admin.set_user(open_database(data), name, None if role is None else Role(role), password, rights or None)
    show_change(change, f"user {name}")
    if change.secret is not None:
        click.echo(f"user {name} has the password {change.secret} (shown this once)")


@user_group.command("remove")
@click.argument("name")
@data_option
def user_remove(name: str, data: Path) -> None:
    """Lock a user out."""
    admin.remove_user(open_database(data), name)
