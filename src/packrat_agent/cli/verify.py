"""`packrat-agent verify`: audits a tree as its clients would."""

import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from packrat_agent.cli.config_option import config_option
from packrat_agent.config.load import load
from packrat_agent.config.settings import Config
from packrat_agent.status.progress import show_progress
from packrat_agent.status.reading import read_status
from packrat_agent.status.table import list_troubles
from packrat_agent.verify.findings import Audit, Fault, Warned
from packrat_agent.verify.repo_keys import GivenKeys, read_repo_keys
from packrat_agent.verify.tree import verify_tree
from packrat_core.cli import GivenFile
from packrat_core.errors import PackratError, Unsound
from packrat_core.text import count_of, human_size, printable

if TYPE_CHECKING:
    from packrat_agent.verify.real_clients import Visits

_SHOWN = 1000


def _read_keys(context: click.Context, option: click.Parameter, values: Sequence[str]) -> GivenKeys:
    """Read the keys that were given; each is a file, or a repository's name and a file.

    Raises:
        click.BadParameter: A file can't be read, or one repository was given two.
    """
    given: dict[str, Path] = {}
    for value in values:
        name, separator, file = value.partition("=")
        if not separator or os.path.isfile(value):  # noqa: PTH113 it never raises
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
    config_path: Path, root: Path | None, keys: GivenKeys, as_json: bool, unnamed: bool, clients: bool
) -> None:
    """Audit a tree as its clients would.

    Verifies signatures, indexes and every file; needs no server and no state database. Ends with exit code 13 if
    anything is wrong. For the mirror's own tree, it repeats as warnings what `status` knows to be wrong.
    """
    config = load(config_path) if root is None else None
    top = root if config is None else config.mirror.root_dir
    assert top is not None
    one_at_a_time = threading.Lock()
    totals: dict[str, int] = {}
    with show_progress(lambda: totals) as on_progress:

        def count(files: int, size: int) -> None:
            with one_at_a_time:
                on_progress("verifying", files, size)

        def expect(files: int) -> None:
            totals["verifying"] = files

        audit = verify_tree(top.absolute(), keys.general, count, keys.of_repos, expect)
    if config is not None:
        audit = replace(audit, warnings=(*audit.warnings, *_known_troubles(config)))
    told = asdict(audit)
    if clients:
        visits = _visit(top.absolute(), keys, audit)
        audit = replace(audit, faults=(*audit.faults, *visits.faults))
        told = {**asdict(audit), "clients": visits.driven}
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        _show(audit, unnamed=unnamed)
        if clients:
            click.echo(f"clients: {', '.join(visits.driven) or 'none'}{_left_out(visits)}")
    if audit.faults:
        is_elsewhere = root is not None and not audit.repositories
        hint = "give the top of a mirror with --root" if is_elsewhere else advise(audit.faults)
        raise Unsound(f"{count_of(len(audit.faults), 'fault')} in {top}", hint=hint)


def advise(faults: Sequence[Fault]) -> str:
    """Say what to do about faults of a tree."""
    advice = "a full sync of its agent repairs them (`packrat-agent sync`)"
    if not any(fault.is_for_server for fault in faults):
        return advice
    at_server = "take packages that would be refused at upload off the server, or upload them built again"
    return at_server if all(fault.is_for_server for fault in faults) else f"{advice}; {at_server}"


def _known_troubles(config: Config) -> Iterator[Warned]:
    """Repeat what the agent knows to be wrong, which the tree alone need not show: files that are left out, say."""
    try:
        status = read_status(config)
    except PackratError:
        return
    if status.server.up is False:
        yield Warned("status", f"the packrat server is away: {status.server.reason or 'no reason known'}")
    for text, _ in list_troubles(status):
        yield Warned("status", text)


def _visit(top: Path, keys: GivenKeys, audit: Audit) -> "Visits":
    """Let the real clients read a tree that was audited.

    Args:
        top: Top of the tree.
        keys: The keys that were given.
        audit: What the audit found.
    """
    # Only then, since the web server, its libraries and the log take longer to import than a small tree to verify.
    from packrat_agent.verify.real_clients import visit_tree
    from packrat_agent.web.in_thread import serving_in_thread
    from packrat_core.log import set_up_log

    set_up_log(click.get_current_context().find_root().params["log_level"])
    with serving_in_thread(top) as url:
        return visit_tree(top, read_repo_keys(top, keys), url, audit.repositories)


def _left_out(visits: "Visits") -> str:
    return f"; not usable on this machine: {', '.join(visits.left_out)}" if visits.left_out else ""


def _show(audit: Audit, *, unnamed: bool) -> None:
    for kind, directory in audit.repositories:
        click.echo(f"{kind:<7}{directory}")
    for fault in audit.faults[:_SHOWN]:
        click.echo(f"! {printable(fault.path)}: {printable(fault.what)}")
    for warning in audit.warnings[:_SHOWN]:
        click.echo(f"~ {printable(warning.path)}: {printable(warning.what)}")
    if len(audit.faults) > _SHOWN:
        click.echo(f"! and {len(audit.faults) - _SHOWN} more; --json lists all")
    if unnamed:
        for path in audit.unnamed:
            click.echo(f"? {printable(path)}")
    repositories = count_of(len(audit.repositories), "repository", "repositories")
    click.echo(
        f"{repositories}, {count_of(audit.files, 'file')} ({human_size(audit.bytes)}) verified, "
        f"{count_of(len(audit.faults), 'fault')}, {count_of(len(audit.warnings), 'warning')}, "
        f"{count_of(len(audit.unnamed), 'file')} that no index names"
    )
