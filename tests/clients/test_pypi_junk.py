"""Junk in a wheel's METADATA: what costs clients that file alone is published, what ends them is refused."""

from pathlib import Path

import pytest

from packrat_core.errors import PackratError
from packrat_demo.build_wheel import Python, build_wheel, write_wheel
from support.odd_wheels import rename_info, with_file
from support.python_clients import installed, pip, run, uv
from support.stage import stage
from support.web import web_server

HARMLESS = {
    "word": Python("word", "2.0", (), "junk"),
    "caret": Python("caret", "2.0", (), "^3.8"),
    "markup": Python("markup", "2.0", (), '>=3.8<a>&quot;"'),
    "legacy": Python("legacy", "2.0", ("gone>=1.x",)),
}
"""pip passes over a Requires-Python that it can't read, uv over the file; both over a file with such a requirement."""

ENDS = {
    "condition": Python("condition", "2.0", ('gone; os_name ~= "x"',)),
    "words": Python("words", "2.0", ("gone bar baz",)),
}
"""The first ends the pip of today, the second that of Debian 12, also where 1.0 would do."""


def test_clients_install_every_project_that_has_a_file_with_junk(tmp_path: Path) -> None:
    with stage(tmp_path, None, ("pypi",), "pypi") as lab:
        for name, python in (HARMLESS | ENDS).items():
            lab.server.put(write_wheel(Python(name, "1.0", ()), tmp_path), ("pypi",))
            path = write_wheel(python, tmp_path)
            if name in HARMLESS:
                lab.server.put(path, ("pypi",))
                continue
            with pytest.raises(PackratError, match="Requires-Dist"):
                lab.server.put(path, ("pypi",))
        lab.agent("sync")
        with web_server(lab.www) as url:
            for client, newest in ((pip, {"word", "caret", "markup"}), (uv, set())):
                directory = tmp_path / client.__name__
                directory.mkdir()
                client(f"{url}/pypi-dev/simple/", directory, *HARMLESS, *ENDS)
                expected = {f"{name}-{2 if name in newest else 1}.0.dist-info" for name in HARMLESS | ENDS}
                assert installed(directory) == expected, client
        lab.agent("verify", "--clients")


def test_pip_is_ended_by_what_is_refused(tmp_path: Path) -> None:
    # Without a mirror, since none publishes it.
    (tmp_path / "wheels").mkdir()
    for python in (Python("condition", "1.0", ()), ENDS["condition"]):
        write_wheel(python, tmp_path / "wheels")
    told = pip("http://127.0.0.1:1/", tmp_path, "--no-index", "--find-links", "wheels", "condition", expect=2)
    assert "UndefinedComparison" in told


def test_a_directory_without_a_version_ends_clients_and_is_refused(tmp_path: Path) -> None:
    """pip as soon as it has unpacked the wheel, where another would do; uv in each later command."""
    tool = Python("my-tool", "2.0")
    (tmp_path / "wheels").mkdir()
    write_wheel(Python("my-tool", "1.0"), tmp_path / "wheels")
    path = tmp_path / "wheels" / tool.wheel_name
    path.write_bytes(rename_info(build_wheel(tool), "my-tool-2.0.dist-info"))
    offline = ("--no-index", "--find-links", "wheels", "my-tool")
    assert "InvalidVersion" in pip("http://127.0.0.1:1/", tmp_path, *offline, expect=None)
    uv("http://127.0.0.1:1/", tmp_path, *offline)
    listed = ("uv", "pip", "list", "--target", str(tmp_path / "target"))
    assert "my-tool-2.0.dist-info" in run(*listed, directory=tmp_path, expect=None)
    with stage(tmp_path, None, ("pypi",), "pypi") as lab:
        with pytest.raises(PackratError, match=r"the name 'my' and the version 'tool-2\.0'"):
            lab.server.put(path, ("pypi",))
        # A dash within the version is read by both.
        post = Python("my-tool", "3.0.post1")
        path = tmp_path / post.wheel_name
        path.write_bytes(rename_info(build_wheel(post), "my_tool-3.0-1.dist-info"))
        lab.server.put(path, ("pypi",))
        lab.agent("sync")
        with web_server(lab.www) as url:
            for client in (pip, uv):
                directory = tmp_path / client.__name__
                directory.mkdir()
                client(f"{url}/pypi-dev/simple/", directory, "my-tool")
                assert installed(directory) == {"my_tool-3.0-1.dist-info"}
                run("uv", "pip", "list", "--target", str(directory / "target"), directory=tmp_path)


def test_metadata_of_another_project_without_a_version_ends_clients_and_is_refused(tmp_path: Path) -> None:
    """What a wheel puts beside all installed projects is read by each later command."""
    metadata = b"Metadata-Version: 2.1\nName: junk\nVersion: 1.0\n"
    offline = ("--no-index", "--find-links", "wheels", "tool")
    with stage(tmp_path, None, ("pypi",), "pypi") as lab:
        for placed, is_sound in (("junk-foo", False), ("junk-1.0", True)):
            directory = tmp_path / placed
            (directory / "wheels").mkdir(parents=True)
            path = directory / "wheels" / Python("tool", "1.0").wheel_name
            name = f"tool-1.0.data/purelib/{placed}.dist-info/METADATA"
            path.write_bytes(with_file(build_wheel(Python("tool", "1.0")), name, metadata))
            listed = ("uv", "pip", "list", "--target", str(directory / "target"))
            if is_sound:
                pip("http://127.0.0.1:1/", directory, *offline)
                assert "junk" in run(*listed, directory=directory)
                lab.server.put(path, ("pypi",))
                continue
            assert "InvalidVersion" in pip("http://127.0.0.1:1/", directory, *offline, expect=None)
            uv("http://127.0.0.1:1/", directory, *offline)
            assert "junk-foo" in run(*listed, directory=directory, expect=None)
            with pytest.raises(PackratError, match=r"where clients read the version 'foo'"):
                lab.server.put(path, ("pypi",))
