"""Making and opening a server's database: what can be wrong is told in one sentence, with the right exit code."""

import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from click.testing import CliRunner, Result
from sqlalchemy import String, insert, inspect, select

from packrat_core.errors import ConfigError, ServerUnavailable
from packrat_server.admin.new_server import init
from packrat_server.cli import main as cli
from packrat_server.store.database import open_database, reading, writing
from packrat_server.store.postgresql import connect_postgresql, refusal
from packrat_server.store.schema import upgrade
from packrat_server.store.sqlite import connect_sqlite
from packrat_server.store.tables import metadata, packages
from support.postgres import WITH_PASSWORD, Cluster

REPO = ("repo", "set", "apt-dev", "--type", "apt", "--tag", "dev", "--distro", "bookworm")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "server"


@pytest.fixture(scope="module")
def careful(postgresql: Cluster) -> str:
    """A role that is asked for its password."""
    postgresql.execute(f"CREATE ROLE {WITH_PASSWORD} LOGIN PASSWORD 'right'")
    return WITH_PASSWORD


def run(data: Path, *words: str, **environment: str) -> Result:
    return CliRunner().invoke(cli.main, [*words, "--data", str(data)], env=environment)


def refused(result: Result, code: int, *told: str) -> None:
    assert result.exit_code == code, result.output
    (line,) = result.output.splitlines()
    assert line.startswith("packrat-server: ")
    for text in told:
        assert text in line


def test_a_database_is_made_and_remembered(postgresql: Cluster, data: Path) -> None:
    url = postgresql.new_database()
    made = run(data, "init", "--database", url)
    assert made.exit_code == 0, made.output
    assert url in made.output
    assert not (data / "packrat.db").exists()
    assert (data / "database").stat().st_mode & 0o077 == 0
    assert run(data, *REPO).exit_code == 0
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT name FROM repos").fetchall() == [("apt-dev",)]


def test_a_second_init_is_refused(new_database: Callable[[], str | None], data: Path) -> None:
    init(data, new_database())
    refused(run(data, "init"), 2, str(data), "packrat-server serve")


def test_a_database_that_has_a_server_is_not_made_another(postgresql: Cluster, data: Path, tmp_path: Path) -> None:
    url = postgresql.new_database()
    init(data, url)
    other = tmp_path / "other"
    refused(run(other, "init", "--database", url), 2, url, "holds a packrat server already")
    refused(run(other, *REPO), 2, "packrat-server init")
    open_database(data).dispose()


def test_a_database_of_somebody_else_is_left_alone(postgresql: Cluster, data: Path) -> None:
    url = postgresql.new_database()
    postgresql.execute("CREATE TABLE theirs (x int)", url)
    refused(run(data, "init", "--database", url), 2, url, "theirs", "a database of its own")
    with psycopg.connect(url) as connection:
        tables = connection.execute("SELECT relname FROM pg_stat_user_tables").fetchall()
    assert tables == [("theirs",)]


def test_a_failed_init_can_be_done_again(postgresql: Cluster, data: Path) -> None:
    refused(run(data, "init", "--database", postgresql.url("later")), 2, "later", "does not exist")
    postgresql.execute("CREATE DATABASE later TEMPLATE template0")
    assert run(data, "init", "--database", postgresql.url("later")).exit_code == 0


def test_another_encoding_is_refused(postgresql: Cluster, data: Path) -> None:
    url = postgresql.new_database("ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C'")
    refused(run(data, "init", "--database", url), 2, "LATIN1", "createdb --encoding UTF8")


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hidden@host/name",
        "postgresql://u:hid den@host/name",
        "postgresql://u:hidden@host/name?nonsense=hidden",
        "postgresql://u:hidden@[::1/name",
    ],
)
def test_a_malformed_database_url_is_refused_without_showing_the_password(data: Path, url: str) -> None:
    result = run(data, "init", "--database", url)
    refused(result, 2, "postgresql://USER@HOST:PORT/NAME")
    assert "hid" not in result.output
    init(data)
    (data / "database").write_text(url)
    result = run(data, *REPO)
    refused(result, 2, str(data / "database"))
    assert "hid" not in result.output


def test_a_server_that_is_not_there_is_worth_another_try(data: Path, tmp_path: Path) -> None:
    for url in (f"postgresql://u:hidden@/name?host={tmp_path}", "postgresql://u:hidden@127.0.0.1:1/name"):
        result = run(data, "init", "--database", url)
        refused(result, 3, "can't be reached", "see that PostgreSQL runs there")
        assert "hidden" not in result.output


def test_a_server_that_was_just_starting_is_worth_another_try(postgresql: Cluster) -> None:
    error = psycopg.OperationalError("FATAL:  the database system is starting up")
    assert isinstance(refusal(postgresql.url(), error), ServerUnavailable)
    assert isinstance(refusal(postgresql.url("nowhere"), error), ConfigError)


