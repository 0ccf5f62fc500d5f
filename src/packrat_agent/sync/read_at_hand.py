"""Reads, for a dry run of a takeover, the package files that are on disk already, to learn which will be refused."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import structlog

from packrat_agent.formats.interface import Format, Treatment
from packrat_agent.model.entries import Fragment, Parts, Placement, Refusal, StoredFile
from packrat_agent.sync.build import parts_of
from packrat_agent.sync.context import MirrorContext
from packrat_core.errors import DiskError, Refused

log = structlog.get_logger()


def read_at_hand(
    placements: Sequence[Placement], form: Format, context: MirrorContext, untracked: Mapping[str, StoredFile]
) -> tuple[list[Placement], dict[str, Parts], list[Refusal]]:
    """Read each package file whose bytes stand anywhere below root_dir, and hold it against the server's record.

    Args:
        placements: The wanted files with their places.
        form: The repository's type.
        context: The mirror.
        untracked: Path → hashed files below `root_dir` that the state database doesn't know.

    Returns:
        The placements that are not refused, URI → what is published of the file (where only its content tells), and the
        refusals.
    """
    paths = {file.sha256: path for path, file in untracked.items()}
    read: dict[str, Fragment | str | None] = {}
    usable: list[Placement] = []
    parts: dict[str, Parts] = {}
    refused: list[Refusal] = []
    for placement in placements:
        sha256 = placement.file.sha256
        if sha256 in paths and sha256 not in read:
            read[sha256] = _read(context.root / paths[sha256], form)
        found = read.get(sha256)
        reason = found if isinstance(found, str) else _disagreement(placement, form, found)
        if reason is not None:
            refused.append(Refusal(placement.file, reason))
            continue
        usable.append(placement)
        if isinstance(found, Fragment) and form.treatment is Treatment.ACCOMPANIED:
            parts[placement.file.uri] = parts_of(placement.path, sha256, found)
    return usable, parts, refused


def _read(path: Path, form: Format) -> Fragment | str | None:
    """Read one file; gives why it is refused, or None where it can't be said."""
    try:
        # Images are unpacked, so this may need as much room as an image.
        with tempfile.TemporaryDirectory(prefix="packrat-agent-") as scratch:
            return form.read(path, Path(scratch))
    except Refused as error:
        return str(error)
    except (DiskError, OSError) as error:
        log.warning("unread", path=str(path), reason=str(error), text="the dry run can't tell whether it is refused")
        return None


def _disagreement(placement: Placement, form: Format, fragment: Fragment | None) -> str | None:
    if fragment is not None:
        try:
            form.agree(placement.file, fragment)
        except Refused as error:
            return str(error)
    return None
