"""Reads, for a dry run of a takeover, the package files that are on disk already, to learn which will be refused.

1. Small ones are read while the look at the disk has them open, so that nearly all are opened and hashed once.
2. The others, and those of which something was made, are read once the server has named the files that are wanted.
"""

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import structlog

from packrat_agent.formats.interface import Format, Treatment
from packrat_agent.formats.table import FORMATS
from packrat_agent.model.entries import Fragment, Parts, Placement, Refusal, refusal_reason
from packrat_agent.model.paths import path_in_root
from packrat_agent.model.records import Repo
from packrat_agent.publish.scan_values import OnHashed
from packrat_agent.state.fragments import FragmentSource
from packrat_agent.sync.context import MirrorContext, Order
from packrat_agent.sync.planning.published_parts import parts_of
from packrat_agent.sync.takeover.original_places import is_package
from packrat_agent.sync.takeover.rehearsed import Rehearsed
from packrat_core.errors import DiskError, PackratError, Refused
from packrat_core.fs.verified import Opened, OtherBytes, read_verified

log = structlog.get_logger()


def read_at_hand(
    repo: Repo,
    placements: Sequence[Placement],
    known: Mapping[str, Fragment],
    form: Format,
    context: MirrorContext,
    order: Order,
) -> tuple[list[Placement], dict[str, Parts], list[Refusal]]:
    """Read each package file whose bytes stand anywhere below root_dir, and hold it against the server's record.

    Args:
        repo: The repository.
        placements: The wanted files with their places.
        known: SHA-256 → what was read a moment ago; it was held against the record already.
        form: Its type.
        context: The mirror.
        order: The piece of work: what is read is noted in its `rehearsed`.

    Returns:
        The placements that are not refused, URI → what is published of the file (where only its content tells), and the
        refusals.
    """
    unread = [placement for placement in placements if placement.file.sha256 not in known]
    read = _read_all(unread, _Reader(form, context.source_of(form, repo), context.root, order))
    usable: list[Placement] = []
    parts: dict[str, Parts] = {}
    refused: list[Refusal] = []
    for placement in placements:
        sha256 = placement.file.sha256
        if sha256 in known:
            usable.append(placement)
            continue
        found = read.get(sha256)
        reason = found if isinstance(found, str) else _disagreement(placement, form, found)
        if reason is not None:
            refused.append(Refusal(placement.file, reason))
            continue
        usable.append(placement)
        if isinstance(found, Fragment) and form.treatment is Treatment.ACCOMPANIED:
            parts[placement.file.uri] = parts_of(placement.path, sha256, found)
    return usable, parts, refused


def read_as_hashed(repos: Iterable[Repo], context: MirrorContext, rehearsed: Rehearsed) -> OnHashed:
    """Return a function that reads package files of the original agent while a look at the disk has them open.

    What can't be read is read once more by `read_at_hand`, if a record names it, which says why. Anybody may have put
    files there, so only our own readers read them here, out of the bytes that were hashed.

    Args:
        repos: The repositories of the mirror.
        context: The mirror.
        rehearsed: Takes what is read.
    """
    below = {
        path_in_root(repo, ""): (form, source)
        for repo in repos
        if (form := FORMATS.get(repo.kind)) is not None
        and form.treatment in (Treatment.AS_IS, Treatment.ACCOMPANIED)
        and not (source := context.source_of(form, repo)).signer
    }

    def read(path: str, sha256: str, opened: Opened) -> None:
        if rehearsed.is_full:
            return
        for directory, (form, source) in below.items():
            if path.startswith(directory) and is_package(form.kind, path.removeprefix(directory)):
                products: dict[str, bytes] = {}
                into = products if form.treatment is Treatment.ACCOMPANIED else None
                with suppress(PackratError, OSError):
                    fragment = form.read(opened.path, into, opened.content)
                    rehearsed.note(source, sha256, path, opened.status, fragment, products)
                return

    return read


@dataclass(frozen=True, slots=True)
class _Reader:
    """What is read for."""

    form: Format
    source: FragmentSource
    root: Path
    order: Order


def _read_all(placements: Sequence[Placement], reader: _Reader) -> dict[str, Fragment | str | None]:
    """Read each file at hand once; gives SHA-256 → what `_read` gives."""
    paths = {file.sha256: path for path, file in reader.order.untracked.items()}
    read: dict[str, Fragment | str | None] = {}
    for placement in placements:
        sha256 = placement.file.sha256
        if sha256 in paths and sha256 not in read:
            read[sha256] = _read(paths[sha256], sha256, reader)
    return read


def _read(path: str, sha256: str, reader: _Reader) -> Fragment | str | None:
    """Read one file; gives why it is refused, or None where it can't be said."""
    # As text, since pathlib takes as long as the kernel.
    whole = f"{reader.root}/{path}"

    # What stands beside a file is small. An image is only judged: its layers need as much room as all of it.
    products: dict[str, bytes] = {}
    into = products if reader.form.treatment is Treatment.ACCOMPANIED else None

    def read(opened: Opened) -> tuple[os.stat_result, Fragment]:
        return opened.status, reader.form.read(opened.path, into, opened.content)

    try:
        status, fragment = read_verified(whole, sha256, read)
    except Refused as error:
        return refusal_reason(error)
    except (DiskError, OSError, OtherBytes) as error:
        log.warning("unread", path=whole, reason=str(error), text="the dry run can't tell whether it is refused")
        return None
    if reader.form.treatment is not Treatment.UNPACKED:
        reader.order.rehearsed.note(reader.source, sha256, path, status, fragment, products)
    return fragment


def _disagreement(placement: Placement, form: Format, fragment: Fragment | None) -> str | None:
    if fragment is not None:
        try:
            form.agree(placement.file, fragment)
        except Refused as error:
            return refusal_reason(error)
    return None
