"""A real `packrat-agent run` under every mood of its server: it keeps what it has, says so once, and comes back."""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb, build_deb
from packrat_server.serving.running import running
from support.original_server import Manners, OriginalServer, StoredRepo, original_server
from support.ports import held_port
from support.proxy import Proxy, running_proxy
from support.stage import DEADLINE_S, Daemon, Server, Stage, daemon

# The first of the tests that go on side by side waits for the longest of them.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture
def original() -> Iterator[OriginalServer]:
    with original_server() as server:
        put(server, "first")
        yield server


@pytest.fixture
def mirror(tmp_path: Path, original: OriginalServer) -> Stage:
    """An unsigned mirror of that server; it has `first` already."""
    return mirror_of(original, tmp_path)


def mirror_of(original: OriginalServer, directory: Path, packrat: str = "") -> Stage:
    made = Stage(directory, Server(directory, "", original.url), original.psk, None)
    made.write_config()
    made.config.write_text(made.config.read_text().replace("[packrat]\n", f"[packrat]\n{packrat}"))
    made.agent("sync")
    assert "Package: first" in made.packages()
    return made


def put(server: OriginalServer, name: str, tags: tuple[str, ...] = ("dev",)) -> int:
    deb = Deb(name, "1", "all")
    return server.put(name, "1", deb.file_name, build_deb(deb), tags)


def until_published(agent: Daemon, mirror: Stage, name: str) -> None:
    """Wait until a package is in the index."""
    count = agent.log.count("published repo=apt-dev")
    while f"Package: {name}" not in mirror.packages():
        count += 1
        agent.until_logged("published repo=apt-dev", count)


def lines(log: str, word: str) -> list[str]:
    """What stands after a log word, each line."""
    return re.findall(rf"\b{word} +(.*)", log)


@contextmanager
def served_throughout(mirror: Stage) -> Iterator[None]:
    """What is published stays as it is."""
    before = mirror.tree()
    yield
    assert mirror.tree() == before


def lose_database(manners: Manners) -> None:
    """Each answer has a number of its own."""
    manners.gone = manners.numbered = True


RESTART = r"500, .*; restart the packrat server \(its database was restarted\)"

MOODS: dict[str, tuple[Callable[[Manners], None], str]] = {
    "the database is gone": (lambda manners: setattr(manners, "gone", True), RESTART),
    "the database is gone, and each answer has a number": (lose_database, RESTART),
    "a proxy in front answers with HTML": (lambda manners: setattr(manners, "html", True), "502"),
    "answers are cut off": (
        lambda manners: setattr(manners, "cut", True),
        "the connection was closed before the answer was complete",
    ),
    "answers are an object": (
        lambda manners: setattr(manners, "wrong", {"x": 1}),
        "API|(no|not an?) (list|object)",
    ),
    "answers are a list": (
        lambda manners: setattr(manners, "wrong", [7]),
        "(no|not an?) (list|object)",
    ),
    "answers are text": (
        lambda manners: setattr(manners, "wrong", "hello"),
        "(no|not an?) (list|object)",
    ),
    "answers lead elsewhere": (lambda m: setattr(m, "redirect", "http://127.0.0.1:9"), "redirects are not followed"),
}


def go_through_a_mood(original: OriginalServer, mirror: Stage, begin: Callable[[Manners], None], says: str) -> None:
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        with served_throughout(mirror):
            begin(original.manners)
            agent.until_logged("waiting")
            # The next attempts take longer and longer; an attempt is a request or two.
            assert original.until_asked(3) > 1.0
        original.manners = Manners()
        put(original, "second")
        agent.until_logged("recovered")
        until_published(agent, mirror, "second")
        told = lines(agent.log, "waiting")
        assert re.search(says, told[0])
        assert len(told) == len(set(told)) <= 2
        assert len(lines(agent.log, "recovered")) == 1
        assert agent.stop() == 0


def leave_a_busy_server_alone(original: OriginalServer, mirror: Stage) -> None:
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        original.manners.busy = "31"
        told = agent.until_logged("WARNING waiting")
        assert "asks to wait for 31 seconds" in told
        original.manners.busy = None
        put(original, "second")
        assert original.until_asked(1) > 10
        until_published(agent, mirror, "second")
        assert lines(agent.log, "refused") == []


