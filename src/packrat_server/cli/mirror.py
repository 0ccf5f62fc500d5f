"""`packrat-server mirror`: sets up mirrors."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from packrat_core.cli.command_group import InnerGroup
from packrat_core.cli.tell_next import tell_next
from packrat_core.text import human_age
from packrat_server.accounts.passwords import new_password
from packrat_server.cli.consent import Consent, carry_out, with_consent
from packrat_server.cli.data_option import data_option
from packrat_server.cli.records import Records, add_looking

if TYPE_CHECKING:
    from sqlalchemy import Connection


@click.group("mirror", cls=InnerGroup)
def mirror_group() -> None:
    """Mirrors: which repositories they build."""


def _for_people(mirror: Mapping[str, Any]) -> Mapping[str, Any]:
    shown = {**mirror, "last_heartbeat": _ago(mirror["last_heartbeat"])}
    if "published" in mirror:
        shown["published"] = {report["repo"]: _ago(report["at"]) for report in mirror["published"]}
    return shown


def _ago(moment: str | None) -> str:
    if moment is None:
        return "never"
    return f"{human_age((datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds())} ago"


def _read(connection: "Connection") -> Records:
    from packrat_server.admin.listing import list_mirrors

    return list_mirrors(connection)


def _read_reports(connection: "Connection", name: str) -> Mapping[str, Any]:
    from packrat_server.admin.listing import show_reports

    return {"published": show_reports(connection, name)}


add_looking(
    mirror_group,
    "mirror",
    _read,
    ("name", "repositories", "last_heartbeat", "description"),
    _read_reports,
    for_people=_for_people,
)


@mirror_group.command("set")
@click.argument("name")
@click.option(
    "--repo",
    "repos",
    multiple=True,
    help="A repository; may be repeated. Those given replace the present ones; a new mirror needs them.",
)
@click.option("--description", help="What it is. New: its name.")
@click.option(
    "--new-psk",
    is_flag=True,
    help="Generate a new psk for a mirror that exists; its agent is refused until mirror.conf has it.",
)
@data_option
@with_consent
def mirror_set(
    name: str, repos: tuple[str, ...], description: str | None, new_psk: bool, data: Path, consent: Consent
) -> None:
    """Make or change a mirror.

    Settings that no option names stay as they are. Prints each field that changed, before → after, and the psk of a new
    mirror. Asks for confirmation if clients would lose a repository, or if an agent uses the psk that is replaced.
    """
    from packrat_server import admin

    psk = new_password() if new_psk else None
    change = carry_out(
        f"mirror {name}",
        data,
        lambda engine, approval: admin.set_mirror(engine, name, repos or None, description, psk, approval),
        consent,
    )
    if change.secret is not None:
        click.echo(f"mirror {name} has the psk {change.secret} (shown this once; put it into mirror.conf)")
    if change.is_new and not consent.dry_run:
        tell_next(f"`packrat-agent init --name {quote(name)}` on the mirror's machine sets it up, and asks for the psk")
    elif change.secret is not None:
        tell_next("put it into mirror.conf on the mirror's machine, then `systemctl reload packrat-agent` there")


@mirror_group.command("remove")
@click.argument("name")
@data_option
@with_consent
def mirror_remove(name: str, data: Path, consent: Consent) -> None:
    """Remove a mirror. Asks for confirmation."""
    from packrat_server import admin

    carry_out(f"mirror {name}", data, lambda engine, approval: admin.remove_mirror(engine, name, approval), consent)
