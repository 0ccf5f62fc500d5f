"""`packrat-agent verify`: audits a tree as its clients would."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from packrat_agent.cli.config_option import config_option
from packrat_core.cli.parameters import GivenFile
from packrat_core.cli.quick_import import quick_import

if TYPE_CHECKING:
    from packrat_agent.verify.repo_keys import GivenKeys


def _read_keys(context: click.Context, option: click.Parameter, values: Sequence[str]) -> "GivenKeys":
    """Read the keys that were given; each is a file, or a repository's name and a file.

    Raises:
        click.BadParameter: A file can't be read, or one repository was given two.
    """
    from packrat_agent.verify.repo_keys import GivenKeys

    given: dict[str, Path] = {}
    for value in values:
        name, separator, file = value.partition("=")
        if not separator or os.path.isfile(value):  # it never raises
            name, file = "", value
        read = GivenFile().convert(file, option, context)
        if name in given:
            raise click.BadParameter(f"{name or 'the key of all repositories'} was given twice")
        given[name] = read.absolute()
    return GivenKeys(given.pop("", None), given)


@click.command("verify")
@click.option(
    "--root", type=click.Path(path_type=Path, readable=False), help="The top of the tree; by default root_dir."
)
@click.option(
    "--key",
    "keys",
    metavar="[REPOSITORY=]FILE",
    multiple=True,
    callback=_read_keys,
    help="The public key to verify with, of all repositories or of the named one; by default the tree's own keys.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything that was found as one JSON object.")
@click.option("--unnamed", is_flag=True, help="List the files that no index names: earlier generations, keep files.")
@click.option(
    "--clients",
    is_flag=True,
    help="Also have the real clients on this machine read the tree: apt-get, dnf, zypper (as root), pip, skopeo.",
)
@config_option
@click.pass_obj
def verify_command(
    config_path: Path, root: Path | None, keys: "GivenKeys", as_json: bool, unnamed: bool, clients: bool
) -> None:
    """Audit a tree as its clients would.

    Verifies signatures, indexes and every file; needs no server and no state database. Ends with exit code 13 if
    anything is wrong. For the mirror's own tree, it repeats as warnings what `status` knows to be wrong.
    """
    with quick_import():
        from packrat_agent.cli.audit_tree import audit_tree

    audit_tree(config_path, root, keys, as_json=as_json, unnamed=unnamed, clients=clients)
