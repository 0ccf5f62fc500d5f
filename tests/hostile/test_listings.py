"""Lists of very many files: in bounded memory, up to a bound, and of no consequence for other repositories."""

import itertools
from typing import Any

from packrat_demo.build_deb import Deb
from support.evil import FILE, Send, Victim, file_record, head, repo_record

MANY = 500_000


class EveryRecord(dict[str, dict[str, Any]]):
    """A record for every number; no file behind any but those that are there."""

    def __contains__(self, number: object) -> bool:
        return True

    def __missing__(self, number: str) -> dict[str, Any]:
        return file_record(f"p{number}_1_all.deb", number.encode())


def uris(count: int) -> list[str]:
    return [f"{FILE}:{number}:" for number in range(1000, 1000 + count)]


def test_half_a_million_files_are_listed_in_bounded_memory(lured: Victim) -> None:
    # The answers leave their records out.
    lured.evil.listed = [f"{FILE}:1:", *uris(MANY)]
    ended = lured.sync()
    assert ended.code == 12, ended.said
    assert "more records can't be used either" in ended.said
    assert ended.memory_mib < 120
    assert len(lured.pool()) == 1
    asked = sum(line.count(":") - 1 for line in lured.evil.asked if line.startswith(f"GET {FILE}"))
    assert asked > MANY


def test_files_that_can_not_be_had_take_little_memory(lured: Victim) -> None:
    lured.evil.files = EveryRecord(lured.evil.files)
    lured.evil.listed = [f"{FILE}:1:", *uris(4000)]
    ended = lured.sync()
    assert ended.code == 12, ended.said
    assert ended.memory_mib < 110
    assert len(lured.pool()) == 1


def test_too_many_files_stop_their_own_repository_alone(lured: Victim) -> None:
    lured.evil.repos["apt-more"] = repo_record("apt-more", "apt-more")
    lured.extra = "max_records: 100\n"
    assert lured.sync().code == 0
    before = lured.pool()
    lured.evil.add("2", Deb("more", "1", "all"))
    lured.evil.listed_of["apt-dev"] = uris(101)
    ended = lured.sync()
    assert ended.code == 12, ended.said
    assert "apt-dev has too many files" in ended.said
    assert "'101' entries; at most 100 can be" in ended.said
    assert "raise max_records" in ended.said
    assert set(lured.pool()) == {*before, "apt-more/pool/more/more_1_all.deb"}


def test_a_list_without_an_end_stops_at_the_bound(lured: Victim) -> None:
    lured.extra = "max_records: 100\n"

    async def lie(send: Send) -> None:
        await send(head(Total="10"))
        await send(b"[")
        for number in itertools.count():
            await send(f'"{FILE}:{number}:",'.encode() * 100)

    lured.evil.lies["LIST", FILE] = lie
    ended = lured.sync()
    assert ended.code == 12, ended.said
    assert "at most 100 can be" in ended.said
    assert ended.memory_mib < 110
