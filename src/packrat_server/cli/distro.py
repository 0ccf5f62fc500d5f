"""`packrat-server distro`: defines distribution versions."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from packrat_core.cli.command_group import InnerGroup
from packrat_core.cli.tell_next import tell_next
from packrat_core.packages.repository_types import FILE_TYPES
from packrat_server.cli.consent import Consent, carry_out, with_consent
from packrat_server.cli.data_option import data_option
from packrat_server.cli.next_step import command_line
from packrat_server.cli.records import Records, add_looking

if TYPE_CHECKING:
    from sqlalchemy import Connection


@click.group("distro", cls=InnerGroup)
def distro_group() -> None:
    """Distribution versions: what packages are built for, and the type of their files."""


def _read(connection: "Connection") -> Records:
    from packrat_server.admin.listing import list_distros

    return list_distros(connection)


add_looking(
    distro_group,
    "distribution version",
    _read,
    ("name", "type", "distro", "version", "release_names", "files", "repositories"),
)


@distro_group.command("set")
@click.argument("name")
@click.option(
    "--type", "file_type", type=click.Choice(FILE_TYPES), help="The type of its package files; a new one needs it."
)
@click.option("--distro", help="The distribution, such as fedora. New: from the name: `fedora` of fedora41.")
@click.option("--version", help="The version of the distribution, such as 41. New: from the name.")
@click.option(
    "--release-names",
    metavar="NAME,…",
    help="How versions of packages name this release, such as fc41: a package that names a release goes nowhere else. "
    "New: what the distribution usually has.",
)
@data_option
@with_consent
def distro_set(name: str, data: Path, consent: Consent, **given: str | None) -> None:
    """Make or change a distribution version.

    Settings that no option names stay as they are. Prints each field that changed, before → after. One that has files,
    or that repositories take, keeps its type.
    """
    from packrat_server.admin.distro_versions import GivenDistro, save_distro

    distro = GivenDistro(name, **given)
    change = carry_out(
        f"distribution version {name}", data, lambda engine, approval: save_distro(engine, distro, approval), consent
    )
    if change.is_new and not consent.dry_run:
        repo = command_line("repo", "set", "NAME", "--type", "TYPE", "--tag", "TAG", "--distro", name)
        tell_next(f"{repo} makes a repository for it")


@distro_group.command("remove")
@click.argument("name")
@data_option
@with_consent
def distro_remove(name: str, data: Path, consent: Consent) -> None:
    """Remove a distribution version that nothing uses."""
    from packrat_server.admin.distro_versions import remove_distro

    carry_out(
        f"distribution version {name}", data, lambda engine, approval: remove_distro(engine, name, approval), consent
    )
