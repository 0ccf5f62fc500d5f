"""Actions of mirrors: heartbeat, and waiting for a change without holding a thread.

A poll of the original API names the packages that change while it waits; what changes between two polls is lost to it.
`changes` takes a position and loses nothing. With `records`, it gives the records of a small change, too; with
`touched`, only those of the files that changed. With `stream`, its answer stays open, and has a line for each change.
"""

import asyncio
from typing import Any

from packrat_server.api.call import Call, read, run_writer, writing_for
from packrat_server.api.change_batch import ChangeBatch, Waiter
from packrat_server.api.change_question import Question
from packrat_server.api.change_stream import ChangeStream
from packrat_server.api.messages import CinpError, JsonText
from packrat_server.store.journal import newest, read_names, read_newest
from packrat_server.store.reports import note_alive

_POLL_S = (10, 240)
_CHANGES_S = (0, 240)


async def heartbeat(call: Call) -> None:
    """Note that a mirror is alive."""

    def work() -> None:
        with writing_for(call) as connection:
            note_alive(connection, call.id)

    # Nobody waits for a heartbeat, so this wakes nobody.
    await run_writer(call.context, work)


async def poll(call: Call) -> list[str]:
    """Wait for a change of a repository; gives the names of the packages that changed, as the original server does."""
    until = _deadline(_bounded(call.arguments["timeout"], _POLL_S))
    notifier, repo = call.context.notifier, call.id
    after = max(notifier.newest_id, await read(call, newest))
    known = after
    while True:
        waiter = Waiter(frozenset({repo}), None, known, call.token_hash)
        batch = await notifier.wait(waiter, until - _now())
        if batch is not None:
            _check_session(batch, waiter)
            return batch.names(repo, after)
        before = notifier.newest_id
        names, known = await read(
            call, lambda connection: (read_names(connection, repo, after), newest(connection)), is_look=True
        )
        notifier.compare(before, known)
        if names or notifier.closed or _now() >= until:
            return names


async def changes(call: Call) -> ChangeStream | JsonText | dict[str, Any]:
    """Tell a mirror what changed since a position; wait for a change where nothing did, or tell of all that follow."""
    position, with_records = call.arguments["position"], call.arguments["records"]
    if position is None:
        started: dict[str, Any] = {"position": str(await read(call, read_newest)), "changes": {}}
        return {**started, "records": {}} if with_records else started
    wait_s = _bounded(call.arguments["timeout"], _CHANGES_S)
    asked, until = Question(call, call.id, with_records, call.arguments["touched"]), _deadline(wait_s)
    if wait_s and call.arguments["stream"] and call.can_stream:
        return ChangeStream(asked, await asked.look(position), until)
    return await _wait_for_change(asked, position, wait_s, until)


async def _wait_for_change(asked: Question, position: str, wait_s: int, until: float) -> JsonText | dict[str, Any]:
    notifier = asked.notifier
    # A caller that waits from the newest position need not look first.
    repos = notifier.known_repos(asked.mirror, position) if wait_s else None
    after = notifier.newest_id
    while True:
        if repos is None:
            found = await asked.look(position)
            if found.answer["changes"] or notifier.closed or _now() >= until:
                return found.answer
            repos, after = found.since.all_repos, found.since.newest.id
            notifier.remember_repos(asked.mirror, repos, after)
        waiter = Waiter(repos, asked.mirror, after, asked.call.token_hash, asked.with_records, asked.only_touched)
        batch = await notifier.wait(waiter, until - _now())
        if batch is not None:
            _check_session(batch, waiter)
            answer = batch.answer(waiter)
            if answer is not None:
                return JsonText(answer)
        repos = None


def _check_session(batch: ChangeBatch, waiter: Waiter) -> None:
    if not batch.is_live(waiter):
        raise CinpError(401, "Invalid Session")


def _now() -> float:
    return asyncio.get_running_loop().time()


def _deadline(wait_s: float) -> float:
    return _now() + wait_s


def _bounded(timeout_s: int | None, limits: tuple[int, int]) -> int:
    if timeout_s is None:
        raise CinpError(400, {"timeout": 'Invalid Value "Unable to convert to an int"'})
    return min(max(timeout_s, limits[0]), limits[1])
