"""`packrat-server tag-type`: defines the tags that package files are promoted to."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from packrat_core.cli.command_group import InnerGroup
from packrat_core.cli.tell_next import tell_next
from packrat_server.cli.consent import Consent, carry_out, with_consent
from packrat_server.cli.data_option import data_option
from packrat_server.cli.next_step import command_line
from packrat_server.cli.records import Records, add_looking

if TYPE_CHECKING:
    from sqlalchemy import Connection


@click.group("tag-type", cls=InnerGroup)
def tag_type_group() -> None:
    """Tags: which tags each requires, and whether it needs a change control id."""


def _read(connection: "Connection") -> Records:
    from packrat_server.admin.listing import list_tag_types

    return list_tag_types(connection)


add_looking(tag_type_group, "tag", _read, ("name", "requires", "change_control", "files", "repositories"))


@tag_type_group.command("set")
@click.argument("name")
@click.option(
    "--requires",
    multiple=True,
    help="A tag that a file must have first; may be repeated. Those given replace the present ones; an empty one means "
    "none. New: none.",
)
@click.option(
    "--change-control/--no-change-control",
    "needs_change_control",
    default=None,
    help="Whether it needs a change control id. New: no.",
)
@data_option
@with_consent
def tag_type_set(
    name: str, requires: tuple[str, ...], needs_change_control: bool | None, data: Path, consent: Consent
) -> None:
    """Make or change a tag.

    Settings that no option names stay as they are. Prints each field that changed, before → after. A stricter rule
    applies to the files that are tagged from now on.
    """
    from packrat_server.admin.tag_types import TagType, save_tag_type

    required = tuple(filter(None, requires)) if requires else None
    tag = TagType(name, required, needs_change_control)
    change = carry_out(f"tag {name}", data, lambda engine, approval: save_tag_type(engine, tag, approval), consent)
    if change.is_new and not consent.dry_run:
        repo = command_line("repo", "set", "NAME", "--type", "TYPE", "--tag", name, "--distro", "DISTRO")
        tell_next(f"{repo} makes a repository of the files that have it")


@tag_type_group.command("remove")
@click.argument("name")
@data_option
@with_consent
def tag_type_remove(name: str, data: Path, consent: Consent) -> None:
    """Remove a tag that no file, repository or other tag uses."""
    from packrat_server.admin.tag_types import remove_tag_type

    carry_out(f"tag {name}", data, lambda engine, approval: remove_tag_type(engine, name, approval), consent)
