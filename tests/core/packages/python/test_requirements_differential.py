"""A wheel is refused for a requirement if pip ends with an error because of it, and for nothing that pip can stand."""

import base64
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from email.parser import HeaderParser
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from packrat_core.errors import Refused
from packrat_core.packages.python import requirements
from packrat_core.packages.python.requirements import check_requirements

_TOP = Path(__file__).parents[4]
_NEWER = str(_TOP / ".cache/clients/bin/python")
Judge = Callable[[bytes], str]

_TEXTS = st.builds(
    "".join,
    st.tuples(
        st.sampled_from(["foo", "Foo.Bar_x", "foo[a]", "foo[a,b]", "foo[", "-foo", "f\u00f6", "foo bar", ""]),
        st.sampled_from(
            ["", " ", ">=1", " (>=1,<2)", "(>1", ">=1.x", "==1.*", ">=1.0.*", "=>1", "~=1", " (>dev)", "1"]
        ),
        st.sampled_from(["", ",", ",!=2", "\n  <3", " # note"]),
        st.sampled_from(
            ["", ";", "; x", "; ", ' ; extra == "a"', '; os_name ~= "x"', '; "x" == "y"', "; python_version"]
        ),
        st.sampled_from(["", ">'3'", " and os_name == 'nt'", " or (sys_platform", ' in "2.7"', ' ~= "3.x"', '<"3.x"']),
    ),
)


@pytest.fixture(scope="module")
def pips() -> Iterator[dict[str, Judge]]:
    """The pip of the tests' clients; and an earlier one, if that of this environment is."""
    with ExitStack() as stack:
        found = {}
        for name, python in (("newer", _NEWER), ("earlier", sys.executable)):
            command = [python, str(_TOP / "tests/support/pip_requirements.py")]
            process = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            stack.callback(process.terminate)
            assert process.stdout is not None
            version = process.stdout.readline().decode().split(".")
            if name == "newer" or (int(version[0]), int(version[1])) < (24, 1):
                found[name] = _judge_of(process)
        yield found


def _judge_of(process: "subprocess.Popen[bytes]") -> Judge:
    stdin, stdout = process.stdin, process.stdout
    assert stdin is not None
    assert stdout is not None

    def judge(content: bytes) -> str:
        stdin.write(base64.b64encode(content) + b"\n")
        stdin.flush()
        return stdout.readline().decode().strip()

    return judge


@settings(max_examples=300, deadline=None)
@given(st.lists(_TEXTS, min_size=1, max_size=2))
@example(['foo; platform_release >= "5"'])
@example(['foo; platform_version >= "5"'])
@example(['foo; os_name === "posix"'])
@example(["foo==", "foo>=1,"])
@example(["foo @ x"])
@example(["foo @ https://example.com/x.whl"])
@example(['foo; python_version < "' + "1" * 5000 + '"'])
@example(["foo @ https://example.com/" + "1" * 5000])
def test_only_requirements_that_end_pip_are_refused(pips: dict[str, Judge], texts: list[str]) -> None:
    lines = "".join(f"Requires-Dist: {text}\n" for text in texts)
    content = f"Metadata-Version: 2.1\nName: x\nVersion: 1\n{lines}".encode()
    try:
        check_requirements(content)
        refused = False
    except Refused:
        refused = True
    newer = pips["newer"](content)
    if "earlier" not in pips:
        assert refused or newer != "ends"
        return
    # What today's pip takes stays, also where an earlier one ends.
    assert refused == (newer == "ends" or (newer == "passes" and pips["earlier"](content) == "ends"))


_LINES = st.sampled_from(
    [
        *("Requires-Dist: foo", "requires-dist:bar;x", "REQUIRES-DIST:  a\u2028b\u00a0", "Requires-Dist : no"),
        *(
            "Name: x",
            "X: \u0085",
            "Requires-Dist",
            "From Requires-Dist: y",
            ":z",
            "\u00e9: y",
            "Requires-Dist:",
            "text",
        ),
        *(" folded", "\tRequires-Dist: folded", "", " ", "Requires-Dist: a\x0bRequires-Dist: b", "\ufeffName: x"),
    ]
)


@settings(max_examples=1000)
@given(st.lists(st.builds("".join, st.tuples(_LINES, st.sampled_from(["\n"] * 5 + ["\r\n", "\r", ""]))), max_size=8))
@example(["Name: x\n", "\n", "Requires-Dist: foo\n"])
@example(["Name: x\r\n", "\r\n", "Requires-Dist: foo\n", "\n", "Requires-Dist: foo\n"])
def test_requirements_are_found_where_the_parser_finds_them(lines: list[str]) -> None:
    text = "".join(lines)
    expected = HeaderParser().parsestr(text, headersonly=True).get_all("Requires-Dist", [])
    assert requirements._find_requirements(text.encode()) == [value.strip() for value in expected]


def test_a_refused_requirement_is_refused_again() -> None:
    for text in ("foo", "foo bar", "x" * 200 + " y"):
        content = f"Name: x\nRequires-Dist: {text}\n".encode()
        for _ in range(2):
            if text == "foo":
                check_requirements(content)
            else:
                with pytest.raises(Refused, match="can't read"):
                    check_requirements(content)


def test_a_long_requirement_is_not_kept() -> None:
    kept = requirements._check_once.cache_info().currsize
    check_requirements(b"Name: x\nRequires-Dist: " + b"x" * 201)
    assert requirements._check_once.cache_info().currsize == kept


@pytest.mark.parametrize("depth", [5000, 100_000])
def test_endlessly_nested_requirements_are_refused(depth: int) -> None:
    with pytest.raises(Refused, match="can't read"):
        check_requirements(f"Name: x\nRequires-Dist: foo; {'(' * depth}os_name\n".encode())


@pytest.mark.parametrize(
    "requirement", ['foo; python_version < "{}"', "foo>={}", "foo==1.{}.*", "foo[x]~=1.{}; extra=='a'"]
)
def test_numbers_that_python_does_not_convert_are_refused(requirement: str) -> None:
    # The newer pip reads them all, and ends once it compares a version with them.
    check_requirements(f"Name: x\nRequires-Dist: {requirement.format('1' * 4300)}\n".encode())
    with pytest.raises(Refused, match="pip fails"):
        check_requirements(f"Name: x\nRequires-Dist: {requirement.format('1' * 4301)}\n".encode())


def test_requirements_without_end_are_refused() -> None:
    with pytest.raises(Refused, match="more than 5000 times"):
        check_requirements(b"Name: x\n" + b"Requires-Dist: foo\n" * 5001)
    with pytest.raises(Refused, match="more than 1048576 characters"):
        check_requirements(b"Name: x\nRequires-Dist: foo" + b",".join([b">=1"] * 300_000) + b"\n")
