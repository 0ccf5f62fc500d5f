"""Who follows the files that were touched, while many write through several servers, ends with what a LIST gives."""

import random
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from server.test_change_stream import Stream
from server.test_changed_records import apply, by_asking, more_files, package_of, uri_of
from server.test_several_processes import ask, other_process
from support.world import World, world

PYPI = "/api/v2/Repo/Repo:pypi-dev:"
FILE = 11
ACTIONS = ("untag", "tag", "deprocate", "undeprocate", "fail", "unfail")
WRITERS = 6
CHANGES_EACH = 25


@pytest.fixture
def servers(tmp_path: Any, new_database: Callable[[], str | None]) -> Iterator[tuple[World, World]]:
    with world(tmp_path, new_database()) as one, other_process(one) as other:
        for made in (one, other):
            for name in ("lab", "manager", "root"):
                made.auth(name)
        yield one, other


class Follower:
    """A mirror that knows the files of one package."""

    def __init__(self, server: World, package: str, ended: threading.Event) -> None:
        self.position: str = ask(server, None)["position"]
        self.known = by_asking(server, package)
        self.gaps = 0
        self._server, self._package, self._ended = server, package, ended

    def take(self, told: Any) -> bool:
        """Learn from an answer; gives whether it was about anything."""
        numbers = [int(position.partition("-")[0]) for position in (self.position, told["position"])]
        assert numbers == sorted(numbers), "a position went back"
        assert bool(told["changes"]) or numbers[0] == numbers[1], "a position moved on without telling what changed"
        self.position = told["position"]
        if self._package in told["changes"].get(PYPI, ()):
            found = told["records"].get(PYPI, {}).get(self._package)
            if found is None:
                # So much changed that the server does not tell it; mirrors ask then.
                self.known = by_asking(self._server, self._package)
                self.gaps += 1
            else:
                self.known = apply(self.known, found) if "touched" in found else found
        return bool(told["changes"])

    def poll(self) -> None:
        """Ask again and again, until all was written and nothing comes any more."""
        while True:
            last = self._ended.is_set()
            wish = {"position": self.position, "timeout": 1, "records": True, "touched": True}
            answer = self._server.call("CALL", "/api/v2/Repo/Mirror:lab:(changes)", wish, "lab")
            assert answer.status == 200, answer.data
            if not self.take(answer.value) and last:
                return

    def listen(self) -> None:
        """Listen to streams that end after a second, until all was written and nothing comes any more."""
        while True:
            last, heard = self._ended.is_set(), False
            stream = Stream(self._server, self.position, timeout_s=1, records=True, touched=True)
            while (told := stream.next()) is not None:
                heard = self.take(told) or heard
            stream.connection.close()
            if last and not heard:
                return


def write(server: World, numbers: list[int], seed: int) -> int:
    """Change files at random; gives how many changes there were: what a rule forbids changes nothing."""
    draw, changed = random.Random(seed), 0
    for _ in range(CHANGES_EACH):
        action = draw.choice(ACTIONS)
        arguments = {"tag": "/api/v2/Attrib/Tag:dev:"} if action in ("tag", "untag") else {}
        answer = server.call("CALL", f"{uri_of(draw.choice(numbers))}({action})", arguments, "manager")
        assert answer.status in (200, 400), answer.data
        changed += answer.status == 200
    return changed


def test_following_touched_files_ends_with_what_a_list_gives(servers: tuple[World, World]) -> None:
    package, ended = package_of(servers[0], FILE), threading.Event()
    with more_files(servers[0], FILE, 8) as numbers, ThreadPoolExecutor(WRITERS + 4) as pool:
        followers = [Follower(server, package, ended) for server in (*servers, *servers)]
        polls = [pool.submit(follower.poll) for follower in followers[:2]]
        polls += [pool.submit(follower.listen) for follower in followers[2:]]
        writes = [pool.submit(write, servers[seed % 2], numbers, seed) for seed in range(WRITERS)]
        try:
            assert sum(written.result() for written in writes) > 3 * CHANGES_EACH
        finally:
            ended.set()
        for poll in polls:
            poll.result()
        expected = by_asking(servers[0], package)
        assert [follower.known for follower in followers] == [expected] * 4
        assert len({follower.position for follower in followers}) == 1
        # Otherwise it is not what was told that is compared.
        assert all(follower.gaps == 0 for follower in followers)
