"""`packrat-server user`: sets up users."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from packrat_core.cli.command_group import InnerGroup
from packrat_core.cli.tell_next import tell_next
from packrat_server.accounts.passwords import new_password
from packrat_server.accounts.rights import USER_ROLES, Role
from packrat_server.cli.consent import Consent, carry_out, with_consent
from packrat_server.cli.data_option import data_option
from packrat_server.cli.records import Records, add_looking

if TYPE_CHECKING:
    from sqlalchemy import Connection


@click.group("user", cls=InnerGroup)
def user_group() -> None:
    """Users, their roles and rights."""


def _read(connection: "Connection") -> Records:
    from packrat_server.admin.listing import list_users

    return list_users(connection)


add_looking(user_group, "user", _read, ("name", "role", "rights", "state", "sessions", "updated"))


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
    help="A right beyond those of the role, such as tag_dev; may be repeated. Those given replace the present ones; "
    "--right '' takes all of them away.",
)
@click.option("--new-password", "renew", is_flag=True, help="Generate a new password for a user that exists.")
@data_option
@with_consent
def user_set(name: str, role: str | None, rights: tuple[str, ...], renew: bool, data: Path, consent: Consent) -> None:
    """Make or change a user.

    Settings that no option names stay as they are. Prints each field that changed, before → after, and the password of
    a new user. After a change the user must log in again. A user who was locked out becomes a user again as if new.
    """
    from packrat_server import admin

    password = new_password() if renew else None
    new_role = None if role is None else Role(role)
    change = carry_out(
        f"user {name}",
        data,
        lambda engine, approval: admin.set_user(engine, name, new_role, password, rights or None, approval),
        consent,
    )
    if change.secret is not None:
        click.echo(f"user {name} has the password {change.secret} (shown this once)")
    if change.is_new and not consent.dry_run:
        tell_next(_first_command(name, (change.after or {})["role"]))


def _first_command(name: str, role: str) -> str:
    """Write what a new user can do now."""
    if role == Role.READER:
        return f"`packrat-server find PACKAGE --url URL --user {quote(name)}` looks for package files"
    if role == Role.PROMOTER:
        return f"`packrat-server promote FILE --to TAG --url URL --user {quote(name)}` promotes package files"
    return f"`packrat-server upload FILE --distro DISTRO --url URL --user {quote(name)}` uploads package files"


@user_group.command("remove")
@click.argument("name")
@data_option
@with_consent
def user_remove(name: str, data: Path, consent: Consent) -> None:
    """Lock a user out."""
    from packrat_server import admin

    carry_out(f"user {name}", data, lambda engine, approval: admin.remove_user(engine, name, approval), consent)
