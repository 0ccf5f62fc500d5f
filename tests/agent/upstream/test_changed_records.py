"""Records that come with `changes` are taken once, and only where they are what was expected."""

import asyncio
import copy
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.upstream.ways import FILES, MIRROR, REPO, REPOS, Line, packrat
from packrat_agent.upstream.changed_records import ChangedPackages, ChangedRecords
from packrat_agent.upstream.records import is_marked, read_file
from packrat_core.cinp.client import CinpClient
from support.replay import Request, answer_of

PACKAGES = "/api/v2/Package/Package"
CHANGES = "/api/v2/Repo/Mirror(changes)"


def record(package: str = "hello", **more: Any) -> dict[str, Any]:
    return {"package": f"{PACKAGES}:{package}:", "sha256": "0" * 64, **more}


def told(**packages: dict[str, Any]) -> dict[str, Any]:
    return {f"{REPOS}:apt-dev:": packages}


def files(*numbers: int, package: str = "hello") -> dict[str, Any]:
    return {f"{FILES}:{number}:": record(package) for number in numbers}


HELLO = {"wanted": files(1), "deprocated": files(2)}
OTHER: dict[str, Any] = {"wanted": {}, "deprocated": {}}


def heard(
    records: object, names: Any = frozenset({"hello"}), clock: Callable[[], float] = time.monotonic
) -> ChangedPackages:
    packages = ChangedPackages(clock)
    packages.hear({"apt-dev": names}, records, 7.0)
    return packages


def test_records_are_taken_once() -> None:
    packages = heard(told(hello=HELLO))
    assert packages.take("apt-dev", ["other"]) is None
    assert packages.take("other", ["hello"]) is None
    assert packages.take("apt-dev", None) is None
    assert packages.take("apt-dev", []) is None
    taken = packages.take("apt-dev", ["hello"])
    assert taken is not None
    assert (taken.wanted, taken.deprecated, taken.asked_at) == (files(1), files(2), 7.0)
    assert packages.take("apt-dev", ["hello"]) is None


def test_a_sync_of_several_packages_takes_what_several_answers_told() -> None:
    packages = heard(told(hello=HELLO))
    packages.hear({"apt-dev": {"other"}}, told(other=OTHER), 3.0)
    taken = packages.take("apt-dev", {"hello", "other"})
    assert taken is not None
    assert (list(taken.wanted), taken.asked_at) == ([f"{FILES}:1:"], 3.0)
    packages = heard(told(hello=HELLO))
    assert packages.take("apt-dev", {"hello", "other"}) is None


@pytest.mark.parametrize(
    ("names", "records"),
    [(frozenset({"hello"}), None), (frozenset({"hello"}), {}), (None, None), (None, told(hello=HELLO))],
)
def test_records_told_before_a_change_do_not_hold_after_it(names: Any, records: object) -> None:
    packages = heard(told(hello=HELLO))
    packages.hear({"apt-dev": names}, records, 8.0)
    assert packages.take("apt-dev", {"hello"}) is None


@pytest.mark.parametrize(("later_s", "is_kept"), [(0.0, True), (59.9, True), (60.0, False)])
def test_records_told_long_ago_are_asked_for(later_s: float, is_kept: bool) -> None:
    now = [1000.0]
    packages = heard(told(hello=HELLO), clock=lambda: now[0])
    now[0] += later_s
    # Nor is it kept until then.
    packages.hear({"apt-dev": {"other"}}, told(other=OTHER), 8.0)
    assert bool([key for key in packages._received if key[1] == "hello"]) == is_kept
    assert (packages.take("apt-dev", {"hello"}) is not None) == is_kept


@pytest.mark.parametrize(
    "damage",
    [
        lambda said: said.pop("wanted"),
        lambda said: said.pop("deprocated"),
        lambda said: said.update(wanted=[]),
        lambda said: said.update(wanted={f"{FILES}:1:": None}),
        lambda said: said.update(wanted={f"{FILES}:../x:": record()}),
        lambda said: said.update(wanted={"\ud800": record()}),
        lambda said: said.update(wanted={f"{FILES}:1:": record("another")}),
        lambda said: said.update(wanted=files(*range(200))),
        # Whether a file is wanted or deprecated can't be told then.
        lambda said: said.update(wanted=files(2)),
        lambda said: said.update(wanted={f"{FILES}:1:": record(version="1" * 1001)}),
        lambda said: said.update(wanted={f"{FILES}:1:": record(version=["1"])}),
        # So it is with what is said of a file that was not touched.
        lambda said: said.update(touched=[f"{FILES}:1:"]),
        lambda said: said.update(touched=[f"{FILES}:2:"]),
        lambda said: said.update(touched=None),
        lambda said: said.update(touched=[*HELLO["wanted"], *HELLO["deprocated"], "x"]),
        lambda said: said.update(touched=[f"{FILES}:{number}:" for number in range(200)]),
    ],
)
def test_records_of_an_unknown_shape_are_asked_for(damage: Any) -> None:
    said = copy.deepcopy(HELLO)
    damage(said)
    assert heard(told(hello=said)).take("apt-dev", {"hello"}) is None


