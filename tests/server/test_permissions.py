"""Who may call what: the table in SECURITY.md is that of the code, and the server keeps to it."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from packrat_server import admin
from packrat_server.accounts.rights import ROLES, Right, Role, has_right
from packrat_server.api.permissions import PERMISSIONS
from packrat_server.api.schema import MODELS
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.tables import metadata, sessions
from support.world import World, world

SECURITY = Path(__file__).parents[2] / "SECURITY.md"
WHO = {
    **{Role.NOBODY: None, Role.MIRROR: "lab", Role.MANAGER: "manager", Role.ADMIN: "root"},
    **{Role.READER: "reader", Role.UPLOADER: "uploader", Role.PROMOTER: "promoter"},
}
PASSWORD = "/api/v2/Auth/User(change_password)"
FILES = "/api/v2/Package/PackageFile"
DEV = {"tag": "/api/v2/Attrib/Tag:dev:"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as made:
        yield made


def _table() -> Iterator[str]:
    """Write the table as the lines of Markdown that the page has, a line for each right of a model."""
    yield f"| call | right | {' | '.join(Role)} |"
    yield "|---" * (len(Role) + 2) + "|"
    by_target: dict[tuple[str, Right], list[str]] = {}
    for call, right in PERMISSIONS.items():
        verb, _, target = call.partition(" ")
        model, _, action = target.partition("(")
        by_target.setdefault((model, right), []).append(f"`{action.removesuffix(')') or verb}`")
    for (model, right), words in by_target.items():
        shown = f"`{model}`: " if model else ""
        named = "`tag_NAME`" if right is Right.TAG else f"`{right}`"
        cells = ("yes" if has_right(ROLES[role], right) else _further(role, right) for role in Role)
        yield f"| {shown}{', '.join(words)} | {named} | {' | '.join(cells)} |"


def _further(role: Role, right: Right) -> str:
    return "its tags" if (role, right) == (Role.PROMOTER, Right.TAG) else "no"


def test_security_md_has_the_table_of_the_code() -> None:
    assert "\n".join(_table()) in SECURITY.read_text()


def test_every_call_that_the_api_describes_is_in_the_table() -> None:
    described = {"DESCRIBE", "OPTIONS", "GET /files/NAME", "POST /api/upload"}
    for model in MODELS.values():
        path = model.path.removeprefix("/api/v2/")
        verbs = {"GET", "LIST", "CREATE", "UPDATE", "DELETE"} - set(model.not_allowed)
        described |= {f"{verb} {path}" for verb in verbs}
        described |= {f"CALL {path}({action})" for action in model.actions}
    assert set(PERMISSIONS) == described


@pytest.mark.parametrize("call", [call for call in PERMISSIONS if "login" not in call and "logout" not in call])
def test_the_server_keeps_to_the_table(server: World, call: str) -> None:
    # Where the server is public, test_public.py has the same.
    for role, who in WHO.items():
        status = attempt(server, call, who)
        allowed = has_right(ROLES[role], PERMISSIONS[call]) or (role, PERMISSIONS[call]) == (Role.PROMOTER, Right.TAG)
        assert (status not in (401, 403)) is allowed, f"{role}: {status}"


def attempt(server: World, call: str, who: str | None) -> int:
    """Make a call that would be answered by 400, 404 or 200, if it is allowed."""
    verb, _, target = call.partition(" ")
    if verb == "POST":
        return server.ask("POST", target, {"Content-Type": "application/octet-stream", **server.auth(who)}, b"x").status
    if target.startswith("/files"):
        return server.call("GET", "/files/nowhere.deb", None, who).status
    path = f"/api/v2/{target}"
    if verb in ("GET", "UPDATE", "DELETE"):
        path = f"{path}:nowhere:"
    elif verb == "CALL" and not server.call("DESCRIBE", path).value["static"]:
        path = path.replace("(", ":nowhere:(")
    return server.call(verb, path, {} if verb in ("CALL", "CREATE", "UPDATE") else None, who).status


def contents(server: World) -> dict[str, Any]:
    engine = open_database(server.data)
    with reading(engine) as connection:
        rows = {
            name: [dict(row._mapping) for row in connection.execute(select(table))]
            for name, table in metadata.tables.items()
            if name != "sessions"
        }
    engine.dispose()
    return rows


def test_a_mirror_sees_what_is_its_own_and_nothing_else(server: World) -> None:
    def listed(path: str) -> list[str]:
        found: list[str] = server.call("LIST", path, None, "prod", Count="100").value
        return found

    assert listed("/api/v2/Repo/Mirror") == ["/api/v2/Repo/Mirror:prod:"]
    repos = listed("/api/v2/Repo/Repo")
    assert repos
    assert all(uri.endswith("-prod:") for uri in repos)
    for path, status in (
        ("Repo/Mirror:prod:", 200),
        ("Repo/Mirror:lab:", 404),
        ("Repo/Repo:apt-prod:", 200),
        ("Repo/Repo:apt-dev:", 404),
        # The first file went all the way; the second, of another package, is in dev alone.
        ("Package/PackageFile:1:", 200),
        ("Package/PackageFile:2:", 404),
        ("Package/Package:hello:", 200),
        ("Package/Package:myall:", 404),
    ):
        assert server.call("GET", f"/api/v2/{path}", None, "prod").status == status, path


def test_a_mirror_changes_nothing_but_its_own_heartbeat(tmp_path: Path) -> None:
    with world(tmp_path) as server:
        before = contents(server)
        for model in MODELS.values():
            for action in model.actions.values():
                for target in ("1", "7", "lab", "prod", "apt-dev", "dev", "bookworm", "hello", "root"):
                    path = f"{model.path}({action.name})" if action.static else f"{model.path}:{target}:({action.name})"
                    if action.name in ("logout", "poll"):
                        continue
                    arguments = {"position": None, "timeout": 0, "password": "x", "old_password": "lab_psk", **DEV}
                    server.call("CALL", path, arguments, "lab")
            for verb in ("CREATE", "UPDATE", "DELETE"):
                for target in ("", ":1:", ":lab:", ":hello:"):
                    server.call(verb, model.path + target, None if verb == "DELETE" else {"name": "new"}, "lab")
        assert server.upload("x_1_all.deb", b"x", "lab").status == 403
        after = contents(server)
        (lab,) = [row for row in after["mirrors"] if row["name"] == "lab"]
        assert lab["last_heartbeat"] is not None
        for row in (lab, *(row for row in before["mirrors"] if row["name"] == "lab")):
            # Its login keeps a proof of its psk.
            del row["last_heartbeat"], row["updated"], row["proof"]
        assert after == before


def test_a_new_password_needs_the_old_one_and_ends_all_sessions(tmp_path: Path) -> None:
    with world(tmp_path) as server:

        def change(**arguments: str) -> tuple[int, Any]:
            answer = server.call("CALL", PASSWORD, arguments, "manager")
            return answer.status, answer.value

        def whoami(auth: dict[str, str]) -> int:
            headers = {"CInP-Version": "0.9", **auth}
            return server.ask("CALL", "/api/v2/Auth/User(whoami)", headers).status

        first = dict(server.auth("manager"))
        del server.tokens["manager"]
        second = dict(server.auth("manager"))
        assert change(password="mine") == (400, {"old_password": "Required Paramater"})
        assert change(password="mine", old_password="") == (400, {"old_password": "Required Paramater"})
        wrong = (400, {"old_password": 'Invalid Value "not the present password"'})
        assert change(password="mine", old_password="root_pw") == wrong
        assert change(password="", old_password="manager_pw")[0] == 400
        assert (whoami(first), whoami(second)) == (200, 200)
        assert change(password="mine", old_password="manager_pw") == (200, "")
        assert (whoami(first), whoami(second)) == (401, 401)
        for secret, status in (("manager_pw", 400), ("mine", 200)):
            login = {"username": "manager", "password": secret}
            assert server.call("CALL", "/api/v2/Auth/User(login)", login, None).status == status


def test_a_session_ends_after_fourteen_days(tmp_path: Path) -> None:
    with world(tmp_path) as server:
        asked = {"CInP-Version": "0.9", **server.auth("manager")}
        in_13_days = time.time() + 13 * 86400
        engine = open_database(server.data)
        with writing(engine) as db:
            [expires] = db.execute(select(sessions.c.expires)).scalars()
            assert 0 < expires - in_13_days <= 86400
            db.execute(update(sessions).values(expires=time.time() - 1))
        engine.dispose()
        assert server.ask("CALL", "/api/v2/Auth/User(whoami)", asked).status == 401


def test_a_mirrors_session_changes_no_psk(server: World) -> None:
    for arguments in ({"password": "mine"}, {"password": "mine", "old_password": "lab_psk"}, {}):
        refused = server.call("CALL", PASSWORD, arguments, "lab")
        assert (refused.status, refused.value) == (403, {"message": "Not Authorized"})
    login = {"username": "lab", "password": "lab_psk"}
    assert server.call("CALL", "/api/v2/Auth/User(login)", login, None).status == 200
    # The session goes on.
    assert server.call("GET", "/api/v2/Repo/Mirror:lab:", None, "lab").status == 200


def test_a_poll_ends_with_its_session(tmp_path: Path) -> None:
    with world(tmp_path) as server, ThreadPoolExecutor() as pool:
        target = "/api/v2/Repo/Mirror:lab:(changes)"
        position = server.call("CALL", target, {"position": None, "timeout": 0}, "lab").value["position"]
        waiting = pool.submit(server.call, "CALL", target, {"position": position, "timeout": 60}, "lab")
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.5)
        engine = open_database(server.data)
        admin.save_mirror(engine, "lab", ["apt-dev"], psk="another")
        engine.dispose()
        assert waiting.result(timeout=30).status == 401
