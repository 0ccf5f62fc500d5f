"""A public server: reads need no login, as on the original; changes do. Pages of an allowed origin may call the API."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from packrat_server.accounts.rights import ROLES, Role, has_right
from packrat_server.api.permissions import PERMISSIONS
from packrat_server.api.serve_options import ServeOptions
from packrat_server.cli import main as cli
from packrat_server.serving.running import running
from server.test_permissions import attempt
from server.test_several_processes import other_process
from support.world import World, world

PAGE = "https://packages.example.com"
FILES = "/api/v2/Package/PackageFile"
HELLO = "/files/hello_2.10-3_amd64.deb"
OPEN = ServeOptions(is_public=True, cors_origins=frozenset({PAGE}))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), new_database(), OPEN) as made:
        yield made


@pytest.mark.parametrize("call", [call for call in PERMISSIONS if "login" not in call and "logout" not in call])
def test_without_a_session_everybody_may_read_and_nobody_change(server: World, call: str) -> None:
    status = attempt(server, call, None)
    assert (status not in (401, 403)) is has_right(ROLES[Role.PUBLIC], PERMISSIONS[call])


def test_an_agent_without_a_login_sees_everything_and_downloads(server: World) -> None:
    assert server.call("LIST", "/api/v2/Repo/Mirror", None, None).value == [
        "/api/v2/Repo/Mirror:lab:",
        "/api/v2/Repo/Mirror:prod:",
    ]
    assert server.call("GET", "/api/v2/Repo/Mirror:lab:", None, None).value["name"] == "lab"
    wanted = {"repo": "/api/v2/Repo/Repo:apt-prod:", "package_list": None}
    assert server.call("LIST", FILES, wanted, None, Filter="repo").value == [f"{FILES}:1:", f"{FILES}:5:"]
    assert server.call("CALL", "/api/v2/Repo/Mirror:lab:(heartbeat)", {}, None).status == 200
    # A token without a name is nobody's.
    assert server.call("CALL", "/api/v2/Repo/Mirror:lab:(heartbeat)", {}, None, Auth_Token="x").status == 200
    assert server.call("GET", "/api/v2/Repo/Mirror:lab:", None, None).value["last_heartbeat"] is not None
    whole = server.ask("GET", HELLO, {})
    assert (whole.status, whole.data) == (200, b'{"a": 1}\n')
    assert server.ask("GET", HELLO, {"Range": "bytes=2-4"}).data == b'a":'
    assert server.ask("GET", "/files/nowhere.deb", {}).status == 404
    assert server.ask("GET", "/files/a%00b", {}).status == 404


def test_changes_need_a_login_there_too(server: World) -> None:
    headers = {"Content-Type": "application/octet-stream", "Origin": PAGE}
    assert server.ask("POST", "/api/upload", headers, b"x").status == 403
    tag = {"tag": "/api/v2/Attrib/Tag:dev:"}
    assert server.call("CALL", f"{FILES}:7:(tag)", tag, None).status == 403
    assert server.call("CALL", f"{FILES}:7:(tag)", tag, "manager").status == 200
    # A wrong token is told, and not taken for none.
    forged = {"CInP-Version": "0.9", "Auth-Id": "root", "Auth-Token": "x" * 32}
    assert server.ask("LIST", "/api/v2/Repo/Repo", forged).status == 401
    assert server.ask("GET", HELLO, forged).status == 401
    # A session sees what it would see on any other server.
    assert server.call("GET", "/api/v2/Repo/Mirror:prod:", None, "lab").status == 404


def test_bodies_without_a_session_are_short_there_too(server: World) -> None:
    wanted = {"repo": "/api/v2/Repo/Repo:apt-dev:", "package_list": ["x" * 9000]}
    assert server.call("LIST", FILES, wanted, None, Filter="repo").status == 413


def test_pages_of_the_origin_may_read_and_others_may_not(server: World) -> None:
    def allowed(origin: str | None, verb: str = "LIST", target: str = "/api/v2/Repo/Repo") -> str | None:
        headers = {"CInP-Version": "0.9", **({} if origin is None else {"Origin": origin})}
        return server.ask(verb, target, headers).headers.get("Access-Control-Allow-Origin")

    assert allowed(PAGE) == PAGE
    assert (allowed(None), allowed("https://evil.example.com"), allowed(f"{PAGE}.evil.com")) == (None, None, None)
    for verb, target in (("GET", HELLO), ("OPTIONS", HELLO), ("OPTIONS", "/api/upload"), ("LIST", "/api/v2/No/Such")):
        assert allowed(PAGE, verb, target) == PAGE
    answer = server.ask("OPTIONS", "/api/v2/Repo/Repo", {"Origin": PAGE})
    assert "Cinp-Version" in answer.headers["Access-Control-Allow-Headers"]
    assert answer.headers["Vary"] == "Origin"
    assert "Total" in answer.headers["Access-Control-Expose-Headers"]


def test_every_origin_is_allowed_by_a_star_and_none_by_default(server: World) -> None:
    for origins, told in ((frozenset({"*"}), "*"), (frozenset(), None)):
        with running(server.data, options=replace(OPEN, cors_origins=origins)) as url:
            answer = World(server.data, url).ask("OPTIONS", "/api/v2/Repo/Repo", {"Origin": PAGE})
            assert answer.headers.get("Access-Control-Allow-Origin") == told


def test_the_command_makes_it_public_and_says_so(server: World) -> None:
    with other_process(server, "--public", "--cors-origin", PAGE) as other:
        answer = other.ask("LIST", "/api/v2/Repo/Mirror", {"CInP-Version": "0.9", "Origin": PAGE})
        assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, PAGE)
    with other_process(server) as other:
        assert other.call("LIST", "/api/v2/Repo/Mirror", None, None).status == 403
        assert other.ask("GET", HELLO, {}).status == 403


def test_a_malformed_origin_is_refused(tmp_path: Path) -> None:
    for wrong in (f"{PAGE}/path", "packages.example.com", "null"):
        done = CliRunner().invoke(cli.main, ["serve", "--cors-origin", wrong, "--data", str(tmp_path)])
        assert (done.exit_code, "is not an origin" in done.output) == (2, True)
