"""`packrat-agent init`, as the user who runs the tests: what it makes, what it refuses, what a second run does."""

import os
import pty
import pwd
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from packrat_agent.setup.listeners import find_listener
from packrat_demo.build_deb import Deb
from packrat_server import admin
from packrat_server.store.database import open_database
from support.keys import Key, end_gpg_agent, make_key
from support.ports import held_port, hold_port
from support.stage import Server, packrat_server
from support.warm_agent import AGENT, run_agent

_ME = pwd.getpwuid(os.geteuid()).pw_name
_DEADLINE_S = 120


@dataclass(slots=True)
class _Place:
    """A directory to set a mirror up in, and the options that say so."""

    directory: Path
    server: Server
    psk: str
    options: dict[str, str] = field(default_factory=dict)
    opened: ExitStack = field(default_factory=ExitStack)
    """What is closed once the test is over."""

    @property
    def config(self) -> Path:
        return self.directory / "etc/mirror.conf"

    @property
    def gnupg(self) -> Path:
        return self.directory / "state/gnupg"

    def command(self, *more: str) -> list[str]:
        return [*AGENT, *self.arguments(*more)]

    def arguments(self, *more: str) -> list[str]:
        given = {
            "--server": self.server.url,
            "--name": "prod",
            "--public-url": "http://localhost:1",
            "--root-dir": str(self.directory / "www"),
            "--state-dir": str(self.directory / "state"),
            "--user": _ME,
            "--web-server": "none",
            "--psk-file": str(self.directory / "psk"),
            **self.options,
        }
        options = [part for option, value in given.items() if value for part in (option, value)]
        return ["--config", str(self.config), "init", "--no-start", *options, *more]

    def init(self, *more: str, expect: int = 0, path: str = "") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": path or os.environ["PATH"]}
        done = run_agent(self.arguments(*more), environment, _DEADLINE_S)
        assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def everything(self) -> dict[str, tuple[int, int, int]]:
        """Path → (mode, inode, mtime) of all that is there; SQLite's own files aside."""
        return {
            str(path.relative_to(self.directory)): (found.st_mode, found.st_ino, found.st_mtime_ns)
            for path in sorted(self.directory.rglob("*"))
            if not path.name.endswith(("-wal", "-shm")) and path.name != "psk"
            for found in [path.lstat()]
            if not stat.S_ISDIR(found.st_mode) and not stat.S_ISSOCK(found.st_mode)
        }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    with packrat_server(tmp_path_factory.mktemp("init")) as running:
        engine = open_database(running.data)
        admin.save_repo(engine, admin.NewRepo("apt-prod", "apt", "prod", ("bookworm",)))
        psk = admin.save_mirror(engine, "prod", ["apt-prod"], "Prod")
        engine.dispose()
        assert psk is not None
        running.put_deb(Deb("hello", "1.0", "all"), tags=("dev", "stage", "prod"))
        yield running, psk


@pytest.fixture
def place(server: tuple[Server, str]) -> Iterator[_Place]:
    # A short path, as gpg-agent's sockets need.
    with tempfile.TemporaryDirectory(prefix="pi-", ignore_cleanup_errors=True) as directory:
        Path(directory).chmod(0o755)
        made = _Place(Path(directory), *server)
        (made.directory / "psk").write_text(f"{made.psk}\n")
        with made.opened:
            yield made
        end_gpg_agent(made.gnupg)


def test_a_password_of_the_proxy_need_not_stand_on_the_command_line(
    place: _Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with held_port() as port:
        monkeypatch.setenv("PACKRAT_AGENT_PROXY", f"http://user:secret@127.0.0.1:{port}")
        told = place.init("--dry-run", expect=3).stderr
    assert f"the proxy http://127.0.0.1:{port} can't be reached" in told
    assert "secret" not in told


def test_a_dry_run_names_all_and_makes_nothing(place: _Place) -> None:
    told = place.init("--dry-run").stdout
    assert f"to make  configuration {place.config}" in told
    assert "to make  first sync" in told
    assert "apt-prod" in told
    assert place.everything() == {}


def test_one_run_makes_a_signed_mirror_and_a_second_changes_nothing(place: _Place) -> None:
    told = place.init()
    assert "made     first sync" in told.stdout
    assert "The mirror is at http://localhost:1/" in told.stdout
    assert "http://localhost:1/apt-prod $suite main" in told.stdout, "what a client pastes"
    assert f"--homedir {place.gnupg} --armor --export-secret-keys" in told.stdout, "what to back up"
    assert "next: serve" in told.stderr
    assert place.psk not in told.stdout + told.stderr
    assert stat.S_IMODE(place.config.stat().st_mode) == (0o640 if os.geteuid() == 0 else 0o600)
    assert stat.S_IMODE(place.gnupg.stat().st_mode) == 0o700
    verify = [sys.executable, "-m", "packrat_agent", "--config", str(place.config), "verify"]
    audited = subprocess.run(verify, capture_output=True, text=True, check=False, timeout=_DEADLINE_S)
    assert audited.returncode == 0, audited.stdout + audited.stderr
    assert (place.directory / "www/repo-key.gpg").is_file()

    before = place.everything()
    again = place.init()
    assert "made" not in again.stdout
    assert "in place first sync" in again.stdout
    assert place.everything() == before
    # The questions are answered by mirror.conf now; who says something else is told so.
    contradicted = place.init("--name", "other", expect=2).stderr
    assert f"--name other is not what {place.config} says (prod)" in contradicted
    assert place.everything() == before


def _no_server(place: _Place) -> None:
    place.options["--server"] = f"http://127.0.0.1:{place.opened.enter_context(held_port())}"


def _wrong_psk(place: _Place) -> None:
    (place.directory / "psk").write_text("wrong\n")


def _empty_passphrase(place: _Place) -> None:
    (place.directory / "psk").write_text("")
    place.options["--passphrase-file"] = str(place.directory / "psk")


def _two_lines(place: _Place) -> None:
    (place.directory / "psk").write_text(f"{place.psk}\n[mirror]\nroot_dir: /etc\n")


def _files_of_others(place: _Place) -> None:
    place.options["--root-dir"] = str(place.directory.parent / f"{place.directory.name}-www")
    Path(place.options["--root-dir"]).mkdir()
    (Path(place.options["--root-dir"]) / "index.html").write_text("ours\n")


def _no_key(place: _Place) -> None:
    place.options["--key"] = str(place.directory / "psk")


def _port_taken(place: _Place) -> None:
    port = place.opened.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1]
    place.options |= {"--web-server": "nginx", "--public-url": f"http://localhost:{port}"}


