"""Records that come with `changes` are taken once, and only where they are what was expected."""

import copy
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.upstream.ways import FILES, MIRROR, REPO, REPOS, Line, packrat
from packrat_agent.upstream.records import is_marked, read_file
from packrat_agent.upstream.told_files import ToldPackages
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
) -> ToldPackages:
    packages = ToldPackages(clock)
    packages.hear({"apt-dev": names}, records, 7.0)
    return packages


def test_what_was_told_is_taken_once() -> None:
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
def test_what_was_told_before_a_change_does_not_hold_after_it(names: Any, records: object) -> None:
    packages = heard(told(hello=HELLO))
    packages.hear({"apt-dev": names}, records, 8.0)
    assert packages.take("apt-dev", {"hello"}) is None


@pytest.mark.parametrize(("later_s", "is_kept"), [(59.0, True), (61.0, False)])
def test_what_was_told_long_ago_is_asked_for(later_s: float, is_kept: bool) -> None:
    now = [1000.0]
    packages = heard(told(hello=HELLO), clock=lambda: now[0])
    now[0] += later_s
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
    ],
)
def test_what_has_another_shape_is_asked_for(damage: Any) -> None:
    said = copy.deepcopy(HELLO)
    damage(said)
    assert heard(told(hello=said)).take("apt-dev", {"hello"}) is None


def test_of_a_record_nothing_is_remembered_that_nobody_reads() -> None:
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


def test_what_is_remembered_has_a_bound() -> None:
    packages = ToldPackages()
    for number in range(1000):
        packages.hear({"apt-dev": {f"p{number}"}}, told(**{f"p{number}": OTHER}), 7.0)
    assert sum(packages.take("apt-dev", {f"p{number}"}) is not None for number in range(1000)) <= 200


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([f"{REPOS}:apt-dev:", "hello", "wanted", "deprocated", f"{FILES}:1:", "package", "x"]),
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
        return server.take_told(REPO, {"hello"})

    taken = line.ask(go, answer)
    assert asked == [{"position": "7", "timeout": 1, **({"records": True} if described else {})}]
    assert (taken is not None) is (described and not mirror_changed)
