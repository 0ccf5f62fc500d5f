"""Changes package files by name, through the API: finds them, asks for what clients lose, and changes one by one.

1. Files that are refused don't stop the others.
2. What takes files away from clients is shown before anything is changed: which file leaves which repositories.
3. `--dry-run` checks the rules of promotion here, on the records as they are, and changes nothing.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from packrat_core.cinp.refusals import SessionEnded
from packrat_core.cli.tell_next import tell_next
from packrat_core.errors import ServerRefused
from packrat_core.text import printable
from packrat_server.cli.attempts import Attempts, report
from packrat_server.cli.consent import Consent
from packrat_server.cli.session import with_session
from packrat_server.promotion.rules import MARKS, FileState, Rejected

if TYPE_CHECKING:
    from packrat_server.client.find_file import Records
    from packrat_server.client.uploader import Uploader

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FileChange:
    """One kind of change.

    Attributes:
        described: What happens to the file, for a dry run: `failed`.
        carry_out: Changes one package file, given its URI and the name on the command line.
        check: Says what else to note of a change of this record; raises Rejected where a rule forbids it.
        losing: The tags whose repositories lose a file with this record; None for a change that takes nothing away.
        lost: What is lost in any case, also of a file that is in no repository: `is deleted for good`.
        needless: Says why a record needs no change, such as `already failed`, or ''; None where `carry_out` says so.
    """

    described: str
    carry_out: "Callable[[Uploader, str, str], Awaitable[None]]"
    check: "Callable[[Uploader, Record], Awaitable[str]]"
    losing: Callable[[Record], Sequence[str]] | None = None
    lost: str = ""
    needless: Callable[[Record], str] | None = None


def change_files(session: dict[str, Any], names: Sequence[str], change: FileChange, consent: Consent) -> None:
    """Change every package file of each of the names.

    Args:
        session: The options of the session.
        names: URIs or file names.
        change: What to do.
        consent: What the command line says beforehand.
    """

    async def work(uploader: "Uploader") -> None:
        found: dict[str, Records] = {}
        if change.losing is not None and not consent.dry_run and not consent.yes:
            found = await _find_each(uploader, names)
            losses = [
                await _loss_of(uploader, uri, record, change)
                for records in found.values()
                for uri, record in records.items()
            ]
            # A file may leave the same repositories for several distribution versions.
            consent.ask(list(dict.fromkeys(filter(None, losses))))
        attempts = Attempts(names)
        if not consent.dry_run:
            # For a URI the record is read only in a dry run.
            found |= {name: {name: {}} for name in names if name.startswith("/api/")}
        async for name, records in uploader.catalog.each_with_files(names, found):
            with attempts.attempt(name):
                await _change_all(uploader, name, records or await uploader.catalog.files(name), change, consent)
        attempts.finish()

    with_session(session, work)
    if consent.dry_run:
        tell_next("the same command without --dry-run does it", at_terminal=True)


def state_of(record: Record) -> FileState:
    """The tags and marks of a file, by its record."""
    marks = tuple(mark for mark in MARKS if record.get(f"{mark}_at") is not None)
    return FileState(marks, frozenset(record.get("tags") or ()))


async def _find_each(uploader: "Uploader", names: Sequence[str]) -> "dict[str, Records]":
    """Find the package files of each name; a name that has none is reported when its turn comes."""
    found: dict[str, Records] = {}
    async for name, records in uploader.catalog.each_with_files(names):
        try:
            found[name] = records or await uploader.catalog.files(name)
        except SessionEnded:
            raise
        except ServerRefused:
            continue
    return found


async def _loss_of(uploader: "Uploader", uri: str, record: Record, change: FileChange) -> str:
    """Say what is lost of a file, and which repositories lose it; '' where nothing is."""
    tags = change.losing(record) if change.losing is not None else ()
    repos = await uploader.catalog.repos_with(record, uri, tags) if tags else []
    verb = "is marked as yanked in" if change.described == "deprocated" and record.get("type") == "python" else "leaves"
    leaving = f"{verb} {', '.join(map(printable, repos))}" if repos else ""
    lost = " and ".join(filter(None, (change.lost, leaving)))
    return f"{printable(str(record.get('file')).rpartition('/')[2])} {lost}" if lost else ""


async def _change_all(
    uploader: "Uploader", name: str, records: "Records", change: FileChange, consent: Consent
) -> None:
    """Change the package files of a name, of which there may be one for each distribution version.

    Args:
        uploader: The session.
        name: The URI of a package file, or a file name.
        records: The package files, URI → record.
        change: What to do.
        consent: Whether it is a dry run.

    Raises:
        ServerRefused: One of them can't be changed.
    """
    refused: list[str] = []
    for uri, record in records.items():
        try:
            if consent.dry_run:
                await _show_dry_run(uploader, uri, record, name, change)
            else:
                await change.carry_out(uploader, uri, name)
                # For a URI, no record was read.
                note = change.needless(record) if change.needless is not None and record else ""
                if note:
                    report(uri, name, [note])
        except SessionEnded:
            raise
        except ServerRefused as error:
            refused.append(f"{uri}: {error}" if len(records) > 1 else str(error))
    if refused:
        raise ServerRefused("; ".join(refused))


async def _show_dry_run(uploader: "Uploader", uri: str, record: Record, name: str, change: FileChange) -> None:
    try:
        note = await change.check(uploader, record)
    except Rejected as error:
        from packrat_server.client.refusals import explain

        raise ServerRefused(explain(ServerRefused(error.message, error.code, api_message=error.message))) from None
    loss = await _loss_of(uploader, uri, record, change)
    report(uri, name, [part for part in (note or f"would be {change.described}", loss) if part])
