"""`packrat-server history`: tells what happened to a package file or a package."""

import json
import re
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from packrat_core.cli.parameters import Between
from packrat_core.errors import ConfigError
from packrat_core.text import printable, quote
from packrat_server.cli.package_source import ask_or_read, check_text, where_options
from packrat_server.cli.tables import cell, json_option, show_list

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from packrat_server.client.uploader import Uploader
    from packrat_server.store.events import EventFilter

Events = list[dict[str, Any]]

_AT_ONCE = 1000
_URI = re.compile(r"/api/v2/Package/PackageFile:([0-9]+):")
_COLUMNS = ("at", "by", "action", "file", "change", "change_control", "reason")


@click.command("history")
@click.argument("name")
@click.option(
    "--limit",
    type=Between(1, 1_000_000),
    default=200,
    show_default=True,
    help="Show at most this many events, the newest ones.",
)
@json_option
@where_options
def history_command(name: str, limit: int, as_json: bool, **where: Any) -> None:
    """Show what happened to a package file or a package.

    NAME is the name of a file, its URI, or the name of a package. The oldest event comes first. Deleted files and
    packages still have their history. Nothing is known of the time before the server kept events.
    """

    async def ask(uploader: "Uploader") -> Events:
        return await uploader.catalog.history(name, limit)

    check_text("name", name)
    if name.startswith("/api/") and _URI.fullmatch(name) is None:
        raise ConfigError(
            f"{quote(name[:100])} is not the URI of a package file", hint="give /api/v2/Package/PackageFile:NUMBER:"
        )
    events = ask_or_read(where, ask, lambda connection: _read(connection, name, limit))
    if not events:
        raise ConfigError(
            f"nothing is known to have happened to {printable(name)!r}",
            hint="name a package or a package file; `packrat-server find` looks for names",
        )
    if as_json:
        click.echo(json.dumps(events, indent=2, ensure_ascii=False))
    else:
        show_list([_row(event) for event in events], _COLUMNS, as_json=False)


def _read(connection: "Connection", name: str, limit: int) -> Events:
    """Read the newest events of a file or, if there is none of that name, of a package."""
    from packrat_server.store.events import EventFilter

    number = _URI.fullmatch(name)
    if number is not None:
        return _newest(connection, EventFilter(file_id=number[1]), limit)
    return _newest(connection, EventFilter(file_name=name), limit) or _newest(
        connection, EventFilter(package=name), limit
    )


def _newest(connection: "Connection", wanted: "EventFilter", limit: int) -> Events:
    from packrat_server.store.events import read_events

    newest: deque[dict[str, Any]] = deque(maxlen=limit)
    after = 0
    while found := read_events(connection, wanted, after, _AT_ONCE):
        newest.extend(found)
        after = found[-1]["id"]
    return list(newest)


def _row(event: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "at": str(event.get("at"))[:19].replace("T", " "),
        "by": event.get("by"),
        "action": event.get("action"),
        "file": event.get("file_name"),
        "change": _change(event.get("before"), event.get("after")),
        "change_control": event.get("change_control_id"),
        "reason": event.get("reason"),
    }


def _change(before: Any, after: Any) -> str:
    """Write what changed: `tags dev → dev, stage`; of a file that was made or deleted, what it was for."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        whole = after if isinstance(after, dict) else before if isinstance(before, dict) else {}
        return " ".join(cell(whole[field]) for field in ("version", "distro_version", "arch") if whole.get(field))
    return "; ".join(
        f"{field} {cell(before.get(field))} → {cell(value)}"
        for field, value in after.items()
        if before.get(field) != value
    )
