"""A call on several objects at once: package files change together or not at all, and one failure ends the rest."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from packrat_server.api.messages import CinpError
from packrat_server.api.verbs import _run_together
from support.world import World, world

FILES = "/api/v2/Package/PackageFile"
TAG = {"tag": "/api/v2/Attrib/Tag:stage:"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), new_database()) as made:
        yield made


def states(server: World, *numbers: int) -> list[Any]:
    """The tags and marks of files, and how many events each has."""
    found = []
    for number in numbers:
        record = server.call("GET", f"{FILES}:{number}:").value
        uri = f"{FILES}:{number}:"
        events = server.call("CALL", f"{FILES}(history)", {"file": uri, "package": None, "file_name": None}).value
        found.append((record["tags"], record["failed_at"], record["deprocated_at"], len(events)))
    return found


@pytest.mark.parametrize(
    ("ids", "action", "arguments", "error", "refused"),
    [
        # 1 has the tag already; 7 lacks the one before; 5 has one that requires it; 41 is failed.
        ("2:1", "tag", TAG, "ALLREADY_TAGGED", 1),
        ("2:3:7:4", "tag", TAG, "TAG_REQUIRED", 7),
        ("2:5", "untag", {"tag": "/api/v2/Attrib/Tag:dev:"}, "TAG_REQUIRED", 5),
        ("2:3:41", "deprocate", {}, "FAILED", 41),
    ],
)
def test_of_several_files_none_changes_where_one_is_refused(
    server: World, ids: str, action: str, arguments: dict[str, Any], error: str, refused: int
) -> None:
    assert server.call("CALL", f"{FILES}:41:(fail)", {}).status == 200
    numbers = [int(number) for number in ids.split(":")]
    before = states(server, *numbers)
    answer = server.call("CALL", f"{FILES}:{ids}:({action})", arguments, "manager")
    assert (answer.status, answer.value["error"]) == (400, error)
    assert answer.value["message"].startswith(f"package file {refused}: ")
    assert states(server, *numbers) == before


def test_a_file_that_is_not_there_or_may_not_be_changed_stops_the_others(server: World) -> None:
    before = states(server, 3, 1)
    assert server.call("CALL", f"{FILES}:3:4711:(fail)", {}).status == 404
    # A promoter has no right to the other tags of 1, and none to dev, which 3 has.
    assert server.call("CALL", f"{FILES}:3:1:(fail)", {}, "promoter").status == 403
    assert states(server, 3, 1) == before


def test_several_files_are_changed_at_once_and_a_follower_hears_of_all(server: World) -> None:
    position = server.call("CALL", "/api/v2/Repo/Mirror:lab:(changes)", {"position": None, "timeout": 0}, "lab").value
    answer = server.call("CALL", f"{FILES}:20:21:20:(tag)", TAG, "manager")
    assert answer.value == {f"{FILES}:20:": None, f"{FILES}:21:": None}
    assert answer.headers["Multi-Object"] == "True"
    given = {"position": position["position"], "timeout": 0}
    told = server.call("CALL", "/api/v2/Repo/Mirror:lab:(changes)", given, "lab").value["changes"]
    assert told["/api/v2/Repo/Repo:json-stage:"] == ["p20", "p21"]


def test_one_failure_ends_the_calls_on_the_other_objects() -> None:
    ended: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("waiting")

    async def fail() -> None:
        raise CinpError(401, "Invalid Session")

    async def call_both() -> None:
        with pytest.raises(CinpError):
            async with asyncio.timeout(60):
                await _run_together([wait(), fail()])

    asyncio.run(call_both())
    assert ended == ["waiting"]
