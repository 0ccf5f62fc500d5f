"""An error keeps what happened apart from what to do next, and shows both together in one way."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import packrat_server.cli.main  # noqa: F401 so that every error of both programs is known
from packrat_core.errors import PackratError, ServerBroken


def kinds(root: type[PackratError] = PackratError) -> Iterator[type[PackratError]]:
    """All kinds of errors that both programs raise."""
    yield root
    for kind in root.__subclasses__():
        yield from kinds(kind)


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_an_error_shows_what_happened_and_then_what_to_do(kind: type[PackratError]) -> None:
    error = kind("the disk is full", hint="make room")
    assert (error.message, error.hint, str(error)) == ("the disk is full", "make room", "the disk is full; make room")
    bare = kind("the disk is full")
    assert str(bare) == "; ".join(filter(None, ("the disk is full", kind.default_hint)))


@pytest.mark.parametrize("kind", list(kinds(ServerBroken)), ids=lambda kind: kind.__name__)
def test_a_wrong_answer_of_the_server_always_comes_with_what_to_do(kind: type[ServerBroken]) -> None:
    assert "whoever runs the server" in kind("the answer to tagMap is not a map of tags").hint


def test_each_kind_of_error_has_its_own_exit_code() -> None:
    codes = [PackratError.exit_code, *(kind.exit_code for kind in PackratError.__subclasses__())]
    assert len(set(codes)) == len(codes)
    for kind in PackratError.__subclasses__():
        assert {special.exit_code for special in kinds(kind)} == {kind.exit_code}


@pytest.mark.parametrize("module", ["packrat_agent.cli", "packrat_server.cli"])
def test_an_output_that_cannot_be_written_is_reported(module: str) -> None:
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", module, "--help"], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    (line,) = ended.stderr.splitlines()
    assert "can't write to stdout: No space left on device" in line
    assert ended.returncode == 7


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("packrat_agent.cli", "--config", "{missing}", "status"),
            "packrat-agent: there is no configuration file {missing}; `packrat-agent init` makes one; or name another "
            "with --config\n",
        ),
        (
            ("packrat_server.cli", "repo", "remove", "apt-dev", "--data", "{missing}"),
            "packrat-server: {missing} holds no packrat server; make one with `packrat-server init --data "
            "'{missing}'`\n",
        ),
    ],
    ids=["packrat-agent", "packrat-server"],
)
def test_both_commands_show_the_hint(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    missing = str(tmp_path / "not there")
    command = [sys.executable, "-m", *(word.format(missing=missing) for word in arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr, ended.stdout) == (2, said.format(missing=missing), "")


_SOMETHING_ELSE = """
import errno, sys
from packrat_core.fs.system_errors import explain_system_error
print("an answer")
sys.stderr.write(str(explain_system_error(OSError(errno.EIO, "Input/output error"))))
"""


def test_an_error_that_is_not_of_stdout_adds_nothing_to_it(tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    with answer.open("wb") as file:
        done = subprocess.run(
            [sys.executable, "-c", _SOMETHING_ELSE], stdout=file, stderr=subprocess.PIPE, text=True, check=True
        )
    assert answer.read_text() == "an answer\n"
    assert "Input/output error" in done.stderr
    assert "stdout" not in done.stderr


@pytest.mark.parametrize("size", [10, 100_000], ids=["short", "long"])
def test_an_answer_of_any_length_that_stdout_does_not_take(size: int) -> None:
    code = f"""
import sys
from packrat_core.fs.system_errors import explain_system_error
try:
    print("x" * {size}, flush=True)
except OSError as error:
    sys.stderr.write(str(explain_system_error(error)))
"""
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr.partition(";")[0]) == (0, "can't write to stdout: No space left on device")
