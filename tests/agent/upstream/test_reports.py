"""What the server is told of what the mirror has published: nothing too early, nothing older, nothing to deaf ears."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from structlog.testing import capture_logs

from agent.upstream.ways import REPO, Line, packrat
from packrat_agent.upstream.client import Packrat
from packrat_core.cinp.client import CinpClient
from support.replay import Request, answer_of

MIRROR = "/api/v2/Repo/Mirror"
DIGEST = "ab" * 32


@dataclass(slots=True)
class Listener:
    """A server that takes reports, or refuses them; `at` is its position."""

    at: str = "1-a"
    refuses: bool = False
    logins: int = 0
    told: list[Any] = field(default_factory=list)

    def answer(self, request: Request) -> bytes:
        if request.target == "/api/v2/Auth/User(login)":
            self.logins += 1
            return answer_of(f"token{self.logins}")
        if request.headers.get("auth-token") != f"token{self.logins}" and "(heartbeat)" in request.target:
            return answer_of({"message": "Invalid Session"}, 401)
        if request.verb == "DESCRIBE":
            actions = [f"{MIRROR}(changes)", f"{MIRROR}(report)"] if request.target == MIRROR else []
            return answer_of({"api-version": "2.0", "actions": actions})
        if "(changes)" in request.target:
            return answer_of({"position": self.at, "changes": {}})
        if "(report)" in request.target:
            if self.refuses:
                return answer_of({"message": "Not Authorized"}, 403)
            self.told += request.body["published"]
        return answer_of()


Act = Callable[[Packrat, Listener], Any]


def run(line: Line, act: Act, server: Listener) -> list[tuple[str, str]]:
    """Open a connection, act, and give the (position, digest) of what the server was told."""

    async def go(client: CinpClient) -> None:
        mirror = packrat(client)
        await mirror.open()
        await act(mirror, server)
        await mirror.heartbeat()

    line.ask(go, server.answer)
    return [(report["position"], report["digest"]) for report in server.told]


async def hear(mirror: Packrat, server: Listener, at: str) -> Any:
    server.at = at
    await mirror.changes(None, 0)
    return mirror.reports.position


def publish(mirror: Packrat, position: Any, digest: str = DIGEST) -> None:
    mirror.reports.reach(REPO.name, position)
    mirror.reports.add(REPO, digest)


def test_an_older_report_does_not_replace_a_newer_one(line: Line) -> None:
    async def act(mirror: Packrat, server: Listener) -> None:
        mirror.reports.note_whole(mirror.reports.begin(REPO))
        first, second = await hear(mirror, server, "9-a"), await hear(mirror, server, "10-b")
        publish(mirror, second, "cd" * 32)
        # A full sync that began before ends later; its index has what the change brought.
        publish(mirror, first)

    assert run(line, act, Listener()) == [("10-b", DIGEST)]


def test_a_full_sync_reports_what_changes_have_reached_meanwhile(line: Line) -> None:
    async def act(mirror: Packrat, server: Listener) -> None:
        first, second = await hear(mirror, server, "1-a"), await hear(mirror, server, "2-b")
        publish(mirror, second)
        await mirror.heartbeat()
        assert server.told == []
        mirror.reports.note_whole(mirror.reports.begin(REPO))
        publish(mirror, first)

    assert run(line, act, Listener()) == [("2-b", DIGEST)]


def test_after_a_fault_only_a_sync_of_everything_that_began_later_is_reported(line: Line) -> None:
    async def act(mirror: Packrat, server: Listener) -> None:
        reports = mirror.reports
        reports.note_whole(reports.begin(REPO))
        before = reports.begin(REPO)
        reports.note_fault(REPO.name)
        publish(mirror, await hear(mirror, server, "2-b"))
        reports.note_whole(before)
        publish(mirror, await hear(mirror, server, "3-c"))
        await mirror.heartbeat()
        assert server.told == []
        reports.note_whole(reports.begin(REPO))
        publish(mirror, await hear(mirror, server, "4-d"))

    assert run(line, act, Listener()) == [("4-d", DIGEST)]


def test_a_repository_whose_record_changed_is_not_reported_before_it_was_synced_again(line: Line) -> None:
    async def act(mirror: Packrat, server: Listener) -> None:
        changed = replace(REPO, tag="prod")
        mirror.reports.note_whole(mirror.reports.begin(REPO))
        mirror.reports.reach(REPO.name, await hear(mirror, server, "2-b"))
        mirror.reports.add(changed, DIGEST)

    assert run(line, act, Listener()) == []


def test_a_refusal_ends_with_the_next_login_and_is_logged_once(line: Line) -> None:
    async def act(mirror: Packrat, server: Listener) -> None:
        mirror.reports.note_whole(mirror.reports.begin(REPO))
        at = await hear(mirror, server, "2-b")
        for _ in range(2):
            publish(mirror, at)
            await mirror.heartbeat()
            assert (mirror.reports.is_taken, mirror.reports.position) == (False, None)
            # The session ends, and the heartbeat logs in again.
            server.logins += 1
            await mirror.heartbeat()
            assert mirror.reports.is_taken
        server.refuses = False
        publish(mirror, await hear(mirror, server, "3-c"))

    with capture_logs() as logged:
        assert run(line, act, Listener(refuses=True)) == [("3-c", DIGEST)]
    assert [entry["event"] for entry in logged].count("unreported") == 1