_IMPOSSIBLE: dict[str, tuple[Callable[[_Place], object], int, str]] = {
    "no server": (_no_server, 3, "check --server"),
    "a proxy that is none": (
        lambda place: place.options.update({"--proxy": "none"}),
        2,
        "would be a proxy of that name",
    ),
    "wrong psk": (_wrong_psk, 4, "check --name and --psk-file"),
    "psk of several lines": (_two_lines, 2, "--psk-file: must be one line"),
    "unknown name": (lambda place: place.options.update({"--name": "nobody"}), 4, "check --name and --psk-file"),
    "no name": (lambda place: place.options.update({"--name": "a b"}), 2, "--name: a mirror's name"),
    "a URL with a path": (lambda place: place.options.update({"--server": "http://x/y"}), 2, "--server: give the"),
    "system directory": (lambda place: place.options.update({"--root-dir": "/usr/lib"}), 2, "is a system directory"),
    "state in root_dir": (
        lambda place: place.options.update({"--state-dir": str(place.directory / "www")}),
        2,
        "must not contain each other",
    ),
    "a path too long for gpg": (
        lambda place: place.options.update({"--state-dir": str(place.directory / ("s" * 90))}),
        6,
        "give a shorter --state-dir",
    ),
    "no directory": (
        lambda place: place.options.update({"--state-dir": str(place.directory / "psk/state")}),
        2,
        "is not a directory",
    ),
    "files of others": (_files_of_others, 9, "no packrat-agent put there"),
    "a key file without a key": (_no_key, 6, "gpg --armor --export-secret-keys"),
    "no passphrase": (_empty_passphrase, 6, "holds no passphrase"),
    "no key file": (lambda place: place.options.update({"--key": "/no/such.asc"}), 2, "there is no key file"),
    "port taken": (_port_taken, 2, "listens on port"),
}


@pytest.mark.parametrize("case", _IMPOSSIBLE)
def test_a_mirror_that_cannot_work_is_refused_before_anything_is_made(place: _Place, case: str) -> None:
    spoil, code, text = _IMPOSSIBLE[case]
    spoil(place)
    told = place.init(expect=code).stderr
    assert text in told
    assert "[packrat]" not in told
    assert place.everything() == {}
    assert not place.gnupg.exists()


def test_only_root_sets_up_a_mirror_for_another_user(place: _Place) -> None:
    place.directory.chmod(0o777)
    command = place.command("--user", "daemon")
    if os.geteuid() == 0:
        (place.directory / "psk").chmod(0o644)
        command = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_DEADLINE_S)
    assert (done.returncode, place.everything()) == (2, {}), done.stderr
    assert "only root can set up a mirror for user daemon" in done.stderr


def test_after_an_error_it_says_what_was_made_and_goes_on_from_there(place: _Place, tmp_path: Path) -> None:
    wrapper = tmp_path / "gpg"
    wrapper.write_text('#!/bin/sh\ncase "$*" in *--quick-add-key*) exit 2 ;; esac\nPATH=${PATH#*:} exec gpg "$@"\n')
    wrapper.chmod(0o755)
    told = place.init(expect=6, path=f"{tmp_path}:{os.environ['PATH']}").stderr
    assert "init stopped at: signing key" in told
    assert f"made before it: directory {place.directory / 'www'}" in told
    assert not place.config.exists()

    again = place.init().stdout
    assert f"in place directory {place.directory / 'www'}" in again
    assert "made     signing key" in again
    assert "made     first sync" in again