def leave_nothing_open(original: OriginalServer, mirror: Stage) -> None:
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        process = Path(f"/proc/{agent.process.pid}")

        def open_now() -> tuple[int, int]:
            return len(list((process / "fd").iterdir())), len(list((process / "task").iterdir()))

        def go_through(moods: tuple[str, ...]) -> None:
            for mood in moods:
                waiting, recovered = (len(lines(agent.log, word)) for word in ("waiting", "recovered"))
                original.until_polled("apt-dev")
                setattr(original.manners, mood, True)
                # Without news, the agent would ask for nothing before the poll is over.
                original.changed(next(iter(original.files)))
                agent.until_logged("waiting", waiting + 1)
                original.manners = Manners()
                agent.until_logged("recovered", recovered + 1)
                original.until_asked(1, "(poll)")

        go_through(("cut", "gone", "html"))
        # As many threads as work at the same time stay for the next work.
        descriptors, threads = open_now()
        go_through(("cut", "gone", "html"))
        # What follows a mood may still be under way; what is left open stays.
        until = time.monotonic() + DEADLINE_S
        while any(now > before + 3 for now, before in zip(open_now(), (descriptors, threads), strict=True)):
            assert time.monotonic() < until, (open_now(), descriptors, threads)


def give_half_open_connections_up(original: OriginalServer, mirror: Stage) -> None:
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        with served_throughout(mirror):
            original.manners.silent = True
            agent.until_logged("waiting")
        original.manners.silent = False
        put(original, "second")
        agent.until_logged("recovered")
        until_published(agent, mirror, "second")


LONG: dict[str, Callable[[OriginalServer, Stage], None]] = {
    **{mood: partial(go_through_a_mood, begin=begin, says=says) for mood, (begin, says) in MOODS.items()},
    "busy": leave_a_busy_server_alone,
    "half open": give_half_open_connections_up,
    "nothing left open": leave_nothing_open,
}
"""What waits for half a minute: for polls to end, and for the next attempt of an agent that failed before."""
SETTINGS = {"half open": "stall_timeout: 5\n"}
"""What some of them have in [packrat]."""


@pytest.fixture(scope="module")
def side_by_side(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[None]]]:
    """All of LONG at the same time, each with a server and an agent of its own."""
    with ExitStack() as servers, ThreadPoolExecutor(len(LONG)) as pool:
        made = {}
        for name in LONG:
            original = servers.enter_context(original_server())
            put(original, "first")
            made[name] = original, mirror_of(original, tmp_path_factory.mktemp("mirror"), SETTINGS.get(name, ""))
        yield {name: pool.submit(work, *made[name]) for name, work in LONG.items()}


@pytest.mark.parametrize("mood", MOODS)
def test_a_mood_is_reported_once_and_passes(side_by_side: Mapping[str, Future[None]], mood: str) -> None:
    side_by_side[mood].result()


def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(side_by_side: Mapping[str, Future[None]]) -> None:
    side_by_side["busy"].result()


def test_connections_that_are_half_open_are_given_up(side_by_side: Mapping[str, Future[None]]) -> None:
    side_by_side["half open"].result()


def test_nothing_is_left_open_by_moods(side_by_side: Mapping[str, Future[None]]) -> None:
    side_by_side["nothing left open"].result()


def test_a_server_that_is_down_at_the_start(original: OriginalServer, mirror: Stage) -> None:
    original.stop()
    with daemon(mirror) as agent, served_throughout(mirror):
        agent.until_logged("waiting")
        original.start()
        agent.until_logged("recovered")
        agent.until_logged("checked")
        assert len(lines(agent.log, "waiting")) == 1


def test_the_agent_follows_a_server_that_restarts(original: OriginalServer, mirror: Stage) -> None:
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        for number in (1, 2):
            original.stop()
            agent.until_logged("waiting", number)
            put(original, f"meanwhile{number}")
            original.start()
            agent.until_logged("recovered", number)
            until_published(agent, mirror, f"meanwhile{number}")
        assert agent.stop() == 0


