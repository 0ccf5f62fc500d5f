"""Who may upload may not therefore push to prod: roles, rights to single tags, and what a migrated user keeps."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select, text

from packrat_demo.build_deb import Deb, build_deb
from packrat_server import admin
from packrat_server.accounts.passwords import hash_secret
from packrat_server.accounts.rights import GRANTABLE, ROLES, Role
from packrat_server.accounts.sessions import digest, find_caller
from packrat_server.admin.new_server import init
from packrat_server.cli import main as cli
from packrat_server.serving.running import running
from packrat_server.store.database import open_database, read_url, reading, writing
from packrat_server.store.postgresql import connect_postgresql
from packrat_server.store.schema import upgrade
from packrat_server.store.sqlite import connect_sqlite
from packrat_server.store.tables import user_rights, users
from support.world import SECRETS, World, world

PACKAGE_FILE = "/api/v2/Package/PackageFile"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), new_database()) as made:
        yield made


def act(server: World, who: str, number: int, action: str, tag: str = "") -> int:
    arguments: dict[str, Any] = {"change_control_id": "CHG-1"}
    arguments |= {"tag": f"/api/v2/Attrib/Tag:{tag}:"} if tag else {}
    return server.call("CALL", f"{PACKAGE_FILE}:{number}:({action})", arguments, who).status


def user(server: World, name: str, role: Role, *rights: str) -> None:
    engine = open_database(server.data)
    SECRETS[name] = f"{name}_pw"
    admin.set_user(engine, name, role, SECRETS[name], rights)
    engine.dispose()
    server.tokens.pop(name, None)


def test_an_uploader_puts_on_only_the_tags_of_its_rights(server: World) -> None:
    user(server, "ci", Role.UPLOADER, "tag_dev")
    assert server.call("CREATE", "/api/v2/Package/Package", {"name": "built"}, "ci").status == 201
    handle = server.upload("built_1_all.deb", build_deb(Deb("built", "1", "all")), "ci").value["uri"]
    given = {"file": handle, "justification": "", "provenance": "", "distroversion": "bookworm"}
    made = server.call("CALL", f"{PACKAGE_FILE}(create)", given, "ci")
    number = int(made.value.split(":")[-2])
    assert act(server, "uploader", number, "tag", "dev") == 403
    assert act(server, "ci", number, "tag", "dev") == 200
    assert act(server, "ci", number, "tag", "stage") == 403
    assert act(server, "ci", number, "untag", "dev") == 200
    assert act(server, "ci", number, "tag", "dev") == 200
    for action in ("fail", "unfail", "deprocate", "undeprocate"):
        assert act(server, "ci", number, action) == 403
    assert server.call("DELETE", made.value, None, "ci").status == 403


def test_a_promoter_of_stage_neither_pushes_to_prod_nor_takes_anything_out_of_it(server: World) -> None:
    user(server, "qa", Role.PROMOTER, "tag_stage", "tag_dev")
    # 1 went all the way, 2 is in dev.
    assert act(server, "qa", 2, "tag", "stage") == 200
    assert act(server, "qa", 2, "tag", "prod") == 403
    assert act(server, "qa", 1, "untag", "prod") == 403
    for action in ("fail", "unfail", "deprocate", "undeprocate"):
        assert act(server, "qa", 1, action) == 403, action
        assert act(server, "qa", 2, action) == 200, action
    assert server.upload("x_1_all.deb", b"x", "qa").status == 403
    user(server, "release", Role.PROMOTER, "tag_prod")
    assert act(server, "release", 2, "tag", "prod") == 200
    # Its mark would take the file out of dev and stage, too.
    assert act(server, "release", 2, "fail") == 403
    assert act(server, "release", 2, "untag", "prod") == 200


def test_a_right_of_its_own_needs_no_role_that_has_it(server: World) -> None:
    user(server, "alarm", Role.READER, "fail", "tag_dev")
    assert act(server, "alarm", 3, "fail") == 200
    assert act(server, "alarm", 3, "unfail") == 403
    assert act(server, "manager", 3, "unfail") == 200


def test_a_change_of_rights_ends_the_sessions(server: World) -> None:
    user(server, "temp", Role.UPLOADER, "tag_dev")
    assert act(server, "temp", 4, "untag", "dev") == 200
    engine = open_database(server.data)
    admin.set_user(engine, "temp", rights=[])
    engine.dispose()
    assert act(server, "temp", 4, "tag", "dev") == 401
    del server.tokens["temp"]
    assert act(server, "temp", 4, "tag", "dev") == 403


def test_a_right_that_does_not_exist_is_refused_with_those_that_do(server: World) -> None:
    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(cli.main, ["user", "set", *words, "--data", str(server.data)])
        return done.exit_code, done.output

    code, said = run("new", "--role", "uploader", "--right", "tag_pord")
    assert (code, "tag_pord" in said, "tag_prod" in said, "fail" in said) == (2, True, True, True)
    code, said = run("new", "--role", "promoter")
    assert (code, "--right tag_stage" in said) == (2, True)
    code, said = run("new", "--role", "promoter", "--right", "tag_dev", "--right", "tag_stage")
    assert (code, "role promoter; further rights tag_dev, tag_stage; state active" in said) == (0, True)
    code, said = run("new", "--role", "reader", "--right", "")
    assert (code, said) == (
        0,
        "user new: role promoter → reader\nuser new: further rights tag_dev, tag_stage → none\n",
    )
    run("new", "--right", "tag_dev")
    run_removed = CliRunner().invoke(cli.main, ["user", "remove", "new", "--data", str(server.data)])
    assert run_removed.exit_code == 0
    # Who comes back is as new: without the rights of before.
    assert "role reader → manager" in run("new")[1]
    engine = open_database(server.data)
    with reading(engine) as connection:
        assert connection.execute(select(user_rights).where(user_rights.c.user == "new")).all() == []
    engine.dispose()


def test_a_role_has_what_the_one_before_has() -> None:
    assert ROLES[Role.NOBODY] < ROLES[Role.MIRROR]
    assert ROLES[Role.READER] < ROLES[Role.UPLOADER] < ROLES[Role.MANAGER] < ROLES[Role.ADMIN]
    assert ROLES[Role.READER] < ROLES[Role.PROMOTER] < ROLES[Role.MANAGER]
    assert "upload" in GRANTABLE
    assert not GRANTABLE & ROLES[Role.READER]


def test_deleting_a_file_needs_the_right_to_each_of_its_tags(server: World) -> None:
    user(server, "cleaner", Role.UPLOADER, "delete_file", "tag_dev")
    assert server.call("CREATE", "/api/v2/Package/Package", {"name": "torn"}, "cleaner").status == 201
    handle = server.upload("torn_1_all.deb", build_deb(Deb("torn", "1", "all")), "cleaner").value["uri"]
    given = {"file": handle, "justification": "", "provenance": "", "distroversion": "bookworm"}
    uri = server.call("CALL", f"{PACKAGE_FILE}(create)", given, "cleaner").value
    number = int(uri.split(":")[-2])
    assert [act(server, "root", number, "tag", tag) for tag in ("dev", "stage")] == [200, 200]
    assert server.call("DELETE", uri, None, "cleaner").status == 403
    assert act(server, "root", number, "untag", "stage") == 200
    assert server.call("DELETE", uri, {"reason": "x" * 1001}, "cleaner").status == 400
    assert server.call("DELETE", uri, {"other": "x"}, "cleaner").status == 400
    assert server.call("DELETE", uri, {"reason": "torn"}, "cleaner").status == 200
    [*_, last] = server.call("CALL", f"{PACKAGE_FILE}(history)", {"file": uri}, "root").value
    assert (last["action"], last["by"], last["reason"]) == ("delete", "cleaner", "torn")


def test_users_and_sessions_of_before_go_on_as_they_were(
    tmp_path: Path, new_database: Callable[[], str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "server"
    # What the version before made: its schema, a manager and a session.
    monkeypatch.setattr("packrat_server.store.database.upgrade", lambda connection: upgrade(connection, "0003"))
    first = text("INSERT INTO journal (mark, at) VALUES ('0123abcd', 0)")
    monkeypatch.setattr("packrat_server.admin.new_server.begin", lambda connection: connection.execute(first))
    init(data, new_database())
    monkeypatch.undo()
    url = read_url(data)
    old = connect_sqlite(data / "packrat.db") if url is None else connect_postgresql(url)
    now = datetime.now(UTC)
    made = {"name": "bob", "password": hash_secret("bob_pw"), "active": True, "created": now, "updated": now}
    session = "INSERT INTO sessions (token_hash, name, role, expires) VALUES (:hash, 'bob', 'manager', 9e9)"
    with writing(old) as connection:
        connection.execute(insert(users).values(role="manager", **made))
        connection.execute(text(session), {"hash": digest("token")})
    old.dispose()
    engine = open_database(data)
    caller = find_caller(engine, "bob", "token")
    engine.dispose()
    assert (caller.role, caller.further) == (Role.MANAGER, frozenset())
    assert {"upload", "tag_*", "fail", "heartbeat"} <= caller.rights
    with running(data) as address:
        login = {"username": "bob", "password": "bob_pw"}
        assert World(data, address).call("CALL", "/api/v2/Auth/User(login)", login, None).status == 200
