"""Who may download is what the database says at that moment, whichever process changed it."""

import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import Engine, update

from packrat_server import admin
from packrat_server.accounts.downloads import Downloads
from packrat_server.accounts.sessions import InvalidSession
from packrat_server.store.blobs import read_content, read_from_memory
from packrat_server.store.database import open_database, writing
from packrat_server.store.tables import package_files, sessions
from support.world import World, world

PATH = "/files/p7_7.x"
FILE = "/api/v2/Package/PackageFile:7:"
DEV = {"tag": "/api/v2/Attrib/Tag:dev:"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, new_database: Callable[[], str | None]) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world"), new_database()) as made:
        assert made.call("CALL", f"{FILE}(tag)", DEV).status == 200
        yield made


@contextmanager
def beside(server: World) -> Iterator[Engine]:
    """The database as another process has it open."""
    engine = open_database(server.data)
    try:
        yield engine
    finally:
        engine.dispose()


def status(server: World, who: str) -> int:
    return server.ask("GET", PATH, server.auth(who)).status


def test_a_tag_that_is_taken_off_counts_at_once(server: World) -> None:
    for _ in range(3):
        assert status(server, "lab") == 200
        assert server.call("CALL", f"{FILE}(untag)", DEV).status == 200
        assert (status(server, "lab"), status(server, "manager")) == (404, 200)
        assert server.call("CALL", f"{FILE}(tag)", DEV).status == 200


def test_a_repository_that_is_taken_from_a_mirror_counts_at_once(server: World) -> None:
    with beside(server) as engine:
        for _ in range(3):
            assert status(server, "lab") == 200
            admin.save_mirror(engine, "lab", ["apt-stage"])
            assert status(server, "lab") == 404
            admin.save_mirror(engine, "lab", ["apt-dev"])


def test_a_session_that_is_ended_counts_at_once(server: World) -> None:
    with beside(server) as engine:
        for psk in ("another", "lab_psk"):
            server.tokens.pop("lab", None)
            login = {"username": "lab", "password": "lab_psk" if psk == "another" else "another"}
            server.tokens["lab"] = server.call("CALL", "/api/v2/Auth/User(login)", login, None).value
            assert status(server, "lab") == 200
            admin.save_mirror(engine, "lab", ["apt-dev"], psk=psk)
            assert status(server, "lab") == 401
    del server.tokens["lab"]


def test_a_session_whose_time_is_over_ends(server: World) -> None:
    assert status(server, "prod") == 404
    with beside(server) as engine, writing(engine) as connection:
        connection.execute(update(sessions).where(sessions.c.name == "prod").values(expires=1.0))
    assert status(server, "prod") == 401


def test_another_mirrors_name_does_not_go_with_a_token(server: World) -> None:
    token = server.auth("lab")["Auth-Token"]
    assert server.ask("GET", PATH, {"Auth-Id": "manager", "Auth-Token": token}).status == 401


@pytest.mark.parametrize("name", ["", "\0", "\ud800", "'; --", "x" * 100_000])
def test_a_name_that_no_file_has_finds_nothing(server: World, name: str) -> None:
    with beside(server) as engine:
        token = server.auth("manager")["Auth-Token"]
        downloads = Downloads(engine)
        found = [downloads.find("manager", token, name), downloads.find_now("manager", token, name)]
        downloads.close()
    assert {download.sha256 for download in found if download is not None} == {None}


def test_an_sqlite_file_is_asked_in_the_event_loop_and_postgresql_is_waited_for(server: World) -> None:
    with beside(server) as engine:
        auth = server.auth("lab")
        downloads = Downloads(engine)
        waited = downloads.find("lab", auth["Auth-Token"], PATH.removeprefix("/files/"))
        now = downloads.find_now("lab", auth["Auth-Token"], PATH.removeprefix("/files/"))
        assert waited.sha256 is not None
        assert now == (waited if engine.dialect.name == "sqlite" else None)
        with pytest.raises(InvalidSession):
            downloads.find("lab", "wrong", "x")
        downloads.close()


def test_a_database_that_can_not_be_read_at_once_is_left_to_a_session(tmp_path: Path) -> None:
    with world(tmp_path) as server, beside(server) as engine:
        auth = server.auth("manager")
        downloads = Downloads(engine)
        database = server.data / "packrat.db"
        # The file is gone from its place; a session that was opened before goes on.
        aside = database.rename(server.data / "aside.db")
        assert downloads.find_now("manager", auth["Auth-Token"], "p7_7.x") is None
        assert not database.exists()
        aside.rename(database)
        assert downloads.find_now("manager", auth["Auth-Token"], "p7_7.x") is not None
        downloads.close()


def test_a_small_file_is_read_from_memory_and_all_else_is_left_to_a_thread(tmp_path: Path) -> None:
    data = os.urandom(5000)
    path = tmp_path / "file"
    path.write_bytes(data)
    found, waited = read_from_memory(path, 5000), read_content(path, 5000)
    assert waited is not None and waited.data == data
    # Some filesystems can't tell what is in memory.
    assert found in (waited, None)
    larger = read_from_memory(path, 4999)
    assert larger is not None and larger.data is None and larger.status.st_size == 5000
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    for name in ("pipe", "directory", "nowhere"):
        assert read_from_memory(tmp_path / name, 5000) is None


def test_an_empty_file_is_served(server: World) -> None:
    empty = hashlib.sha256(b"").hexdigest()
    path = server.data / "files" / empty[:2] / empty
    path.parent.mkdir(exist_ok=True)
    path.touch()
    with beside(server) as engine, writing(engine) as connection:
        connection.execute(update(package_files).where(package_files.c.id == 8).values(sha256=empty))
    answer = server.ask("GET", "/files/p8_8.x", server.auth("manager"))
    assert (answer.status, answer.data, answer.headers["Content-Length"]) == (200, b"", "0")
