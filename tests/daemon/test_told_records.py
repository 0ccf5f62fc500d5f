"""A small change costs the server no question: what changed, the answer to `changes` tells."""

import re
import signal
from pathlib import Path

from packrat_demo.build_deb import Deb, write_deb
from packrat_demo.build_wheel import Python, build_wheel
from packrat_server.api.changed_records import FILES_LIMIT
from packrat_server.client.uploader import Uploader
from support.keys import Key
from support.relay import Relay
from support.stage import Stage, daemon, relayed, stage

QUESTION = re.compile(r"(LIST|GET) /api/v2/Package/")


def questions(relay: Relay) -> list[str]:
    return [line for line in relay.asked if QUESTION.match(line)]


def test_a_file_that_comes_and_goes_is_published_without_a_question(lab: Stage) -> None:
    lab.server.put_deb(Deb("first", "1", "amd64"))
    with relayed(lab) as relay, daemon(lab) as agent:
        agent.until_logged("checked")
        assert questions(relay)
        # Once a change was heard, the question that stays open is asked.
        lab.server.put_deb(Deb("earlier", "1", "amd64"))
        agent.until_logged("published repo=apt-dev", 2)
        relay.reset()
        [uri] = lab.server.put_deb(Deb("second", "1", "amd64"))
        agent.until_logged("published repo=apt-dev", 3)
        assert "Package: second\n" in lab.packages()
        lab.server.act(uri, "fail")
        agent.until_logged("published repo=apt-dev", 4)
        assert "Package: second\n" not in lab.packages()
        assert [line for line in relay.asked if "GET /files/" in line]
        assert questions(relay) == []
        # One question, which stays open, tells of all changes.
        assert not [line for line in relay.asked if "(changes)" in line]
        assert agent.stop() == 0
    tree = lab.packages()
    lab.agent("sync")
    assert lab.packages() == tree


def test_a_change_of_one_of_very_many_files_is_published_without_a_question(lab: Stage) -> None:
    directory = lab.directory / "debs"
    directory.mkdir()

    async def upload(uploader: Uploader) -> list[str]:
        uris = []
        for number in range(FILES_LIMIT + 2):
            [uri] = await uploader.upload(write_deb(Deb("many", f"1.{number}", "amd64"), directory), ("bookworm",))
            await uploader.tag(uri, "dev")
            uris.append(uri)
        return uris

    uris = lab.server.ask(upload)
    with relayed(lab) as relay, daemon(lab) as agent:
        agent.until_logged("checked")
        lab.server.put_deb(Deb("earlier", "1", "amd64"))
        agent.until_logged("published repo=apt-dev", 2)
        relay.reset()
        for number, (uri, action, there) in enumerate(
            [(uris[0], "fail", False), (uris[1], "deprocate", False), (uris[0], "unfail", True)], 3
        ):
            lab.server.act(uri, action)
            agent.until_logged("published repo=apt-dev", number)
            assert (f"Version: 1.{uris.index(uri)}\n" in lab.packages()) is there
        # What is taken back before it is heard of is no change, and what follows loses nothing by it.
        agent.process.send_signal(signal.SIGSTOP)
        lab.server.untag(uris[2], "dev")
        lab.server.tag(uris[2], "dev")
        agent.process.send_signal(signal.SIGCONT)
        lab.server.put_deb(Deb("many", "2", "amd64"))
        agent.until_logged("published repo=apt-dev", 6)
        assert "Version: 2\n" in lab.packages()
        assert lab.packages().count("Package: many\n") == FILES_LIMIT + 2
        assert questions(relay) == []
        assert agent.stop() == 0
    tree = lab.packages()
    lab.agent("sync")
    assert lab.packages() == tree


def test_a_yanked_file_is_marked_without_a_question(tmp_path: Path, key: Key) -> None:
    with stage(tmp_path, key, ("pypi",), "pypi") as made:
        uris = []
        for version in ("1.0", "2.0"):
            python = Python("steps", version, ())
            path = tmp_path / python.wheel_name
            path.write_bytes(build_wheel(python))
            uris += made.server.put(path, ("pypi",))
        with relayed(made) as relay, daemon(made) as agent:
            agent.until_logged("checked")
            page = made.repo / "simple" / "steps" / "index.html"
            assert "data-yanked" not in page.read_text()
            relay.reset()
            made.server.act(uris[1], "deprocate")
            agent.until_logged("published repo=pypi-dev", 2)
            assert page.read_text().count("data-yanked") == 1
            made.server.act(uris[1], "undeprocate")
            agent.until_logged("published repo=pypi-dev", 3)
            assert "data-yanked" not in page.read_text()
            assert questions(relay) == []
