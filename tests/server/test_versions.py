"""The server answers in each version of CInP that clients speak, and their own library works with it."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from packrat_demo.build_deb import Deb, build_deb
from server.test_wire import replay, replayed
from support.recorded import read_wire
from support.world import SECRETS, World, world

_TOP = Path(__file__).parents[2]
_LIBRARIES = _TOP / ".cache/cinp"
_API = "/api/v2/"
_FILES = f"{_API}Package/PackageFile"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.mark.parametrize("version", ["0.9", "1.0", "2.0"])
def test_every_recorded_request_is_answered_in_the_version_that_it_names(server: World, version: str) -> None:
    asked = [
        exchange
        for exchange in replayed()
        if exchange.header("cinp-version") == "0.9" and not exchange.id.startswith("08:")
    ]
    assert len(asked) > 100
    for exchange in asked:
        first, then = (replay(server, exchange, cinp) for cinp in ("0.9", version))
        assert then.status == first.status, exchange.id
        if "Cinp-Version" in first.headers:
            assert then.headers["Cinp-Version"] == version, exchange.id


def test_the_original_recorded_that_it_speaks_one_version_only(server: World) -> None:
    refused = {
        exchange.header("cinp-version"): exchange
        for exchange in read_wire("05")
        if "Protocol Version" in str(exchange.answer)
    }
    assert replay(server, refused.pop("1.0")).status == 200
    for exchange in refused.values():
        answer = replay(server, exchange)
        assert (answer.status, answer.value) == (400, {"message": "Invalid CInP Protocol Version"})
        assert answer.headers["Cinp-Version"] == "0.9"


@pytest.mark.parametrize(
    ("version", "renamed", "missing"),
    [
        ("0.9", {"paramaters", "not-allowed-methods"}, "Required Paramater"),
        ("1.0", {"paramaters", "not-allowed-verbs"}, "Required Paramater"),
        ("2.0", {"parameters", "not-allowed-verbs"}, "Required Parameter"),
    ],
)
def test_names_that_the_versions_spell_differently(
    server: World, version: str, renamed: set[str], missing: str
) -> None:
    spoken = {"CInP_Version": version}
    model = server.call("DESCRIBE", f"{_API}Repo/Repo", **spoken).value
    action = server.call("DESCRIBE", f"{_API}Repo/Repo(poll)", **spoken).value
    spellings = {"paramaters", "parameters", "not-allowed-methods", "not-allowed-verbs"}
    assert spellings & (model.keys() | action.keys()) == renamed
    assert ("query-filter-fields" in model) is (version != "0.9")
    poll = server.call("CALL", f"{_API}Repo/Repo:apt-dev:(poll)", {}, **spoken)
    assert (poll.status, poll.value) == (400, {"timeout": missing})


@pytest.mark.parametrize("release", ["0.21.0", "1.4.0", "2.1.4"])
def test_the_library_of_the_original_works_with_this_server(server: World, release: str) -> None:
    name = f"made-by-{release.replace('.', '-')}"
    uploaded = server.upload(f"{name}_1.0_all.deb", build_deb(Deb(name, "1.0", "all"))).value["uri"]
    wanted = {"repo": f"{_API}Repo/Repo:apt-dev:", "package_list": [name]}
    new = {"file": uploaded, "justification": "j", "provenance": "p", "type": "deb", "distroversion": "bookworm"}
    described, mirror, listed, _, made = _use(
        release,
        server,
        [
            ("describe", [f"{_API}Repo/Repo(poll)"]),
            ("get", [f"{_API}Repo/Mirror:lab:"]),
            ("list", [f"{_API}Repo/Repo", None, {}, 1, 2]),
            ("create", [f"{_API}Package/Package", {"name": name}]),
            ("call", [f"{_FILES}(create)", new]),
        ],
    )
    assert described[0]["name"] == "poll"
    assert mirror["name"] == "lab"
    assert (len(listed[0]), listed[1]["position"], listed[1]["count"]) == (2, 1, 2)
    missing, tagged, found, record = _use(
        release,
        server,
        [
            ("call", [f"{_API}Auth/User(login)", {"username": "root", "password": "wrong"}]),
            ("call", [f"{made}(tag)", {"tag": f"{_API}Attrib/Tag:dev:", "change_control_id": ""}]),
            ("list", [_FILES, "repo", wanted]),
            ("get", [made]),
        ],
    )
    assert "Invalid Login" in missing["text"]
    assert tagged is None
    assert found[0] == [made]
    assert record["tags"] == ["dev"]


def _use(release: str, server: World, calls: Sequence[tuple[str, list[Any]]]) -> list[Any]:
    done = subprocess.run(
        [_LIBRARIES / "bin/python", _TOP / "tests/support/upstream_client.py", server.url, "root", SECRETS["root"]],
        input=json.dumps(calls),
        env={"PYTHONPATH": str(_LIBRARIES / f"cinp-{release}")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    results: list[Any] = json.loads(done.stdout)
    return results