@pytest.mark.parametrize("kind", ["wanted", "deprocated", "touched"])
@pytest.mark.parametrize("number", [100, 101])
def test_a_hundred_files_of_a_package_are_taken(kind: str, number: int) -> None:
    said: dict[str, Any] = {"wanted": {}, "deprocated": {}, kind: files(*range(number))}
    if kind == "touched":
        said[kind] = list(said[kind])
    assert (heard(told(hello=said)).take("apt-dev", {"hello"}) is not None) is (number == 100)


@pytest.mark.parametrize("length", [1000, 1001])
def test_a_text_of_a_thousand_letters_is_taken(length: int) -> None:
    said = {"wanted": {f"{FILES}:1:": record(version="1" * length)}, "deprocated": {}}
    assert (heard(told(hello=said)).take("apt-dev", {"hello"}) is not None) is (length == 1000)


def test_records_are_given_by_their_uris_and_no_others() -> None:
    taken = heard(told(hello=HELLO)).take("apt-dev", {"hello"})
    assert taken is not None
    assert asyncio.run(taken.get_records(["2", "3", "1"], bulk=True)) == files(2, 1)


def test_fields_of_a_record_that_nobody_reads_are_not_remembered() -> None:
    said = {"wanted": {f"{FILES}:1:": record(version="1", justification="x" * 1000_000)}, "deprocated": {}}
    taken = heard(told(hello=said)).take("apt-dev", {"hello"})
    assert taken is not None
    assert taken.wanted == {f"{FILES}:1:": record(version="1")}


def test_a_record_as_the_server_tells_it_is_read_as_one_that_was_asked_for() -> None:
    moment = "2026-11-27T10:00:00+00:00"
    whole = record(distroversion="/api/v2/Attrib/DistroVersion:bookworm:", version="1", type="deb", arch="all")
    whole |= {"file": "/files/hello_1_all.deb", "created": moment, "failed_at": None, "deprocated_at": moment}
    taken = heard(told(hello={"wanted": {f"{FILES}:1:": {**whole, "provenance": "x"}}, "deprocated": {}})).take(
        "apt-dev", {"hello"}
    )
    assert taken is not None
    [(uri, kept)] = taken.wanted.items()
    assert read_file(uri, kept) == read_file(uri, whole)
    assert is_marked(kept, deprecated_too=True)


