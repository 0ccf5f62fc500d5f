"""A stranger behind a mirror's own address can't delay the mirror's login, not even after a restart of the server."""

import secrets
import stat
from pathlib import Path

import pytest
from sqlalchemy import select, update

from packrat_server import admin
from packrat_server.accounts import login_delays
from packrat_server.serving.running import running
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.tables import mirrors
from support.world import SECRETS, World, world

LOGIN = "/api/v2/Auth/User(login)"


def log_in(server: World, name: str, secret: str) -> int:
    return server.call("CALL", LOGIN, {"username": name, "password": secret}, None).status


@pytest.fixture(autouse=True)
def _long_delays(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first failure delays for minutes, so that a slow machine makes no difference."""
    monkeypatch.setattr(login_delays, "FREE_FAILURES", -10)


def guess(server: World, name: str) -> None:
    """Guess until the name is delayed at this address."""
    statuses = [log_in(server, name, secrets.token_hex(4)) for _ in range(2)]
    assert statuses[-1] == 429


def test_a_mirror_that_logged_in_before_is_not_delayed_after_a_restart(tmp_path: Path) -> None:
    with world(tmp_path) as server:
        assert log_in(server, "lab", SECRETS["lab"]) == 200
        assert log_in(server, "manager", SECRETS["manager"]) == 200
        data = server.data
    with running(data) as url:
        again = World(data, url)
        for name in ("lab", "manager", "prod"):
            guess(again, name)
        assert log_in(again, "lab", SECRETS["lab"]) == 200
        # A password may be guessable; a mirror that never logged in has proved nothing.
        assert log_in(again, "manager", SECRETS["manager"]) == 429
        assert log_in(again, "prod", SECRETS["prod"]) == 429
        # Another psk is another secret.
        engine = open_database(data)
        admin.set_mirror(engine, "lab", psk="another")
        engine.dispose()
        guess(again, "lab")
        assert log_in(again, "lab", SECRETS["lab"]) == 429


def test_the_proof_is_worth_nothing_without_the_key_or_for_another_mirror(tmp_path: Path) -> None:
    with world(tmp_path) as server:
        for name in ("lab", "prod"):
            assert log_in(server, name, SECRETS[name]) == 200
        data = server.data
        assert stat.S_IMODE((data / "login-key").stat().st_mode) == 0o600
    engine = open_database(data)
    with reading(engine) as connection:
        rows = {row.name: row for row in connection.execute(select(mirrors))}
    with writing(engine) as connection:
        connection.execute(update(mirrors).where(mirrors.c.name == "prod").values(proof=rows["lab"].proof))
    engine.dispose()
    with running(data) as url:
        again = World(data, url)
        guess(again, "prod")
        assert log_in(again, "prod", SECRETS["prod"]) == 429
    (data / "login-key").write_bytes(b"torn")
    with running(data) as url:
        again = World(data, url)
        guess(again, "lab")
        assert log_in(again, "lab", SECRETS["lab"]) == 429
    assert len((data / "login-key").read_bytes()) == 32
