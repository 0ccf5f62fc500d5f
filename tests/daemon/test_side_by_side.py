"""Nothing waits for the largest repository: what is held back for one holds up no change of another, nor of its own.

The server answers some requests only when the test says so, so that the order of events is proved, not their time.
"""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb, build_deb
from support.apt_packages import read_packages
from support.original_server import OriginalServer, Request, StoredRepo, original_server
from support.stage import Daemon, Server, Stage, daemon

_LARGE = 350
"""More files than one batch of records has."""


@pytest.fixture
def original() -> Iterator[OriginalServer]:
    # The requests that are held back have a worker each; this is not about the number of workers.
    with original_server(workers=16) as server:
        put(server, "first")
        yield server


@pytest.fixture
def mirror(tmp_path: Path, original: OriginalServer) -> Stage:
    """An unsigned mirror of that server, which has `first` already; its agent waits longer than any test."""
    made = Stage(tmp_path, Server(tmp_path, "", original.url), original.psk, None)
    made.write_config()
    made.config.write_text(made.config.read_text().replace("[packrat]\n", "[packrat]\nstall_timeout: 600\n"))
    made.agent("sync")
    assert "Package: first" in made.packages()
    return made


def put(server: OriginalServer, name: str, tag: str = "dev") -> int:
    deb = Deb(name, "1", "all")
    return server.put(name, "1", deb.file_name, build_deb(deb), (tag,))


def packages(mirror: Stage, repo: str) -> str:
    return read_packages(mirror.www / repo / "dists/bookworm/main/binary-amd64")


def until(agent: Daemon, repo: str, is_there: Callable[[], bool]) -> None:
    """Wait until something is published."""
    count = agent.log.count(f"published repo={repo}")
    while not is_there():
        count += 1
        agent.until_logged(f"published repo={repo}", count)


def reads_any(numbers: set[int]) -> Callable[[Request], bool]:
    """Whether a request is for the records of some of these files."""

    def holds(request: Request) -> bool:
        ids = request.target.partition("PackageFile:")[2].strip(":").split(":")
        return request.verb == "GET" and not numbers.isdisjoint(int(number) for number in ids if number.isdigit())

    return holds


def test_a_tag_is_published_while_another_repository_still_reads_its_records(
    original: OriginalServer, mirror: Stage
) -> None:
    original.repos["large"] = StoredRepo("large")
    large = {put(original, f"large-{number}", "large") for number in range(_LARGE)}
    with original.holding(reads_any(large)) as held, daemon(mirror) as agent:
        held.until_waiting(1)
        put(original, "second")
        until(agent, "apt-dev", lambda: "Package: second\n" in mirror.packages())
        put(original, "third")
        until(agent, "apt-dev", lambda: "Package: third\n" in mirror.packages())
        assert "checked" not in agent.log
        assert packages(mirror, "large") == ""
        held.end()
        agent.until_logged("checked")
        assert packages(mirror, "large").count("Package: large-") == _LARGE
        assert agent.stop() == 0


@pytest.mark.parametrize("is_change", [False, True], ids=["full sync", "change"])
def test_a_tag_is_published_while_a_download_of_another_repository_hangs(
    original: OriginalServer, mirror: Stage, is_change: bool
) -> None:
    original.repos["large"] = StoredRepo("large")
    if not is_change:
        put(original, "large", "large")
    with original.holding(lambda request: request.target.startswith("/files/large")) as held, daemon(mirror) as agent:
        if is_change:
            agent.until_logged("checked")
            put(original, "large", "large")
        original.until_asked(1, "GET /files/large", since=0.0)
        put(original, "second")
        until(agent, "apt-dev", lambda: "Package: second\n" in mirror.packages())
        assert packages(mirror, "large") == ""
        held.end()
        until(agent, "large", lambda: "Package: large\n" in packages(mirror, "large"))
        agent.until_logged("checked")
        assert agent.stop() == 0


def test_a_tag_is_published_while_the_same_repository_is_read_again_and_is_not_lost_then(
    original: OriginalServer, mirror: Stage
) -> None:
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        [first], since = original.files, time.monotonic()
        with original.holding(reads_any({first})) as held:
            agent.process.send_signal(signal.SIGUSR1)
            original.until_asked(1, f"GET /api/v2/Package/PackageFile:{first}:", since)
            number = put(original, "second")
            until(agent, "apt-dev", lambda: "Package: second\n" in mirror.packages())
            original.files[number].failed = True
            put(original, "third")
            until(agent, "apt-dev", lambda: "Package: third\n" in mirror.packages())
            assert "Package: second\n" not in mirror.packages()
            published = agent.log.count("published repo=apt-dev")
            # The list of the full sync is older than all this.
            held.end()
            agent.until_logged("checked", 2)
            assert agent.log.count("published repo=apt-dev") == published
            assert [mirror.packages().count(f"Package: {name}\n") for name in ("first", "second", "third")] == [1, 0, 1]
            assert agent.stop() == 0


def test_a_tag_is_published_while_the_same_repository_downloads(original: OriginalServer, mirror: Stage) -> None:
    put(original, "large")
    with original.holding(lambda request: request.target.startswith("/files/large")) as held, daemon(mirror) as agent:
        original.until_asked(1, "GET /files/large", since=0.0)
        original.until_polled("apt-dev")
        put(original, "second")
        until(agent, "apt-dev", lambda: "Package: second\n" in mirror.packages())
        assert "Package: large\n" not in mirror.packages()
        held.end()
        agent.until_logged("checked")
        names = ("first", "second", "large")
        assert [mirror.packages().count(f"Package: {name}\n") for name in names] == [1, 1, 1]
        # Each file once: what one sync downloads, another leaves to it.
        asked = [request.target for request in original.asked if request.target.startswith("/files/")]
        assert len(asked) == len(set(asked))
        assert agent.stop() == 0


def test_a_file_that_two_repositories_want_at_the_same_time_is_downloaded_once(
    original: OriginalServer, mirror: Stage
) -> None:
    original.repos |= {f"other-{number}": StoredRepo("dev") for number in range(3)}
    put(original, "shared")
    mirror.agent("sync")
    assert original.count("GET /files/shared") == 1
    for repo in original.repos:
        assert packages(mirror, repo).count("Package: shared\n") == 1
