"""`packrat-server promote`: promotes package files to a tag, through all tags that it requires."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from packrat_core.cinp.refusals import SessionEnded
from packrat_core.cli.tell_next import tell_next
from packrat_core.errors import ServerRefused
from packrat_server.cli.attempts import Attempts, report
from packrat_server.cli.next_step import tell_where
from packrat_server.cli.reason_option import reason_option
from packrat_server.cli.session import of_a_session, with_session
from packrat_server.client.plan_promotion import plan_promotion

if TYPE_CHECKING:
    from packrat_server.client.find_file import Records
    from packrat_server.client.uploader import Uploader


@dataclass(frozen=True, slots=True)
class _Promotion:
    """The promotion that the command line asks for."""

    tag: str
    change_control: str | None
    reason: str
    dry_run: bool


@click.command("promote")
@click.argument("files", nargs=-1, required=True)
@click.option("--to", "tag", required=True, metavar="TAG", help="The tag to promote the files to.")
@click.option("--change-control", help="The change control id, if a tag on the way needs one.")
@reason_option
@click.option("--dry-run", is_flag=True, help="Show which tags would be put on, and change nothing.")
@of_a_session
def promote_command(
    files: tuple[str, ...], tag: str, change_control: str | None, reason: str, dry_run: bool, **session: Any
) -> None:
    """Promote package files, named by URI or file name, through the tags that a tag requires.

    A file gets the tags that it lacks, one after the other. If something is missing, such as a change control id, the
    command says what, and the file gets none of them. Files that are refused don't stop the others.
    """

    promotion = _Promotion(tag, change_control, reason, dry_run)

    async def work(uploader: "Uploader") -> None:
        attempts = Attempts(files)
        async for name, found in uploader.catalog.each_with_files(files):
            with attempts.attempt(name):
                await _promote_all(uploader, name, found or await uploader.catalog.files(name), promotion)
        attempts.finish()

    with_session(session, work)
    if dry_run:
        tell_next("the same command without --dry-run does it", at_terminal=True)
    else:
        tell_where(files)


async def _promote_all(uploader: "Uploader", name: str, records: "Records", asked: _Promotion) -> None:
    """Promote the package files of a name.

    Args:
        uploader: The session.
        name: A URI or a file name.
        records: The package files, URI → record.
        asked: What the command line asks for.

    Raises:
        ServerRefused: One of them can't be promoted.
    """
    tags = await uploader.catalog.tag_map()
    plans = {uri: plan_promotion(record, asked.tag, tags, asked.change_control) for uri, record in records.items()}
    refused = []
    for uri, plan in plans.items():
        if plan.missing:
            reason = "; ".join(plan.missing)
        elif not plan.tags:
            report(uri, name, [f"already tagged {asked.tag}"])
            continue
        elif asked.dry_run:
            report(uri, name, [f"would be tagged {', '.join(plan.tags)}"])
            continue
        else:
            reason = await _put_on(uploader, uri, name, plan.tags, asked)
        if reason:
            refused.append(f"{uri}: {reason}" if len(plans) > 1 else reason)
    if refused:
        raise ServerRefused("; ".join(refused))


async def _put_on(uploader: "Uploader", uri: str, name: str, tags: tuple[str, ...], asked: _Promotion) -> str:
    """Put tags on a package file, one after the other.

    Args:
        uploader: The session.
        uri: The file.
        name: Its name on the command line.
        tags: The tags, in order.
        asked: What the command line asks for.

    Returns:
        Why a tag was not put on, and which were; '' where all were.
    """
    done: list[str] = []
    try:
        for tag in tags:
            # False if somebody else has put it on in the meantime.
            note = "" if await uploader.tag(uri, tag, asked.change_control, asked.reason) else "already "
            done.append(f"{note}tagged {tag}")
    except SessionEnded:
        raise
    except ServerRefused as error:
        so_far = f" (it is {', '.join(done)})" if done else ""
        return f"not tagged {tags[len(done)]}: {error}{so_far}"
    report(uri, name, done)
    return ""
