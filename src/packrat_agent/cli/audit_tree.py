"""Audits a tree, and shows what is wrong with it: what `packrat-agent verify` does."""

import json
import os
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from packrat_agent.config.load import load
from packrat_agent.config.settings import Config
from packrat_agent.model.paths import is_kept_or_around, kept_paths
from packrat_agent.status.progress import show_progress
from packrat_agent.status.reading import read_status
from packrat_agent.status.table import list_troubles
from packrat_agent.verify.findings import Audit, Fault, Warned
from packrat_agent.verify.repo_keys import GivenKeys, read_repo_keys
from packrat_agent.verify.tree import verify_tree
from packrat_core.errors import ConfigError, PackratError, Unsound
from packrat_core.text import count_of, human_size, printable

if TYPE_CHECKING:
    from packrat_agent.verify.real_clients import Visits

_SHOWN = 1000


def audit_tree(
    config_path: Path, root: Path | None, keys: GivenKeys, *, as_json: bool, unnamed: bool, clients: bool
) -> None:
    """Audit a tree as its clients would, and print what was found.

    Args:
        config_path: mirror.conf, which names the tree where `root` doesn't.
        root: The top of the tree; None for root_dir.
        keys: The keys that were given.
        as_json: Print one JSON object.
        unnamed: List the files that no index names.
        clients: Have the real clients read the tree, too.

    Raises:
        ConfigError: mirror.conf can't be used.
        Unsound: Something is wrong with the tree.
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
    report: dict[str, Any] = {"schema": 1, **asdict(audit)}
    if clients:
        visits = _visit(top.absolute(), keys, audit)
        audit = replace(audit, faults=(*audit.faults, *visits.faults))
        report |= asdict(audit) | {"clients": visits.driven}
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        _show(audit, unnamed=unnamed)
        if clients:
            click.echo(f"clients: {', '.join(visits.driven) or 'none'}{_left_out(visits)}")
    if audit.faults:
        raise Unsound(f"{count_of(len(audit.faults), 'fault')} in {top}", hint=_advise_on(audit, config))


def _advise_on(audit: Audit, config: Config | None) -> str:
    if config is not None:
        return advise(audit.faults, kept_paths(config.mirror.root_dir, config.mirror.keep_files))
    return advise(audit.faults) if audit.repositories else "give the top of a mirror with --root"


def advise(faults: Sequence[Fault], kept: Collection[str] = ()) -> str:
    """Say what to do about faults of a tree, of which files of keep_file_list (`kept`) are the operator's own."""
    repaired = own = at_server = at_key = at_clock = False
    for fault in faults:
        if fault.is_for_key:
            # A sync publishes the public key anew, once it can sign.
            at_key = repaired = True
        elif is_kept_or_around(fault.path, kept):
            own = True
        elif fault.is_for_clock:
            at_clock = True
        elif fault.is_for_server:
            at_server = True
        else:
            repaired = True
    advice = {
        "set this machine's clock if it is behind, and verify again; if it is right, `packrat-agent sync "
        "--trust-clock` on the mirror publishes with the present date": at_clock,
        "the signing key comes first: `packrat-agent key show` on the mirror says how to extend or replace it": at_key,
        "a full sync of its agent repairs them (`packrat-agent sync`)": repaired,
        "correct what keep_file_list names, which the agent does not write, or take it out of there": own,
        "take packages that would be refused at upload off the server, or upload them built again": at_server,
    }
    return "; ".join(text for text, is_needed in advice.items() if is_needed)


def _known_troubles(config: Config) -> Iterator[Warned]:
    """Repeat what the agent knows to be wrong, which the tree alone need not show: files that are left out, say."""
    try:
        status = read_status(config)
    except ConfigError as error:
        # Where there is none, the first sync makes one; one that is of something else stops every sync.
        if os.path.lexists(config.mirror.state_db):
            yield Warned("status", str(error))
        return
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
    from packrat_agent.web.serving_in_thread import serving_in_thread
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
