"""Each path that a command reads or writes, in each state that a disk can have: a sentence, never a traceback.

The commands are run without the right of root to read everything. Those that reach a packrat server find none.
"""

import itertools
import json
import os
import pwd
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pytest

from packrat_agent.state.database import connect
from packrat_server.admin.new_server import init
from support import path_states

_NO_PRIVILEGE = "-dac_override,-dac_read_search"
_NO_SERVER = "http://127.0.0.1:9"
_USER = "root" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
_KEY = "0123456789ABCDEF0123456789ABCDEF01234567"
_CODES = {"agent": {0, 2, 3, 6, 7, 9, 13}, "server": {0, 2, 3, 4, 7}}
_OWN_CODES = {"check": {0, 1, 2, 3}, "doctor": {0, 1}}
_JARGON = re.compile(r"Traceback|Errno|sqlite3\.|sqlalche|internal error|Exception ignored|Error\(")
_ABSENT = re.compile(
    r"there is no (?!terminal|user)|is missing|does not exist|No such|not there|holds no|is not a directory|not a file"
)

_PLACES = {
    "conf": "etc/mirror.conf",
    "etc": "etc",
    "pass": "etc/pass",
    "psk": "etc/psk",
    "ca": "etc/ca.pem",
    "key": "etc/key.asc",
    "deb": "etc/x_1.0_all.deb",
    "state": "var/state.db",
    "wal": "var/state.db-wal",
    "holder": "var/state.db.lock.holder",
    "var": "var",
    "root": "srv/www",
    "srv": "srv",
    "own": "srv/www/.packrat-agent",
    "gnupg": "gnupg",
    "out": "out",
    "log": "out/access.log",
    "data": "data",
    "database": "data/packrat.db",
    "url": "data/database",
    "files": "data/files",
}

_INIT = (
    *("init", "--dry-run", "--no-key", "--web-server", "none", "--no-start", "--server", _NO_SERVER, "--name", "lab"),
    *("--user", "{user}", "--public-url", "http://127.0.0.1:9", "--root-dir", "{root}", "--state-dir", "{var}"),
    *("--psk-file", "{psk}", "--ca-file", "{ca}", "--passphrase-file", "{pass}"),
)
_AGENT: Sequence[tuple[Sequence[str], str]] = (
    (("config",), "conf etc"),
    (("status",), "conf state var holder"),
    (("check",), "conf state"),
    (("verify", "--root", "{root}"), "root srv"),
    (("verify", "--root", "{root}", "--key", "{key}"), "key"),
    (("doctor",), "state root"),
    (("sync",), "state var root own"),
    (("sync", "--dry-run"), "state"),
    (("sync", "--adopt"), "root"),
    (("key", "show"), "gnupg pass"),
    (("key", "export"), "gnupg"),
    (("key", "backup", "{out}/backup.asc", "--encrypt-with", "{pass}"), "pass"),
    (_INIT, "etc psk ca root var"),
    (("demo", "--directory", "{root}"), "root"),
)
_SERVER: Sequence[tuple[Sequence[str], str]] = (
    (("init", "--data", "{data}"), "data database files"),
    (("user", "list", "--data", "{data}"), "data database url"),
    (("serve", "--data", "{data}", "--listen", "127.0.0.1:{port}", "--access-log", "{log}"), "files log out"),
    (("upload", "{deb}", "--url", _NO_SERVER, "--password-file", "{psk}"), "deb psk"),
    (("where", "x", "--url", "https://127.0.0.1:9", "--password-file", "{psk}", "--ca-file", "{ca}"), "ca"),
)
_ALWAYS = ("closed", "circle", "pipe")
"""What each command meets at each of its paths; of the other states, each meets some."""
_AT_TIMES = (
    *("other kind", "long name", "no way through", "other bytes", "missing", "device", "dangling", "bytes"),
    *("socket", "one line", "empty"),
)
_EACH = 1


@dataclass(frozen=True, slots=True)
class Case:
    """One command, and the state of one of its paths."""

    program: str
    words: Sequence[str]
    state: str
    path: str
    conf: str

    @property
    def command(self) -> str:
        """The name of the command."""
        return next(word for word in self.words if word in _COMMANDS)


_COMMANDS = {words[0] for words, _ in (*_AGENT, *_SERVER)}


