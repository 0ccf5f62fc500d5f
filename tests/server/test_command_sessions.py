"""A command that logs in ends its session, however the command ends, and says so if it lost the session."""

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner

from packrat_demo.build_deb import Deb
from packrat_server import admin
from packrat_server.accounts.rights import Role
from packrat_server.admin.listing import list_users
from packrat_server.cli import main as cli
from packrat_server.store.database import open_database, reading
from support.prompts import until_reading
from support.stage import Server, packrat_server

FILE = "hello_1.0_amd64.deb"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with packrat_server(tmp_path_factory.mktemp("sessions")) as made:
        engine = open_database(made.data)
        admin.save_repo(engine, admin.NewRepo("apt-dev", "apt", "dev", ("bookworm",)))
        admin.save_user(engine, "ci", Role.MANAGER, made.password)
        engine.dispose()
        made.put_deb(Deb("hello", "1.0", "amd64"))
        yield made


def open_sessions(server: Server) -> int:
    engine = open_database(server.data)
    with reading(engine) as connection:
        count = sum(int(user["sessions"]) for user in list_users(connection))
    engine.dispose()
    return count


def fail_at_terminal(server: Server, answer: Callable[["subprocess.Popen[str]", int], object]) -> tuple[int, str]:
    """Start `fail`, and answer its question, given the process and the terminal; gives exit code and stderr."""
    command = [sys.executable, "-m", "packrat_server.cli", "fail", FILE, "--url", server.url, "--user", "ci"]
    environment = {**os.environ, "PACKRAT_PASSWORD": server.password, "TERM": "dumb"}
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        os.close(theirs)
        assert process.stderr is not None
        said = ""
        while not said.endswith("[y/N]: "):
            letter = process.stderr.read(1)
            assert letter, said
            said += letter
        until_reading(process)
        answer(process, ours)
        said = process.communicate(timeout=60)[1]
    os.close(ours)
    return process.returncode, said


def test_a_session_ends_with_its_command_also_where_that_is_refused(server: Server) -> None:
    for words, code in ((("find", "hello"), 0), (("tag", "nonesuch", FILE), 4), (("fail", FILE), 10)):
        done = CliRunner().invoke(cli.main, [*words, "--url", server.url], env={"PACKRAT_PASSWORD": server.password})
        assert done.exit_code == code, done.output
    assert open_sessions(server) == 0


def test_ctrl_c_ends_the_question_and_the_session(server: Server) -> None:
    code, said = fail_at_terminal(server, lambda process, _: process.send_signal(signal.SIGINT))
    assert (code, said.split()) == (1, ["Aborted!"])
    assert open_sessions(server) == 0


def test_a_session_that_an_administrator_ended_meanwhile_is_reported(server: Server) -> None:
    def change_user_and_agree(_: object, terminal: int) -> None:
        engine = open_database(server.data)
        admin.set_user(engine, "ci", rights=["delete_file"])
        engine.dispose()
        os.write(terminal, b"y\n")

    told = "packrat-server: the session of ci was ended, since an administrator changed the user; "
    code, said = fail_at_terminal(server, change_user_and_agree)
    assert (code, said) == (4, told + "repeat the command: what is done already stays\n")
