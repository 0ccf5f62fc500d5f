"""Manners of the original server, and what apt gets from the mirror: late answers, names used again, few workers."""

import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb, build_deb
from packrat_demo.private_apt import PrivateApt
from support.apt_packages import is_offered
from support.original_server import OriginalServer, original_server
from support.stage import Daemon, Server, Stage, daemon
from support.web import web_server

RECORDS = "GET /api/v2/Package/PackageFile"


@pytest.fixture
def original() -> Iterator[OriginalServer]:
    with original_server() as server:
        upload(server, Deb("first", "1", "all"))
        yield server


@pytest.fixture
def mirror(tmp_path: Path, original: OriginalServer) -> Stage:
    made = Stage(tmp_path, Server(tmp_path, "", original.url), original.psk, None)
    made.write_config()
    made.agent("sync")
    return made


@pytest.fixture
def apt(tmp_path: Path, mirror: Stage) -> Iterator[PrivateApt]:
    with web_server(mirror.www) as url:
        yield PrivateApt(tmp_path / "apt", f"deb [trusted=yes] {url}/apt-dev bookworm main\n")


def upload(server: OriginalServer, deb: Deb) -> int:
    return server.upload(deb.file_name, build_deb(deb))


def offered(apt: PrivateApt) -> list[str]:
    said = apt.run("update")
    assert said.exit_code == 0, said.output
    return sorted(apt.run("pkgnames", program="apt-cache").output.split())


def until_published(agent: Daemon, mirror: Stage, text: str) -> None:
    count = agent.log.count("published repo=apt-dev")
    while not is_offered(mirror.repo / "dists/bookworm", text):
        count += 1
        agent.until_logged("published repo=apt-dev", count)


def test_while_answers_do_not_come_apt_keeps_what_is_published(
    original: OriginalServer, mirror: Stage, apt: PrivateApt
) -> None:
    with daemon(mirror) as agent:
        agent.until_logged("checked")
        with original.holding(RECORDS) as held:
            upload(original, Deb("second", "1", "all"))
            [asked] = held.until_waiting(1)
            assert asked.line.startswith(RECORDS)
            assert offered(apt) == ["first"]
            assert apt.run("download", "first").exit_code == 0
        until_published(agent, mirror, "Package: second\n")
        assert offered(apt) == ["first", "second"]
        assert agent.stop() == 0


def test_a_file_uploaded_again_under_a_suffixed_name_takes_the_place_of_the_deleted_one(
    original: OriginalServer, mirror: Stage, apt: PrivateApt
) -> None:
    old = Deb("again", "1-1", "all", files=(("/opt/again", b"old\n"),))
    new = Deb("again", "1-1", "all", files=(("/opt/again", b"new\n"),))
    first = upload(original, old)
    mirror.agent("sync")
    assert offered(apt) == ["again", "first"]
    original.delete(first)
    second = upload(original, new)
    assert original.files[second].name == "again_1-1_all_fX00000.deb"
    mirror.agent("sync")
    assert offered(apt) == ["again", "first"]
    assert apt.run("download", "again").exit_code == 0
    [downloaded] = apt.downloads.glob("again_*.deb")
    assert downloaded.read_bytes() == build_deb(new)
    # Clients that have the former index still find the file that it names.
    assert (mirror.repo / "pool/again/again_1-1_all.deb").read_bytes() == build_deb(old)


def test_failed_or_deprecated_files_leave_the_index(original: OriginalServer, mirror: Stage, apt: PrivateApt) -> None:
    bad, outdated = upload(original, Deb("bad", "1", "all")), upload(original, Deb("outdated", "1", "all"))
    mirror.agent("sync")
    assert offered(apt) == ["bad", "first", "outdated"]
    original.fail(bad)
    original.deprocate(outdated)
    mirror.agent("sync")
    assert offered(apt) == ["first"]


def test_the_server_does_three_requests_at_once_and_the_others_wait(original: OriginalServer) -> None:
    def ask() -> None:
        asked = urllib.request.Request(f"{original.url}/files/first_1_all.deb")
        answers.append(len(urllib.request.urlopen(asked, timeout=60).read()))

    answers: list[int] = []
    threads = [threading.Thread(target=ask) for _ in range(5)]
    with original.holding("GET /files/") as held:
        for thread in threads:
            thread.start()
        held.until_waiting(3)
        original.until_asked(5, "GET /files/", 0.0)
        assert (held.came, len(held.waiting)) == (3, 3)
        # An answer frees a worker for one more.
        held.let_go()
        held.until_waiting(3)
        assert held.came == 4
    for thread in threads:
        thread.join(60)
    assert len(answers) == 5
    assert original.most_at_once == 3