def test_a_wrong_role_or_password_is_for_the_operator(postgresql: Cluster, data: Path, careful: str) -> None:
    url = postgresql.url("postgres", careful)
    refused(run(data, "init", "--database", url), 2, careful, "no password supplied", "PGPASSFILE")
    refused(run(data, "init", "--database", url, PGPASSWORD="wrong"), 2, "password authentication failed")
    refused(run(data, "init", "--database", postgresql.url("postgres", "stranger")), 2, "stranger", "does not exist")


def test_the_password_comes_from_the_environment_or_a_file(
    postgresql: Cluster, data: Path, tmp_path: Path, careful: str
) -> None:
    postgresql.execute(f"CREATE DATABASE theirs OWNER {careful} TEMPLATE template0")
    url = postgresql.url("theirs", careful)
    passwords = tmp_path / "passwords"
    passwords.write_text("*:*:*:*:right\n")
    passwords.chmod(0o600)
    assert run(data, "init", "--database", f"{url}&passfile={passwords}").exit_code == 0
    assert run(data, *REPO).exit_code == 0
    (data / "database").write_text(url)
    assert run(data, *REPO, PGPASSFILE=str(passwords)).exit_code == 0
    assert run(data, *REPO, PGPASSWORD="right").exit_code == 0
    refused(run(data, *REPO), 2, "no password supplied")


def test_a_password_in_the_url_is_kept_from_others_and_never_shown(
    postgresql: Cluster, data: Path, careful: str
) -> None:
    postgresql.execute(f"CREATE DATABASE shown OWNER {careful} TEMPLATE template0")
    url = postgresql.url("shown", careful).replace(careful, f"{careful}:right", 1)
    made = run(data, "init", "--database", url)
    assert made.exit_code == 0
    assert "right" not in made.output
    assert (data / "database").read_text().strip() == url


def test_a_role_that_may_not_make_tables_is_told_so(postgresql: Cluster, data: Path, careful: str) -> None:
    postgresql.new_database()
    postgresql.execute("CREATE DATABASE closed TEMPLATE template0")
    result = run(data, "init", "--database", postgresql.url("closed", careful), PGPASSWORD="right")
    refused(result, 2, "permission denied", "a database that its role owns")


def test_a_newer_schema_is_not_touched(new_database: Callable[[], str | None], data: Path) -> None:
    init(data, new_database())
    engine = open_database(data)
    with writing(engine) as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    engine.dispose()
    refused(run(data, "serve"), 2, "schema version 9999", "install the newer one")


def test_a_database_that_lost_everything_is_not_taken_for_a_server(postgresql: Cluster, data: Path) -> None:
    init(data, postgresql.new_database())
    url = postgresql.new_database()
    (data / "database").write_text(url)
    refused(run(data, "serve"), 2, url, "holds no packrat server")


@pytest.mark.parametrize("host", ["a" * 64, "a..b"])
def test_a_host_name_that_can_t_be_is_reported(data: Path, host: str) -> None:
    init(data)
    refused(run(data, "serve", "--listen", f"{host}:0"), 2, host, "not a valid host name", "--listen")


def test_a_damaged_file_is_reported(data: Path) -> None:
    init(data)
    (data / "packrat.db").write_bytes(b"nonsense" * 1000)
    refused(run(data, "serve"), 2, "packrat.db", "not a database")


def test_an_older_schema_is_brought_up_once_by_all_who_come(new_database: Callable[[], str | None], data: Path) -> None:
    url = new_database()
    data.mkdir()
    engine = connect_sqlite(data / "packrat.db") if url is None else connect_postgresql(url)
    with writing(engine) as connection:
        upgrade(connection, "0001")
        now = datetime.now(UTC)
        connection.execute(insert(packages), [package_row(name, now) for name in ("zlib", "Zlib", "a_b", "aB")])
    engine.dispose()
    if url is not None:
        (data / "database").write_text(url)
    line = [sys.executable, "-m", "packrat_server.cli", *REPO[:2], "none", *REPO[3:], "--data", str(data)]
    processes = [subprocess.Popen(line, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for process in processes:
        # There is no tag in this database yet: told by a server that could open it.
        assert "there is no tag 'dev'" in process.communicate()[1]
    engine = open_database(data)
    with reading(engine) as connection:
        listed = connection.execute(select(packages.c.name).order_by(packages.c.name)).scalars().all()
    assert listed == ["Zlib", "aB", "a_b", "zlib"]
    engine.dispose()


def package_row(name: str, now: datetime) -> dict[str, object]:
    return {"name": name, "deprocated_count": 0, "failed_count": 0, "created": now, "updated": now}


def test_the_migrations_add_up_to_the_tables(new_database: Callable[[], str | None], data: Path) -> None:
    init(data, new_database())
    engine = open_database(data)
    with reading(engine) as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata) == []
        found = inspect(connection)
        for table in metadata.tables:
            for column in found.get_columns(table):
                if engine.dialect.name == "postgresql" and isinstance(column["type"], String):
                    assert (column["type"].collation, column["type"].length) == ("C", None), f"{table}.{column['name']}"
    engine.dispose()