def test_remembered_records_are_bounded() -> None:
    packages = ChangedPackages()
    for number in range(1000):
        packages.hear({"apt-dev": {f"p{number}"}}, told(**{f"p{number}": OTHER}), 7.0)
    assert sum(packages.take("apt-dev", {f"p{number}"}) is not None for number in range(1000)) == 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [f"{REPOS}:apt-dev:", "hello", "wanted", "deprocated", "touched", f"{FILES}:1:", "package", "x"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@given(JSON)
def test_whatever_a_server_says_is_taken_or_asked_for(records: object) -> None:
    taken = heard(records).take("apt-dev", {"hello"})
    assert taken is None or all(record["package"] == f"{PACKAGES}:hello:" for record in taken.wanted.values())


def touched(*numbers: int, wanted: tuple[int, ...] = (), deprecated: tuple[int, ...] = ()) -> dict[str, Any]:
    named = [f"{FILES}:{number}:" for number in numbers]
    return told(hello={"wanted": files(*wanted), "deprocated": files(*deprecated), "touched": named})


def numbers_of(taken: ChangedRecords | None) -> tuple[set[int], set[int], set[int]] | None:
    if taken is None:
        return None
    assert taken.touched is not None
    wanted, deprecated, named = (
        {int(uri.split(":")[1]) for uri in uris} for uris in (taken.wanted, taken.deprecated, taken.touched)
    )
    return wanted, deprecated, named


def test_touched_files_of_several_answers_are_merged() -> None:
    packages = heard(touched(1, 2, 3, wanted=(1, 2), deprecated=(3,)))
    packages.hear({"apt-dev": {"hello"}}, touched(2, 3, 4, wanted=(3, 4)), 5.0)
    taken = packages.take("apt-dev", {"hello"})
    assert numbers_of(taken) == ({1, 3, 4}, set(), {1, 2, 3, 4})
    assert taken is not None
    assert taken.asked_at == 5.0


@given(st.lists(st.dictionaries(st.integers(0, 5), st.sampled_from(["wanted", "deprecated", "gone"])), max_size=6))
def test_answers_put_together_say_of_each_file_what_the_last_one_said(answers: list[dict[int, str]]) -> None:
    packages, known = ChangedPackages(), dict[int, str]()
    for answer in [{}, *answers]:
        by_kind = {kind: tuple(n for n, of in answer.items() if of == kind) for kind in ("wanted", "deprecated")}
        packages.hear({"apt-dev": {"hello"}}, touched(*answer, **by_kind), 7.0)
        known |= answer
    wanted, deprecated = ({n for n, of in known.items() if of == kind} for kind in ("wanted", "deprecated"))
    assert numbers_of(packages.take("apt-dev", {"hello"})) == (wanted, deprecated, set(known))


def test_answers_that_touched_a_hundred_files_are_put_together() -> None:
    packages = heard(touched(*range(60)))
    packages.hear({"apt-dev": {"hello"}}, touched(*range(50, 100)), 5.0)
    assert numbers_of(packages.take("apt-dev", {"hello"})) == (set(), set(), set(range(100)))
    packages = heard(touched(*range(60)))
    packages.hear({"apt-dev": {"hello"}}, touched(*range(50, 101)), 5.0)
    assert packages.take("apt-dev", {"hello"}) is None


def test_too_many_files_and_files_beside_whole_packages_are_asked_for() -> None:
    packages = heard(touched(*range(60)))
    packages.hear({"apt-dev": {"hello"}}, touched(*range(60, 120)), 5.0)
    assert packages.take("apt-dev", {"hello"}) is None
    packages = heard(told(hello=HELLO))
    packages.hear({"apt-dev": {"hello"}}, touched(5), 5.0)
    assert packages.take("apt-dev", {"hello"}) is None
    packages = heard(touched(5))
    packages.hear({"apt-dev": {"other"}}, told(other=OTHER), 5.0)
    assert packages.take("apt-dev", {"hello", "other"}) is None
    # All files of a package say all, whatever was said before.
    packages = heard(touched(5))
    packages.hear({"apt-dev": {"hello"}}, told(hello=HELLO), 5.0)
    taken = packages.take("apt-dev", {"hello"})
    assert taken is not None
    assert taken.touched is None


def say_nothing(packages: ChangedPackages, _now: list[float]) -> None:
    packages.hear({"apt-dev": {"hello"}}, {}, 7.0)


def take_and_fail(packages: ChangedPackages, _now: list[float]) -> None:
    packages.hear({"apt-dev": {"hello"}}, touched(1), 7.0)
    packages.take("apt-dev", {"hello"})


def wait_too_long(packages: ChangedPackages, now: list[float]) -> None:
    packages.hear({"apt-dev": {"hello"}}, touched(1), 7.0)
    now[0] += 61.0


def view_again(packages: ChangedPackages, _now: list[float]) -> None:
    packages.hear({"apt-dev": {"hello"}}, touched(1), 7.0)
    packages.clear()


def lose_the_history(packages: ChangedPackages, _now: list[float]) -> None:
    packages.hear({"apt-dev": {"hello"}}, touched(1), 7.0)
    packages.hear({"apt-dev": None}, {}, 7.0)


@pytest.mark.parametrize("lose", [say_nothing, take_and_fail, wait_too_long, view_again, lose_the_history])
@pytest.mark.parametrize("names", [["hello"], None])
def test_after_a_change_that_was_not_remembered_a_package_is_asked_for_once(lose: Any, names: Any) -> None:
    now = [1000.0]
    packages = ChangedPackages(lambda: now[0])
    lose(packages, now)
    packages.hear({"apt-dev": {"hello"}}, touched(2), 7.0)
    moment = packages.moment
    assert packages.take("apt-dev", {"hello"}) is None
    packages.settle("apt-dev", names, moment)
    packages.hear({"apt-dev": {"hello"}}, touched(3), 7.0)
    assert numbers_of(packages.take("apt-dev", {"hello"})) == (set(), set(), {3})


def test_changes_heard_during_a_sync_are_not_settled_by_it() -> None:
    packages = heard(touched(1))
    moment = packages.moment
    assert packages.take("apt-dev", {"hello"}) is not None
    packages.hear({"apt-dev": {"hello"}}, {}, 7.0)
    packages.hear({"apt-dev": {"hello"}}, touched(2), 7.0)
    packages.settle("apt-dev", {"hello"}, moment)
    assert packages.take("apt-dev", {"hello"}) is None
    packages = heard(touched(1))
    moment = packages.moment
    assert packages.take("apt-dev", {"hello"}) is not None
    packages.hear({"apt-dev": {"hello"}}, touched(2), 7.0)
    packages.settle("apt-dev", {"hello"}, moment)
    assert numbers_of(packages.take("apt-dev", {"hello"})) == (set(), set(), {2})


def test_repositories_forgotten_during_a_sync_are_not_settled_by_it() -> None:
    packages = heard(touched(1))
    moment = packages.moment
    packages.clear()
    packages.settle("apt-dev", {"hello"}, moment)
    packages.hear({"apt-dev": {"hello"}}, touched(2), 7.0)
    assert packages.take("apt-dev", {"hello"}) is None


@pytest.mark.parametrize("names", [["hello"], None])
def test_records_without_doubt_may_be_settled_any_number_of_times(names: Any) -> None:
    packages = heard(touched(1))
    for _ in range(2):
        packages.settle("apt-dev", names, packages.moment)
    assert numbers_of(packages.take("apt-dev", {"hello"})) == (set(), set(), {1})


def test_memory_is_bounded_if_a_server_names_packages_without_end() -> None:
    packages = ChangedPackages()
    for number in range(30):
        packages.hear({"apt-dev": {f"p{number}-{name}" for name in range(1000)}}, {}, 7.0)
    assert len(packages._doubts) <= 10_000
    packages.hear({"apt-dev": {"hello"}}, touched(1), 7.0)
    moment = packages.moment
    assert packages.take("apt-dev", {"hello"}) is None
    # That a package is asked for says nothing of the others; a list of the whole repository does.
    packages.settle("apt-dev", {"hello"}, moment)
    packages.hear({"apt-dev": {"hello"}}, touched(1), 7.0)
    assert packages.take("apt-dev", {"hello"}) is None
    packages.settle("apt-dev", None, moment - 2)
    packages.settle("other", None, packages.moment)
    packages.hear({"apt-dev": {"hello"}}, touched(1), 7.0)
    assert packages.take("apt-dev", {"hello"}) is None
    packages.settle("apt-dev", None, packages.moment)
    packages.hear({"apt-dev": {"hello"}}, touched(1), 7.0)
    assert numbers_of(packages.take("apt-dev", {"hello"})) == (set(), set(), {1})


def test_memory_is_bounded_if_a_server_names_repositories_without_end() -> None:
    packages = ChangedPackages()
    for number in range(30):
        packages.hear({f"repo{number}-{name}": {"hello"} for name in range(1000)}, {}, 7.0)
    assert len(packages._doubts) + len(packages._forgotten) <= 30_000
    packages.hear({"apt-dev": {"hello"}}, touched(1), 7.0)
    assert packages.take("apt-dev", {"hello"}) is None


@pytest.mark.parametrize("word", ["paramaters", "parameters"])
@pytest.mark.parametrize("described", [True, False])
@pytest.mark.parametrize("mirror_changed", [True, False])
def test_the_agent_asks_for_records_if_the_server_describes_them(
    line: Line, word: str, described: bool, mirror_changed: bool
) -> None:
    asked: list[Any] = []

    def answer(request: Request) -> bytes:
        if request.verb == "DESCRIBE":
            parameters = [{"name": "position"}, {"name": "records"}] if described else [{"name": "position"}]
            return answer_of({"api-version": "2.0", "actions": [CHANGES], word: parameters})
        if request.target.endswith("(login)"):
            return answer_of("token")
        if request.verb == "CALL":
            asked.append(request.body)
            changed = {f"{REPOS}:apt-dev:": ["hello"], **({MIRROR: None} if mirror_changed else {})}
            return answer_of({"position": "8", "changes": changed, "records": told(hello=HELLO)})
        return answer_of({}, 404)

    async def go(client: CinpClient) -> Any:
        server = packrat(client)
        server._repos = frozenset({"apt-dev"})
        await server.open()
        await server.changes("7", 1)
        return server.changed_packages.take(REPO.name, {"hello"})

    taken = line.ask(go, answer)
    assert asked == [{"position": "7", "timeout": 1, **({"records": True} if described else {})}]
    assert (taken is not None) is (described and not mirror_changed)
