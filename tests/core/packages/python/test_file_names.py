"""What the name of a file says of the Python distribution in it."""

import subprocess
from pathlib import Path

import pytest

from packrat_core.errors import Refused
from packrat_core.packages.python.file_names import check_ending, is_outdated, parse_file_name
from packrat_core.packages.python.inspect import check_file_name
from packrat_demo.build_wheel import Python, build_wheel

_UV = Path(__file__).parents[4] / ".cache/clients/bin/uv"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tool-1.0.tgz", True),
        ("tool-v1.0.tar.bz2", True),
        ("tool-1.0-py3.11.egg", True),
        # An ending alone doesn't make a distribution: these may be any archive.
        ("backup.tgz", False),
        ("my_tool_1.0.tgz", False),
        ("tool--1.0.tgz", False),
        ("tool-1.0.tar.gz", False),
        ("tool-1.0.bin", False),
    ],
)
def test_outdated_kinds_are_known_by_ending_and_version(name: str, expected: bool) -> None:
    assert is_outdated(name) is expected


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("tool-1.0-py3-none-any.whl", None),
        ("tool-1.0.tar.gz", None),
        ("tool-1.0.zip", None),
        ("tool-1.0.tgz", "build the source distribution again, as .tar.gz"),
        ("tool-1.0.TAR.BZ2", "build the source distribution again, as .tar.gz"),
        ("tool-1.0-py3.11.egg", "is an egg, which pip and uv can't install"),
        ("tool-1.0.win32.exe", "is an installer, which pip and uv can't install"),
        ("tool-1.0.rpm", "is neither a wheel (.whl) nor a source distribution (.tar.gz, .zip)"),
        ("tool-1.0.WHL", "is neither a wheel (.whl)"),
        ("tool", "is neither a wheel (.whl)"),
    ],
)
def test_a_file_that_no_index_has_is_refused_with_what_to_build(name: str, told: str | None) -> None:
    if told is None:
        check_ending(name)
        return
    with pytest.raises(Refused) as caught:
        check_ending(name)
    assert str(caught.value).startswith(f"{name} ")
    assert told in str(caught.value)


def is_named(file_name: str) -> bool:
    """Whether a wheel of the project `tool` may be called so."""
    try:
        parse_file_name(file_name, "tool")
    except Refused as refused:
        assert str(refused).startswith("its file name can't be used: ")
        return False
    return True


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("tool-1.0-py3-none-any.whl", True),
        ("tool-1.0-py2.py3-none-any.whl", True),
        ("tool-1.0-7-py3-none-any.whl", True),
        ("tool-1.0-7_x.1-py3-none-any.whl", True),
        # As a browser calls a second download.
        ("tool-1.0-py3-none-any (1).whl", False),
        ("tool-1.0-py3-none-any,any.whl", False),
        ("tool-1.0-py3-none+x-any.whl", False),
        ("tool-1.0-pÿ3.py3-none-any.whl", False),
        ("tool-1.0-7 x-py3-none-any.whl", False),
    ],
)
def test_a_wheel_has_a_name_that_uv_reads(name: str, expected: bool, tmp_path: Path) -> None:
    assert is_named(name) is expected
    file = tmp_path / name
    file.write_bytes(build_wheel(Python("tool", "1.0")))
    options = ["--offline", "--no-index", "--no-deps", "--no-cache", "--target", str(tmp_path / "out")]
    done = subprocess.run([_UV, "pip", "install", *options, str(file)], capture_output=True, check=False, timeout=60)
    assert (done.returncode == 0) is expected, done.stderr


@pytest.mark.parametrize(
    ("file_name", "kind", "reason"),
    [
        ("my_tool-1.0-py3-none-any.whl", "wheel", None),
        ("My.Tool-1.0-1b-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl", "wheel", None),
        ("my_tool-1.0.0.tar.gz", "sdist", None),
        ("My-Tool-1.0.zip", "sdist", None),
        ("my_tool-1.0_fXxNNB9.tar.gz", "sdist", "its file name can't be used"),
        ("my_tool-1.1-py3-none-any.whl", "wheel", "its file name says my-tool 1.1"),
        ("other-1.0.tar.gz", "sdist", "its file name says other 1.0"),
        ("my_tool.tar.gz", "sdist", "has no version"),
        ("my_tool-1.0.tgz", "sdist", "ends neither with"),
        ("my_tool-1.0.tar.gz", "wheel", "inside it is a wheel"),
        ("my_tool-1.0-py3-none-any.whl", "sdist", "inside it is a sdist"),
    ],
)
def test_a_files_name_must_say_what_is_inside(file_name: str, kind: str, reason: str | None) -> None:
    if reason is None:
        check_file_name(file_name, kind, "My.Tool", "1.0")
    else:
        with pytest.raises(Refused, match=reason):
            check_file_name(file_name, kind, "My.Tool", "1.0")
