"""What callers, the log and those who watch the server are told while its disk or its database takes no writes."""

import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from packrat_demo.build_deb import Deb, build_deb
from packrat_server.admin.new_server import init
from support.calls import number, watch
from support.postgres import Cluster
from support.small_disk import small_disk
from support.world import World, world

SMALL = build_deb(Deb("small", "1", "all"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[World]:
    """A server whose data directory has a filesystem of 4 MB."""
    with small_disk(tmp_path / "server", "4m"), world(tmp_path) as made:
        yield made


def _told(server: World) -> dict[str, float]:
    lines = server.ask("GET", "/metrics", {}).data.decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[:1] != "#"}


def _fill(directory: Path) -> Path:
    """Leave no block of the filesystem free; gives the file that does it."""
    with (directory / "filling").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    return directory / "filling"


def test_an_upload_that_finds_no_room_is_no_internal_error(server: World) -> None:
    server.auth("manager")
    with capture_logs() as logged:
        answer = server.upload("big_1_all.deb", bytes(8_000_000))
    assert (answer.status, answer.value) == (
        500,
        {"message": "the server's disk can't be used just now; try again later"},
    )
    told = [line for line in logged if line["log_level"] == "error"]
    assert [line["event"] for line in told] == ["unanswered"]
    assert told[0]["reason"].startswith(f"can't write {server.data}: No space left on device; free space")
    # It is the server's log: nothing is published there.
    assert "published" not in told[0]["reason"]
    assert list((server.data / "incoming").iterdir()) == []
    assert server.upload("small_1_all.deb", SMALL).status == 202


def test_those_who_watch_hear_that_the_database_can_not_be_written(server: World) -> None:
    server.auth("manager")
    filling = _fill(server.data)
    assert server.upload("small_1_all.deb", SMALL).status == 500
    assert server.call("CALL", "/api/v2/Repo/Mirror:lab:(heartbeat)", {}, "manager").status == 500
    answer = server.ask("GET", "/health", {})
    assert (answer.status, answer.data) == (503, b"the database can't be used just now\n")
    told = _told(server)
    assert (told["packrat_server_database_up"], told["packrat_server_database_writable"]) == (1, 0)
    assert told["packrat_server_disk_free_bytes"] == 0
    filling.unlink()
    # Nobody else has to write before this is true again.
    assert server.ask("GET", "/health", {}).status == 200
    told = _told(server)
    assert told["packrat_server_database_writable"] == 1
    assert 0 < told["packrat_server_disk_free_bytes"] < told["packrat_server_disk_size_bytes"] == 4 * 1024**2


def test_a_full_disk_of_postgresql_is_told_though_small_rows_still_fit_in(postgresql: Cluster, tmp_path: Path) -> None:
    place = postgresql.directory / "small"
    with small_disk(place, "24m"):
        tables = place / "tables"
        tables.mkdir()
        shutil.chown(tables, "postgres", "postgres")
        postgresql.execute(f"CREATE TABLESPACE small LOCATION '{tables}'")
        url = postgresql.new_database("TABLESPACE small")
        try:
            with world(tmp_path, url) as server:
                _look_at_a_full_disk(server, place)
        finally:
            postgresql.execute(f"DROP DATABASE {url.partition('?')[0].rpartition('/')[2]}")
            postgresql.execute("DROP TABLESPACE small")


def _look_at_a_full_disk(server: World, place: Path) -> None:
    handle = server.upload("small_1_all.deb", SMALL).value["uri"]
    server.call("CREATE", "/api/v2/Package/Package", {"name": "small"})
    long = {"justification": secrets.token_hex(45_000), "provenance": "", "distroversion": "bookworm"}
    filling = _fill(place)
    create = "/api/v2/Package/PackageFile(create)"
    assert server.call("CALL", create, {"file": handle, **long}).status == 500
    for _ in range(3):
        # It takes a small row, and would take no package file.
        assert server.call("CALL", "/api/v2/Repo/Mirror:lab:(heartbeat)", {}, "manager").status == 200
        assert server.ask("GET", "/health", {}).status == 503
    assert server.call("CALL", create, {"file": handle, **long}).status == 500
    assert _told(server)["packrat_server_database_writable"] == 0
    filling.unlink()
    assert server.ask("GET", "/health", {}).status == 200
    assert server.call("CALL", create, {"file": handle, **long}).status == 200


def test_a_standby_that_only_answers_is_reported(postgresql: Cluster, tmp_path: Path) -> None:
    url = postgresql.new_database()
    name = url.partition("?")[0].rpartition("/")[2]
    with world(tmp_path, url) as server:
        postgresql.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        postgresql.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        login = {"username": "lab", "password": "lab_psk"}
        refused = server.call("CALL", "/api/v2/Auth/User(login)", login, who=None)
        assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
        assert server.ask("GET", "/health", {}).status == 503
        postgresql.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = off")
        postgresql.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
        assert server.ask("GET", "/health", {}).status == 200


@pytest.mark.parametrize("refused", ["write", "create"])
@pytest.mark.parametrize(("error", "said"), [("EDQUOT", "Disk quota exceeded"), ("ENOSPC", "No space left on device")])
def test_a_quota_is_no_damage_and_nobody_is_told_to_restore_a_backup(
    tmp_path: Path, error: str, said: str, refused: str
) -> None:
    """The database says of most refusals that it met an I/O error, or can't open a file."""
    data = tmp_path / "server"
    init(data, None)
    watched = watch(tmp_path, [data])
    command = [sys.executable, "-m", "packrat_server", "tag-type", "set", "qa", "--data", str(data)]
    environment = watched.environment(fail=refused, errno=number(error))
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 7, done.stderr
    assert f"packrat.db can't be written: {said}; free space on its filesystem, or raise the quota" in done.stderr
    assert "backup" not in done.stderr
    subprocess.run(command, check=True, timeout=60)
