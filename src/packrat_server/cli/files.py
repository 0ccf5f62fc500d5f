"""Commands such as `packrat-server tag` and `fail`: promote and mark package files, through the API.

1. A command works through its whole list: a file that the server refuses is reported on stderr, the rest is done.
2. Repeating a command that was carried out succeeds and changes nothing.
3. What takes a file away from clients asks first.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from packrat_core.errors import ServerRefused
from packrat_server.cli.attempts import report
from packrat_server.cli.change_files import FileChange, Record, change_files, state_of
from packrat_server.cli.consent import Consent, with_consent
from packrat_server.cli.next_step import tell_where
from packrat_server.cli.session import of_a_session
from packrat_server.promotion.rules import Mark, Rejected, TagRule, check_mark, check_tag, check_untag

if TYPE_CHECKING:
    from packrat_server.client.uploader import Uploader


@click.command("tag")
@click.argument("tag")
@click.argument("files", nargs=-1, required=True)
@click.option("--change-control", help="The change control id, if the tag needs one.")
@click.option("--off", is_flag=True, help="Take the tag off.")
@of_a_session
@with_consent
def tag_command(
    tag: str, files: tuple[str, ...], change_control: str | None, off: bool, consent: Consent, **session: Any
) -> None:
    """Promote package files, named by URI or file name, to a tag.

    Files that have the tag already are listed and left as they are. Files that are refused don't stop the others.
    Taking a tag off asks for confirmation if a repository would lose a file.
    """
    change = _untag(tag, consent.reason) if off else _tag(tag, change_control, consent.reason)
    change_files(session, files, change, consent)
    if not (off or consent.dry_run):
        tell_where(files)


def _tag(tag: str, change_control: str | None, reason: str) -> FileChange:
    async def carry_out(uploader: "Uploader", uri: str, name: str) -> None:
        if not await uploader.tag(uri, tag, change_control, reason):
            report(uri, name, [f"already tagged {tag}"])

    async def check(uploader: "Uploader", record: Record) -> str:
        rule = await _rule_of(uploader, tag)
        try:
            check_tag(state_of(record), rule, change_control)
        except Rejected as error:
            if error.code == "ALLREADY_TAGGED":
                return f"already tagged {tag}"
            raise
        return ""

    return FileChange(f"tagged {tag}", carry_out, check)


def _untag(tag: str, reason: str) -> FileChange:
    async def carry_out(uploader: "Uploader", uri: str, name: str) -> None:
        if not await uploader.untag(uri, tag, reason):
            report(uri, name, [f"already without {tag}"])

    async def check(uploader: "Uploader", record: Record) -> str:
        await _rule_of(uploader, tag)
        tags = await uploader.catalog.tag_map()
        try:
            check_untag(state_of(record), tag, [name for name, each in tags.items() if tag in each["required"]])
        except Rejected as error:
            if error.code == "NOT_TAGGED":
                return f"already without {tag}"
            raise
        return ""

    def losing(record: Record) -> Sequence[str]:
        return [tag] if tag in state_of(record).tags and "failed" not in state_of(record).marks else []

    return FileChange(f"without {tag}", carry_out, check, losing)


async def _rule_of(uploader: "Uploader", tag: str) -> TagRule:
    tags = await uploader.catalog.tag_map()
    if tag not in tags:
        raise ServerRefused(f"the server has no tag {tag}", hint=f"there are {', '.join(sorted(tags))}")
    return TagRule(tag, tuple(tags[tag].get("required") or ()), bool(tags[tag].get("change_control")))


def _marking(action: str, what: str, change: Callable[[str], FileChange]) -> click.Command:
    asks = "" if action.startswith("un") else " Asks for confirmation if a repository would lose a file."

    @click.command(
        action,
        help=f"{what} The files are named by URI or file name. Repeating it changes nothing; files that are refused "
        f"don't stop the others.{asks}",
    )
    @click.argument("files", nargs=-1, required=True)
    @of_a_session
    @with_consent
    def mark(files: tuple[str, ...], consent: Consent, **session: Any) -> None:
        change_files(session, files, change(consent.reason), consent)

    return mark


def _mark(action: str, mark: Mark, reason: str) -> FileChange:
    async def carry_out(uploader: "Uploader", uri: str, _name: str) -> None:
        await uploader.act(uri, action, reason)

    def needless(record: Record) -> str:
        return f"already {mark}" if mark in state_of(record).marks else ""

    async def check(_uploader: "Uploader", record: Record) -> str:
        note = needless(record)
        if not note:
            check_mark(state_of(record), mark)
        return note

    def losing(record: Record) -> Sequence[str]:
        state = state_of(record)
        # Deprocated files have left the repositories already, and a file with the other mark is refused.
        return () if state.marks else sorted(state.tags)

    return FileChange(mark, carry_out, check, losing, needless=needless)


def _unmark(action: str, mark: Mark, reason: str) -> FileChange:
    async def carry_out(uploader: "Uploader", uri: str, _name: str) -> None:
        await uploader.act(uri, action, reason)

    def needless(record: Record) -> str:
        return "" if mark in state_of(record).marks else f"not {mark}"

    async def check(_uploader: "Uploader", record: Record) -> str:
        return needless(record)

    return FileChange(f"no longer {mark}", carry_out, check, needless=needless)


fail_command = _marking(
    "fail", "Mark package files as failed: they leave all repositories.", partial(_mark, "fail", "failed")
)
unfail_command = _marking("unfail", "Undo the failure of package files.", partial(_unmark, "unfail", "failed"))
deprocate_command = _marking(
    "deprocate",
    "Mark package files as deprecated: they leave the repositories, or are yanked if they are Python files.",
    partial(_mark, "deprocate", "deprocated"),
)
undeprocate_command = _marking(
    "undeprocate", "Undo the deprecation of package files.", partial(_unmark, "undeprocate", "deprocated")
)