def conf_of(places: Mapping[str, str], signs: bool) -> str:
    signing = f"gpg_sign_key: {_KEY}\ngnupg_home: {places['gnupg']}\npassphrase_file: {places['pass']}\n"
    return (
        f"[packrat]\nhost: {_NO_SERVER}\nname: lab\n[mirror]\nroot_dir: {places['root']}\n"
        f"state_db: {places['state']}\n{signing if signs else ''}"
    )


def cases_of(program: str, table: Sequence[tuple[Sequence[str], str]], work: Path, port: int) -> Iterator[Case]:
    """Make the cases of a program; nothing else can listen on the port."""
    turns = itertools.cycle(_AT_TIMES)
    for words, names in table:
        for name in names.split():
            for state in (*_ALWAYS, *itertools.islice(turns, _EACH)):
                places = {key: str(work / place) for key, place in _PLACES.items()}
                other = {"long name": "n" * 300, "other bytes": os.fsdecode(b"caf\xe9")}.get(state)
                if other is not None:
                    places[name] = str(Path(places[name]).with_name(other))
                elif words[0] == "demo" and state not in _ALWAYS:
                    # There it would make what it needs.
                    continue
                given = [word.format(**places, port=port, user=_USER) for word in words]
                before = ["--config", places["conf"]] if program == "agent" and words[0] != "demo" else []
                # Where mirror.conf is there, init takes the rest from it.
                conf = "" if words[0] == "init" else conf_of(places, words[0] == "key")
                yield Case(program, (*before, *given), state, places[name], conf)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a mirror and of a server, in `whole`; they have no key and no packages."""
    whole = tmp_path_factory.mktemp("closed") / "whole"
    for name in ("etc", "var", "srv/www/.packrat-agent", "gnupg", "out"):
        (whole / name).mkdir(parents=True)
    for name in ("pass", "psk", "ca.pem", "key.asc", "x_1.0_all.deb"):
        (whole / "etc" / name).write_text("secret")
    (whole / "srv/www/.packrat-agent/mark").write_text("{}")
    connect(whole / "var/state.db").close()
    init(whole / "data")
    return whole


def outcomes(cases: Sequence[Case], template: Path, work: Path) -> Sequence[tuple[int, str]]:
    """Run all cases in processes without the rights of root; gives exit code and output of each."""
    limit = ["setpriv", f"--bounding-set={_NO_PRIVILEGE}", f"--inh-caps={_NO_PRIVILEGE}"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*limit, sys.executable, path_states.__file__, str(template), str(work)],
        input=json.dumps([asdict(case) for case in cases]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return [(found["code"], found["said"]) for found in json.loads(done.stdout)]


def wrong_with(case: Case, code: int, said: str) -> str:
    """Say what is wrong with an outcome; '' for nothing."""
    if code == -14:
        return "hangs"
    if code not in _OWN_CODES.get(case.command, _CODES[case.program]):
        return f"ends with {code}"
    if found := _JARGON.search(said):
        return f"says {found[0]!r}"
    if case.state in ("closed", "no way through") and (found := _ABSENT.search(said)):
        return f"says {found[0]!r} of what is closed"
    is_told = code in ((3,) if case.command == "check" else (2, 6, 7, 9)) and "can't be listened on" not in said
    # The way to it may be what is wrong, or a file below it; and not every path can stand in mirror.conf.
    named = (case.path, str(Path(case.path).parent), "/dev/zero", "not UTF-8")
    if is_told and not any(name.encode("ascii", "ignore").decode() in said for name in named):
        return "does not name the path"
    return ""


@pytest.mark.parametrize(("program", "table"), [("agent", _AGENT), ("server", _SERVER)])
def test_a_path_that_can_t_be_used_is_reported_in_a_sentence(
    program: str, table: Sequence[tuple[Sequence[str], str]], template: Path, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        cases = list(cases_of(program, table, tmp_path / "work", listener.getsockname()[1]))
        found = outcomes(cases, template, tmp_path / "work")
    wrong = [
        f"{' '.join(case.words)}, {case.path} {case.state}: {fault}\n{said}"
        for case, (code, said) in zip(cases, found, strict=True)
        if (fault := wrong_with(case, code, said))
    ]
    assert not wrong, f"{len(wrong)} of {len(cases)}\n" + "\n".join(wrong)
