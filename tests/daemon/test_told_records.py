"""A small change costs the server no question: what changed, the answer to `changes` tells."""

import re
from pathlib import Path

from packrat_demo.build_deb import Deb
from packrat_demo.build_wheel import Python, build_wheel
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
