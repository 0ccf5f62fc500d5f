"""A data directory that is damaged in any way: each command says in one sentence what is wrong and what to do."""

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from packrat_core.errors import ConfigError
from packrat_server.admin.new_server import init
from packrat_server.cli import main as cli
from packrat_server.serving.running import running
from packrat_server.store.blobs import blob_path
from support.world import world

COMMANDS = {
    "serve": ("serve", "--listen", "127.0.0.1:0"),
    "repo": ("repo", "set", "apt-dev", "--description", "x"),
    "repo remove": ("repo", "remove", "json-prod"),
    "mirror": ("mirror", "set", "lab", "--description", "x"),
    "mirror remove": ("mirror", "remove", "prod"),
    "user": ("user", "set", "manager", "--new-password"),
    "user remove": ("user", "remove", "mcp"),
}
FEW = ("serve", "repo", "user")
"""Commands of each kind, for tests with a process of their own."""


class Outcome(NamedTuple):
    """What a command said, and how it ended."""

    exit_code: int
    output: str


RESTORE = "restore packrat.db from a backup"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a server that has ended well."""
    with world(tmp_path_factory.mktemp("whole")) as made:
        pass
    return made.data


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "server"))


def run(data: Path, *words: str) -> Outcome:
    if words[0] == "serve":
        # In a process of its own: a server that starts after all must not hold up these tests.
        command = [sys.executable, "-m", "packrat_server.cli", *words, "--data", str(data)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        return Outcome(done.returncode, done.stderr)
    result = CliRunner().invoke(cli.main, [*words, "--data", str(data)])
    return Outcome(result.exit_code, result.output)


def refused(result: Outcome, code: int, *told: str) -> None:
    assert result.exit_code == code, result.output
    # `serve` may log before it gives up.
    line = result.output.splitlines()[-1]
    assert line.startswith("packrat-server: ")
    for text in told:
        assert text in line
    for jargon in ("sqlalche", "sqlite3.", "Errno", "Traceback"):
        assert jargon not in result.output


def overwrite(data: Path, start: int, length: int = 4096) -> None:
    with (data / "packrat.db").open("r+b") as file:
        file.seek(start)
        file.write(random.Random(length).randbytes(length))


def damage_pages(data: Path) -> None:
    size = (data / "packrat.db").stat().st_size
    overwrite(data, 4096, size - 4096)


def truncate(data: Path) -> None:
    os.truncate(data / "packrat.db", 3 * 4096)


def make_directory(name: str) -> Callable[[Path], None]:
    def change(data: Path) -> None:
        (data / name).unlink(missing_ok=True)
        (data / name).mkdir()

    return change


def write(name: str, content: bytes) -> Callable[[Path], None]:
    def change(data: Path) -> None:
        (data / name).write_bytes(content)

    return change


def drop_table(data: Path) -> None:
    connection = sqlite3.connect(data / "packrat.db")
    for table in ("mirrors", "users", "repos", "uploads"):
        connection.execute(f"DROP TABLE {table}")
    connection.commit()
    connection.close()


def bring_newer_schema(data: Path) -> None:
    connection = sqlite3.connect(data / "packrat.db")
    connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.commit()
    connection.close()


def bring_other_wal(data: Path) -> None:
    """The write-ahead log of a database of the same page size that an unrelated program had open."""
    other = data.parent / "other.db"
    connection = sqlite3.connect(other)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE theirs (x)")
    connection.executemany("INSERT INTO theirs VALUES (?)", [("x" * 3000,) for _ in range(60)])
    connection.commit()
    shutil.copy(f"{other}-wal", data / "packrat.db-wal")
    connection.close()


DATABASE: dict[str, tuple[Callable[[Path], None], int, str]] = {
    "nonsense": (write("packrat.db", b"nonsense" * 1000), 2, RESTORE),
    "header": (lambda data: overwrite(data, 0, 100), 2, RESTORE),
    "pages": (damage_pages, 2, RESTORE),
    "cut off": (truncate, 2, RESTORE),
    "empty": (write("packrat.db", b""), 2, "restore it from a backup"),
    "missing": (lambda data: (data / "packrat.db").unlink(), 2, "restore it"),
    "directory": (make_directory("packrat.db"), 2, "is a directory"),
    "wal directory": (make_directory("packrat.db-wal"), 2, "packrat.db-wal"),
    "shm directory": (make_directory("packrat.db-shm"), 2, "packrat.db-wal"),
    "other wal": (bring_other_wal, 2, "restore"),
    "lost tables": (drop_table, 2, RESTORE),
    "newer": (bring_newer_schema, 2, "install the newer one"),
    "url directory": (make_directory("database"), 2, "the URL of the database"),
    "url empty": (write("database", b""), 2, "postgresql://"),
    "url nonsense": (write("database", b"\xff\xfe\x00"), 2, "restore it"),
    "url gone": (write("database", b"postgresql://u:hidden@127.0.0.1:1/x\n"), 3, "can't be reached"),
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("damage", DATABASE)
def test_a_damaged_database_is_reported_by_every_command(data: Path, damage: str, command: str) -> None:
    change, code, told = DATABASE[damage]
    change(data)
    refused(run(data, *COMMANDS[command]), code, told)


@pytest.mark.parametrize("damage", DATABASE)
def test_init_makes_no_server_over_a_damaged_one(data: Path, damage: str) -> None:
    DATABASE[damage][0](data)
    before = {path: path.is_file() and path.read_bytes() for path in data.rglob("*")}
    refused(run(data, "init"), 2, "holds")
    assert {path: path.is_file() and path.read_bytes() for path in data.rglob("*")} == before


def remove(name: str) -> Callable[[Path], None]:
    return lambda data: shutil.rmtree(data / name)


def put_file(name: str) -> Callable[[Path], None]:
    def change(data: Path) -> None:
        if (data / name).is_dir():
            shutil.rmtree(data / name)
        (data / name).unlink(missing_ok=True)
        (data / name).write_text("")

    return change


def put_link(name: str) -> Callable[[Path], None]:
    def change(data: Path) -> None:
        (data / name).unlink(missing_ok=True)
        (data / name).symlink_to("elsewhere")

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        pytest.param(remove("files"), "files is missing, but records name files; restore it", id="no files"),
        pytest.param(put_file("files"), "files is not a directory", id="files is a file"),
        pytest.param(put_file("incoming"), "incoming is not a directory", id="incoming is a file"),
        pytest.param(make_directory("serving"), "serving can't be used", id="the lock is a directory"),
        pytest.param(put_link("serving"), "serving can't be used", id="the lock is a link"),
    ],
)
def test_data_that_the_server_cannot_serve_are_reported_at_its_start(
    data: Path, change: Callable[[Path], None], told: str
) -> None:
    change(data)
    refused(run(data, *COMMANDS["serve"]), 2, told)


def test_stray_files_are_left_alone(data: Path) -> None:
    (data / "files" / "README").write_text("stray")
    (data / "files" / "00").mkdir()
    (data / "files" / "00" / "notes.txt").write_text("stray")
    (data / "files" / "01" / ("1" * 64)).mkdir(parents=True)
    (data / "incoming" / "lost+found").mkdir()
    orphan = blob_path(data, "2" * 64)
    orphan.parent.mkdir()
    orphan.write_bytes(b"x")
    strays = {path for path in data.rglob("*") if path.name in ("README", "notes.txt", "1" * 64, "lost+found")}
    with running(data):
        pass
    assert all(path.exists() for path in strays)
    # What is its own goes a day later (test_housekeeping.py).
    assert orphan.exists()


def test_missing_directories_that_lost_nothing_are_made_again(tmp_path: Path) -> None:
    data = tmp_path / "server"
    init(data)
    (data / "files").rmdir()
    (data / "incoming").rmdir()
    with running(data):
        assert (data / "files").is_dir() and (data / "incoming").is_dir()


@pytest.mark.parametrize("place", ["nowhere", "file", "file/below"])
def test_no_data_directory_is_reported(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    for command in COMMANDS.values():
        refused(run(tmp_path / place, *command), 2, "packrat-server init")


@pytest.mark.parametrize("command", FEW)
@pytest.mark.parametrize("closed", ["packrat.db", "files", "."])
def test_files_of_another_user_are_reported(data: Path, closed: str, command: str) -> None:
    """Another user than root, since root may read everything."""
    if closed == "files" and command != "serve":
        pytest.skip("only the server uses it")
    for directory in (data, *data.parents):
        if directory != Path("/tmp") and directory.is_relative_to("/tmp"):
            directory.chmod(0o755)
    shutil.chown(data, "nobody")
    for path in data.rglob("*"):
        shutil.chown(path, "nobody")
    target = data / closed
    shutil.chown(target, "root")
    target.chmod(0o700 if target.is_dir() else 0o600)
    done = subprocess.run(
        [
            *("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--"),
            *(sys.executable, "-m", "packrat_server.cli", *COMMANDS[command], "--data", str(data)),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2, done.stderr
    assert "belongs to root:" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_init_makes_no_server_over_files_that_it_may_not_look_at(data: Path) -> None:
    (data / "packrat.db").unlink()
    (data / "files").chmod(0)
    rights = "-dac_override,-dac_read_search"
    limit = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*limit, sys.executable, "-m", "packrat_server.cli", "init", "--data", str(data)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    (data / "files").chmod(0o755)
    refused(Outcome(done.returncode, done.stderr), 2, "chmod u+rwx", str(data / "files"))
    assert not (data / "packrat.db").exists()


MOUNTED = """
set -e
mount -t tmpfs -o size=4m none {mounted}
cp -a {data}/. {mounted}
{then}
exec {python} -m packrat_server.cli {words} --data {mounted}
"""


@pytest.mark.parametrize("command", FEW)
@pytest.mark.parametrize(
    ("then", "code", "told"),
    [
        pytest.param("mount -o remount,ro {mounted}", 2, "read-only", id="read-only"),
        pytest.param("dd if=/dev/zero of={mounted}/fill bs=4k 2>/dev/null || true", 7, "free space", id="full"),
    ],
)
def test_a_filesystem_that_takes_nothing_is_reported(
    data: Path, tmp_path: Path, command: str, then: str, code: int, told: str
) -> None:
    mounted = tmp_path / "mounted"
    mounted.mkdir()
    script = MOUNTED.format(
        data=data,
        mounted=mounted,
        then=then.format(mounted=mounted),
        python=sys.executable,
        words=" ".join(COMMANDS[command]),
    )
    with subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if "serving" in line and "url" in line:
                process.send_signal(signal.SIGTERM)
    assert process.returncode == code, said
    assert told in said.splitlines()[-1]
    assert "Traceback" not in said


def test_a_file_whose_place_a_directory_took_is_not_found(tmp_path: Path) -> None:
    with world(tmp_path) as server:
        (path,) = (path for path in (server.data / "files").glob("*/*"))
        path.unlink()
        path.mkdir()
        assert server.call("GET", "/files/hello_2.10-3_amd64.deb", None, "lab").status == 404


def test_init_says_what_is_in_its_way(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below"):
        with pytest.raises(ConfigError, match="can't be written"):
            init(tmp_path / place)
