"""Checks that the records which were read earlier are still what the server says, beside the syncs.

A sync compares the server's list of URIs with the known ones and reads only the records that are new. That is right as
long as a URI means the same file. A server that was restored from a backup, or rebuilt, gives URIs to other files:

1. It gives out rising numbers, so what it lost are the highest ones, and it gives these out again. If any known URI
   means another file now, then the newest known one does. The newest record is therefore read in each check; if the
   server doesn't have it any more, that counts as a restored server, too.
2. With it come a sample of other records and those that were not read for the longest time, enough for each to be read
   once a day: whatever happened on the server, the mirror comes to agree with it.
3. Whatever differs makes all records of all repositories be read again (see `record_reads`).
"""

import random
import time
from collections.abc import Collection, Mapping
from itertools import islice

from packrat_agent.state.record_reads import RecordReads
from packrat_agent.upstream.client import Packrat
from packrat_core.aio.threads import in_thread
from packrat_core.errors import ServerRefused

DAY_S = 86400.0
_SAMPLE = 20
_AT_ONCE = 100


async def check_records(server: Packrat, repo: str, reads: RecordReads, read_since: float | None) -> None:
    """Check records of one repository; `reads` learns what differs.

    Args:
        server: The server to ask.
        repo: The name of the repository.
        reads: When the known records were last read.
        read_since: Check all that were not read since this moment, too, in epoch seconds; None: only the chosen ones.

    Raises:
        PackratError: The server does not answer, or the disk fails.
    """
    dates = await in_thread(reads.dates, repo)
    now = time.time()
    chosen = choose_records(dates, now, random.Random())  # noqa: S311 a sample
    if read_since is not None:
        older = [uri for uri, read_at in dates.items() if not read_since <= read_at <= now]
        chosen = list(dict.fromkeys([*chosen, *older]))
    newest = find_newest(dates)
    waiting = iter(chosen)
    while portion := list(islice(waiting, _AT_ONCE)):
        asked_at = time.time()
        try:
            read = await server.read_records(portion)
        except ServerRefused:
            # It shows some of them no longer. Its lists say which ones the mirror has.
            return
        await in_thread(reads.confirm, repo, read.files, asked_at)
        if newest in read.missing:
            await in_thread(_note_gone, reads, repo, newest, asked_at)


def _note_gone(reads: RecordReads, repo: str, newest: str, asked_at: float) -> None:
    """Distrust all records, unless a sync has removed the newest one in the meantime, or it is distrusted already."""
    read_at = reads.dates(repo).get(newest)
    if read_at is not None and reads.is_trusted(read_at):
        reads.distrust(asked_at, f"{newest} is gone, the newest file of {repo}")


def choose_records(dates: Mapping[str, float], now: float, chance: random.Random) -> list[str]:
    """Choose which known records to read again: the newest, a sample, and those that are due.

    Args:
        dates: URI → when its record was last read, in epoch seconds.
        now: The moment, in epoch seconds.
        chance: Draws the sample.
    """
    if not dates:
        return []
    newest = find_newest(dates)
    oldest_first = sorted(dates, key=lambda uri: _date(dates[uri], now))
    due = oldest_first[: count_due(dates.values(), now)]
    sample = chance.sample(sorted(dates), min(_SAMPLE, len(dates)))
    return list(dict.fromkeys([newest, *due, *sample]))


def find_newest(uris: Collection[str]) -> str:
    """Find the URI with the highest number, which ends it; '' where there is none."""
    return max(uris, key=lambda uri: (len(uri), uri), default="")


def count_due(read_at: Collection[float], now: float) -> int:
    """Choose how many records, those with the oldest dates, to read again so that each is read once a day.

    In any time before now, as large a share of the records must have been read as the time is of a day. So the reading
    is spread, goes on where a stopped agent left it, and doubles nothing that was read for another reason.

    Args:
        read_at: When each record was last read, in epoch seconds.
        now: The moment.
    """
    ages_s = sorted(now - _date(at, now) for at in read_at)
    count = len(ages_s)
    lacking = 0
    for younger, age_s in enumerate(ages_s):
        # Within a time just shorter than this age, only the younger records were read.
        lacking = max(lacking, int(count * min(age_s, DAY_S) / DAY_S) - younger)
    return lacking


def _date(at: float, now: float) -> float:
    """Treat a date in the future, which a wrong clock left, as one of long ago."""
    return at if at <= now else 0.0