@pytest.mark.parametrize("by", ["file", "id"])
def test_a_key_of_the_operators_is_taken(place: _Place, rsa_key: Key, by: str) -> None:
    exported = place.directory / "key.asc"
    export = ["gpg", "--homedir", str(rsa_key.home), "--batch", "--armor", "--export-secret-keys", rsa_key.fingerprint]
    exported.write_bytes(subprocess.run(export, check=True, capture_output=True).stdout)
    if by == "file":
        place.options["--key"] = str(exported)
    else:
        place.gnupg.mkdir(parents=True, mode=0o700)
        subprocess.run(["gpg", "--homedir", place.gnupg, "--batch", "-q", "--import", exported], check=True)
        make_key(place.gnupg, "Another <another@example.com>")
        assert "name one of them with --key" in place.init(expect=6).stderr
        place.options["--key"] = rsa_key.fingerprint
    place.init()
    assert f"gpg_sign_key: {rsa_key.fingerprint}\n" in place.config.read_text()
    # As for a rotation: mirror.conf says which one signs.
    make_key(place.gnupg, "Next <next@example.com>")
    place.options["--key"] = ""
    assert f"in place signing key in {place.gnupg}" in place.init().stdout


def test_a_backup_of_the_key_is_taken_where_mirror_conf_is_there_already(place: _Place, rsa_key: Key) -> None:
    place.init()
    key, other = place.directory / "key.asc", place.directory / "other.asc"
    for home, file in ((place.gnupg, key), (rsa_key.home, other)):
        export = ["gpg", "--homedir", str(home), "--batch", "--armor", "--export-secret-keys"]
        file.write_bytes(subprocess.run(export, check=True, capture_output=True).stdout)
    end_gpg_agent(place.gnupg)
    shutil.rmtree(place.gnupg)
    assert "is not a directory" in place.init(expect=6).stderr, "no other key is made"
    place.gnupg.mkdir(mode=0o700)
    assert "but mirror.conf names" in place.init("--key", str(other), expect=6).stderr
    assert f"made     signing key from {key}" in place.init("--key", str(key)).stdout
    assert "in place signing key" in place.init().stdout


def test_a_new_key_gets_the_passphrase_of_the_file(place: _Place) -> None:
    passphrase = place.directory / "passphrase"
    passphrase.write_text("correct horse\n")
    place.options["--passphrase-file"] = str(passphrase)
    assert "made     first sync" in place.init().stdout
    end_gpg_agent(place.gnupg)
    export = ["gpg", "--homedir", str(place.gnupg), "--batch", "--pinentry-mode", "loopback"]
    for unlock, expected in ((("--passphrase", ""), False), (("--passphrase-file", str(passphrase)), True)):
        done = subprocess.run([*export, *unlock, "--export-secret-keys"], capture_output=True, check=False)
        assert bool(done.stdout) is expected, done.stderr


def test_an_expired_key_is_refused_before_anything_is_made(place: _Place, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="pk-", ignore_cleanup_errors=True) as home:
        make_key(Path(home), "Old <old@example.com>", expires="1d", faked_time="20200101T000000")
        export = ["gpg", "--homedir", home, "--batch", "--armor", "--export-secret-keys"]
        (tmp_path / "old.asc").write_bytes(subprocess.run(export, check=True, capture_output=True).stdout)
        end_gpg_agent(Path(home))
    place.options["--key"] = str(tmp_path / "old.asc")
    assert "is expired" in place.init(expect=6).stderr
    assert place.everything() == {}


def test_it_asks_four_questions_and_asks_again_after_an_answer_that_cannot_be(place: _Place) -> None:
    place.options |= dict.fromkeys(("--server", "--name", "--psk-file", "--public-url"), "")
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        place.command("--no-key"), stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    told = ""

    def until(text: str) -> None:
        nonlocal told
        while text not in told:
            told += os.read(ours, 4096).decode()

    for question, answer in (
        ("packrat server (", "http://x/path"),
        ("without a path", place.server.url),
        ("name on it", "prod"),
        ("psk", place.psk),
        ("address", "http://repo.example.com"),
    ):
        until(question)
        told = ""
        os.write(ours, f"{answer}\n".encode())
    until("next: ")
    assert process.wait(_DEADLINE_S) == 0, told
    os.close(ours)
    text = place.config.read_text()
    assert f"psk: {place.psk}\n" in text
    assert "public_url: http://repo.example.com\n" in text
    assert "gpg_sign_key" not in text


def test_without_a_terminal_it_names_the_answers_that_are_missing(place: _Place) -> None:
    place.options |= {"--name": "", "--psk-file": ""}
    assert "--name, --psk-file not given" in place.init(expect=2).stderr


def test_the_program_that_listens_on_a_port_is_found() -> None:
    with hold_port() as ours:
        port = ours.getsockname()[1]
        assert find_listener(port) is None
        ours.listen()
        assert find_listener(port) == Path("/proc/self/comm").read_text().strip()
