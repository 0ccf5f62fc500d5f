"""What is taken of METADATA, pip reads the same way; what pip can't read is refused."""

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from packaging.utils import canonicalize_name
from packaging.version import Version

from packrat_core.errors import Refused
from packrat_core.packages.python.metadata import CoreMetadata, check_text, read_metadata

_TOP = Path(__file__).parents[4]
_GOOD = b"Metadata-Version: 2.1\nName: pkg\nVersion: 1.0\n"

_LINES = st.sampled_from(
    [
        *(
            b"Name: pkg",
            b"Name: My.Pkg",
            b"name:pkg",
            b"Name:\tpkg ",
            b"Name : pkg",
            b"Name:",
            b"Name: pkg\x0b",
            b"Name",
        ),
        *(b"Version: 1.0", b"VERSION: 1!2.0rc1+l.1", b"Version: v1", b"Version: x", b"Version:1.0\t", b"Version:"),
        *(b"Requires-Python: >=3.8", b"Requires-Python: >=3,", b" <4", b"\t", b" folded", b"X-A: b", b": x", b"junk"),
        *(b"Summary: caf\xc3\xa9", b"Summary: caf\xe9", b"Summary: a\0b", b"Summary: a\x0cb", b"Summary: a\x1cb"),
        *(b"Summary: a\xc2\x85b", b"Summary: a\xe2\x80\xa8b", b"From x", b"From: x", b"", b"text", b"\xef\xbb\xbfX: y"),
        *(
            b"Summary: a\rName: other",
            b"Summary: a\r",
            b"Requires-Python: >=3\rVersion: 2",
            b"Version:\r1.0",
            b"\rX-A: b",
        ),
    ]
)
_METADATA = st.builds(
    lambda mark, lines, end: mark + end.join(lines) + end,
    st.sampled_from([b"", b"", b"", b"\xef\xbb\xbf", b"\n"]),
    st.lists(_LINES, max_size=8).flatmap(
        lambda lines: st.permutations([b"Name: pkg", b"Version: 1.0", *lines]) | st.just(lines)
    ),
    st.sampled_from([b"\n", b"\n", b"\r\n"]),
)
Reader = Callable[[bytes], list[str] | None]


@pytest.fixture(scope="module")
def pip() -> Iterator[Reader]:
    command = [_TOP / ".cache/clients/bin/python", _TOP / "tests/support/pip_metadata.py"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def read(content: bytes) -> list[str] | None:
            stdin.write(base64.b64encode(content) + b"\n")
            stdin.flush()
            answer: list[str] | None = json.loads(stdout.readline())
            return answer

        yield read
        stdin.close()


def ours(content: bytes) -> CoreMetadata | str:
    """What is taken of METADATA, or why it is refused."""
    try:
        check_text(content)
        return read_metadata(content)
    except Refused as error:
        return str(error)


@settings(max_examples=600, deadline=None)
@given(content=_METADATA)
@example(content=_GOOD)
@example(content=b"\xef\xbb\xbf" + _GOOD)
@example(content=_GOOD + b"Summary: caf\xe9\n")
@example(content=_GOOD + b"\ncaf\xe9\n")
@example(content=b"Metadata-Version: 2.1\njunk\nName: pkg\nVersion: 1.0\n")
@example(content=b"Name:\n pkg\nVersion: 1.0\n")
@example(content=b"Name: pkg\nSummary: a\x1cVersion: 3\nVersion: 1.0\n")
@example(content=b"Name: pkg\nVersion: 1.0\nRequires-Python: >=3,\n <4\n")
@example(content=b"Name: pkg\nVersion: 1.0\nRequires-Python: >=3\rX-A: b\n")
@example(content=b"Name: pkg\nVersion: 1.0\nSummary: a\r\r\nRequires-Python: >=3\n")
def test_pip_reads_what_is_taken_as_it_was_taken(pip: Reader, content: bytes) -> None:
    found, judged = ours(content), pip(content)
    if isinstance(found, CoreMetadata):
        assert judged is not None, "pip can't read it"
        assert judged[:2] == [canonicalize_name(found.name), str(Version(found.version))]
        assert "".join(judged[2].split()) == "".join(found.requires_python.split())


@settings(max_examples=300, deadline=None)
@given(content=_METADATA)
@example(content=b"Version: 1.0\nName:\tpkg \n\nName: pkg\n")
def test_metadata_that_pip_reads_is_refused_only_where_it_is_ambiguous(pip: Reader, content: bytes) -> None:
    found = ours(content)
    if isinstance(found, str) and pip(content) is not None:
        assert any(reason in found for reason in ("twice", "folded", "unusable", "white space")), found


@pytest.mark.parametrize("content", [_GOOD, _GOOD.replace(b"\n", b"\r\n"), _GOOD + b"Summary: caf\xc3\xa9\n\n\xc3\xa9"])
def test_usual_metadata_is_accepted(pip: Reader, content: bytes) -> None:
    assert isinstance(ours(content), CoreMetadata)
    assert pip(content) == ["pkg", "1.0", ""]
