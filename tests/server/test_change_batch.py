"""Of new entries, each waiter is told what concerns it: its repositories, in the form that it asked for."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_server.api.change_batch import ChangeBatch, Waiter, token_hashes
from packrat_server.api.changed_records import RepoRecords
from packrat_server.api.description import uri
from packrat_server.store.journal import Entry, Position

REPOS = ("apt", "pypi", "yum")


def waiter(*repos: str, **more: Any) -> Waiter:
    """Somebody who waits, without a running event loop."""
    # The loop is only asked to make the future, so it need not go on.
    loop = asyncio.new_event_loop()
    try:
        return Waiter(frozenset(repos), more.pop("mirror", None), 0, woken=loop.create_future(), **more)
    finally:
        loop.close()


def batch(*entries: Entry, records: Any = None, live: frozenset[bytes] = frozenset()) -> ChangeBatch:
    return ChangeBatch(entries[0].id - 1, entries, records or {}, live)


def package(number: int, repo: str, name: str) -> Entry:
    return Entry(number, f"{number:08x}", repo, name, None)


def records(*names: str, files: int = 1) -> RepoRecords:
    return RepoRecords({name: {"wanted": {}, "deprocated": {}} for name in names}, files, 0)


def told(made: ChangeBatch, who: Waiter) -> Any:
    answer, line = made.answer(who), made.line(who)
    assert answer is not None
    assert line == b"%x\r\n" % (len(answer) + 1) + answer + b"\n\r\n"
    return json.loads(answer)


CHANGES = st.lists(st.tuples(st.sampled_from(REPOS), st.sampled_from("abc")), min_size=1, max_size=8)


@given(CHANGES, st.lists(st.sets(st.sampled_from([*REPOS, "none"])), min_size=1, max_size=4))
def test_each_hears_of_its_own_repositories_alone(changes: list[tuple[str, str]], waiting: list[set[str]]) -> None:
    made = batch(*(package(number, *change) for number, change in enumerate(changes, 5)))
    last = len(changes) + 4
    for repos in waiting:
        answer = told(made, waiter(*repos))
        expected = {repo: sorted({name for of, name in changes if of == repo}) for repo in repos}
        assert answer == {
            "position": f"{last}-{last:08x}",
            "changes": {uri("Repo/Repo", repo): names for repo, names in expected.items() if names},
        }
    assert made.newest == Position(last, f"{last:08x}")


def test_names_are_those_after_an_entry_the_newest_first_and_each_once() -> None:
    made = batch(*(package(number, "apt", name) for number, name in enumerate("abcab", 1)), package(6, "yum", "d"))
    assert made.names("apt", 0) == ["b", "a", "c"]
    assert made.names("apt", 3) == ["b", "a"]
    assert made.names("apt", 4) == ["b"]
    assert made.names("apt", 5) == []
    assert made.names("yum", 0) == ["d"]


def test_a_mirror_has_to_ask_about_its_own_record() -> None:
    made = batch(package(1, "apt", "a"), Entry(2, "x", None, None, "lab"))
    concerned = waiter("apt", mirror="lab")
    assert made.answer(concerned) is None
    assert made.line(concerned) is None
    for other in (waiter("apt", mirror="other"), waiter("apt")):
        assert told(made, other)["changes"] == {uri("Repo/Repo", "apt"): ["a"]}


def test_each_gets_the_records_that_it_asked_for() -> None:
    whole, some = {"apt": records("a"), "yum": None}, {"apt": records("b"), "yum": records("c")}
    made = batch(package(1, "apt", "a"), package(2, "yum", "c"), records={False: whole, True: some})
    empty: dict[str, Any] = {"wanted": {}, "deprocated": {}}
    apt, yum = uri("Repo/Repo", "apt"), uri("Repo/Repo", "yum")
    for _ in range(2):
        assert "records" not in told(made, waiter(*REPOS))
        assert "records" not in told(made, waiter(*REPOS, only_touched=True))
        assert told(made, waiter(*REPOS, with_records=True))["records"] == {apt: {"a": empty}}
        touched = waiter(*REPOS, with_records=True, only_touched=True)
        assert told(made, touched)["records"] == {apt: {"b": empty}, yum: {"c": empty}}
        # Nothing is told of a repository that it doesn't wait for.
        assert told(made, waiter("yum", with_records=True, only_touched=True))["records"] == {yum: {"c": empty}}
    assert told(batch(package(1, "apt", "a")), waiter("apt", with_records=True))["records"] == {}


@pytest.mark.parametrize(("files", "is_told"), [(50, True), (51, False)])
def test_too_many_records_are_left_to_a_question(files: int, is_told: bool) -> None:
    both = {"apt": records("a", files=50), "yum": records("c", files=files)}
    made = batch(package(1, "apt", "a"), package(2, "yum", "c"), records={False: both})
    found = told(made, waiter(*REPOS, with_records=True))["records"]
    assert (uri("Repo/Repo", "yum") in found) is is_told
    assert uri("Repo/Repo", "apt") in found


def test_only_sessions_that_go_on_are_live() -> None:
    made = batch(package(1, "apt", "a"), live=frozenset({b"one"}))
    one, two, stranger = waiter(token_hash=b"one"), waiter(token_hash=b"two"), waiter()
    assert [made.is_live(who) for who in (one, two, stranger)] == [True, False, True]
    assert token_hashes([one, two, stranger]) == {b"one", b"two"}


def test_a_waiter_is_woken_once() -> None:
    async def go() -> object:
        who, made = Waiter(frozenset(), None, 0), batch(package(1, "apt", "a"))
        who.wake(made)
        who.wake(None)
        return await who.woken is made

    assert asyncio.run(go())
