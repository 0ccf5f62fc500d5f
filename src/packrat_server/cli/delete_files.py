"""Deletes package files for `packrat-server file delete`, through the API."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from packrat_server.cli.attempts import report
from packrat_server.cli.change_files import FileChange, Record, change_files, state_of
from packrat_server.cli.consent import Consent

if TYPE_CHECKING:
    from packrat_server.client.uploader import Uploader


def delete_files(session: dict[str, Any], files: Sequence[str], consent: Consent) -> None:
    """Delete every package file of each of the names, with consent.

    Args:
        session: The options of the session.
        files: URIs or file names.
        consent: What the command line says beforehand.
    """

    async def delete(uploader: "Uploader", uri: str, name: str) -> None:
        await uploader.delete(uri, consent.reason)
        report(uri, name, ["deleted"])

    change = FileChange("deleted", delete, _check_nothing, _losing_tags, "is deleted for good")
    change_files(session, files, change, consent)


async def _check_nothing(_uploader: "Uploader", _record: Record) -> str:
    """Every file may be deleted: no rule of promotion is about that."""
    return ""


def _losing_tags(record: Record) -> Sequence[str]:
    state = state_of(record)
    return [] if "failed" in state.marks else sorted(state.tags)