def test_our_own_server_restarts(lab: Stage) -> None:
    """With `changes` open; the change is made while the server is down, and found by listing."""
    lab.server.put_deb(Deb("first", "1", "all"))
    with held_port() as port:
        with running(lab.server.data, port=port) as lab.server.url:
            lab.write_config()
            with daemon(lab) as agent:
                agent.until_logged("checked")
                assert agent.stop() == 0
        with daemon(lab) as agent:
            agent.until_logged("waiting")
            with running(lab.server.data, port=port):
                lab.server.put_deb(Deb("second", "1", "all"))
                agent.until_logged("recovered")
                until_published(agent, lab, "second")
            agent.until_logged("waiting", 2)
            with running(lab.server.data, port=port):
                agent.until_logged("recovered", 2)
                lab.server.put_deb(Deb("third", "1", "all"))
                until_published(agent, lab, "third")
                assert agent.stop() == 0


def test_a_revoked_session_is_opened_again_without_a_word(original: OriginalServer, mirror: Stage) -> None:
    original.users["lab"] = "lab_psk"
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        logins = original.count("(login)")
        original.revoke()
        put(original, "second")
        until_published(agent, mirror, "second")
        assert original.count("(login)") == logins + 1
        assert lines(agent.log, "waiting") == []


def test_a_psk_that_is_wrong_by_now(original: OriginalServer, mirror: Stage) -> None:
    original.users["lab"] = "lab_psk"
    original.manners.closed = True
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        with served_throughout(mirror):
            original.users["lab"] = "another"
            original.revoke()
            agent.until_logged("waiting")
            assert original.until_asked(3, "(login)") > 1.0
        original.users["lab"] = "lab_psk"
        agent.until_logged("recovered")
        [told] = lines(agent.log, "waiting")
        assert "check name and psk" in told
        assert "without a login it refuses too" in told
        assert "lab_psk" not in agent.log


def test_a_server_of_another_api(original: OriginalServer, mirror: Stage) -> None:
    original.manners.api = "3.0"
    with daemon(mirror) as agent, served_throughout(mirror):
        agent.until_logged("waiting")
        assert original.until_asked(3) > 1.0
        original.manners.api = "2.1"
        agent.until_logged("recovered")
        agent.until_logged("checked")
        [told] = lines(agent.log, "waiting")
        assert "'3.0'" in told


def test_a_slow_server_is_no_trouble(original: OriginalServer, mirror: Stage) -> None:
    original.manners.slow_s = 0.3
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        put(original, "second")
        until_published(agent, mirror, "second")
        assert lines(agent.log, "waiting") == []


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with running_proxy("user:secret") as made:
        yield made


def test_the_agent_recovers_when_a_proxy_that_died_is_back(
    original: OriginalServer, tmp_path: Path, proxy: Proxy
) -> None:
    mirror = mirror_of(original, tmp_path, f"proxy: http://user:secret@127.0.0.1:{proxy.port}\n")
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        with served_throughout(mirror):
            proxy.die()
            agent.until_logged("waiting")
        proxy.start()
        put(original, "second")
        agent.until_logged("recovered")
        until_published(agent, mirror, "second")
        assert any("proxy" in told for told in lines(agent.log, "waiting"))
        assert "secret" not in agent.log


def test_downloads_that_break_off_are_mended_within_the_pass(original: OriginalServer, mirror: Stage) -> None:
    original.manners.cut_files = 2
    put(original, "second")
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        assert "Package: second" in mirror.packages()
        assert lines(agent.log, "failed") == []


def test_a_fault_in_one_repository_stops_no_other(original: OriginalServer, mirror: Stage) -> None:
    original.repos |= {"a-odd": StoredRepo("dev", kind="nonsense"), "z-odd": StoredRepo("dev", suites=("../x",))}
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        put(original, "second")
        until_published(agent, mirror, "second")
        assert lines(agent.log, "waiting") == []
        assert agent.stop() == 0


def test_changes_that_the_server_announces_to_nobody_are_found(original: OriginalServer, mirror: Stage) -> None:
    """The notifications of the original server are lost between polls: here all are."""
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        number = put(original, "quiet", tags=())
        original.files[number].tags.add("dev")
        until_published(agent, mirror, "quiet")
        original.files[number].failed = True
        agent.until_logged("published repo=apt-dev", agent.log.count("published repo=apt-dev") + 1)
        assert "Package: quiet" not in mirror.packages()
