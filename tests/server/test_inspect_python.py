"""What the server makes of Python distributions: read from inside, named as packages can be."""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from packrat_agent.formats.pypi.format import PypiFormat
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_core.errors import Refused
from packrat_demo.build_wheel import Python, build_sdist, build_sdist_zip, build_wheel, pack_zip
from packrat_server.inspect_file import Inspected, Unrecognized, inspect_file
from packrat_server.latest import pick_latest
from support.world import World, world

PACKAGE_FILE = "/api/v2/Package/PackageFile"
REPO = Repo("pypi-dev", "", "pypi-dev", "pypi", (DistroVersion("pypi", "none", None, "python"),))
TOOL = Python("My.Dashed-Tool", "1.0.post1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with world(tmp_path_factory.mktemp("world")) as made:
        yield made


def inspect(directory: Path, name: str, data: bytes, kind: str | None = None) -> Inspected:
    path = directory / "upload"
    path.write_bytes(data)
    return inspect_file(path, name, kind)


@pytest.mark.parametrize(
    ("name", "data", "package"),
    [
        ("My.Dashed_Tool-1.0.post1-py3-none-any.whl", build_wheel(TOOL), "My-Dashed_Tool"),
        ("my_dashed_tool-1.0.post1-py3-none-any.whl", build_wheel(TOOL), "my_dashed_tool"),
        ("My.Dashed-Tool-1.0.post1.tar.gz", build_sdist(TOOL), "My-Dashed-Tool"),
        ("my_dashed_tool-1.0.post1.zip", build_sdist_zip(TOOL), "my_dashed_tool"),
        # The name that the recording has.
        ("my_pkg-1.0.tar.gz", build_sdist(Python("my-pkg", "1.0")), "my_pkg"),
    ],
)
def test_name_and_version_are_read_from_inside(tmp_path: Path, name: str, data: bytes, package: str) -> None:
    found = inspect(tmp_path, name, data)
    assert (found.package, found.type, found.arch) == (package, "python", "all")
    assert found.version in ("1.0.post1", "1.0")


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("other-1.0.post1-py3-none-any.whl", build_wheel(TOOL), "its file name says"),
        ("My.Dashed_Tool-2-py3-none-any.whl", build_wheel(TOOL), "its file name says"),
        ("other-2.0.tar.gz", build_sdist(TOOL), "its file name says"),
        ("tool-1.0-py3-none-any.whl", b"no zip", "unusable Python distribution: it is neither a zip archive"),
        ("tool-1.0-py3-none-any.whl", build_wheel(TOOL)[:-4], "unusable Python distribution"),
        ("tool-1.0.zip", pack_zip([("../x", b"")]), "unusable Python distribution"),
        ("nopkginfo-1.0.tar.gz", b"", "Unable to Determine File Type: it is neither a zip archive nor a .tar.gz"),
        ("nopkginfo-1.0.zip", pack_zip([("x", b"")]), "Unable to Determine File Type: .* nor PKG-INFO"),
        ("tool-1.0.tar.bz2", b"BZh", "Unable to Determine File Type: tool-1.0.tar.bz2 .*build .* again, as .tar.gz"),
        ("tool-1.0.tgz", b"", "build the source distribution again, as .tar.gz"),
        ("tool-1.0-py3.11.egg", pack_zip([("x", b"")]), "is an egg, which pip and uv can't install; build a wheel"),
        ("my_tool-1.0-py3.11.egg", pack_zip([("x", b"")]), "is an egg"),
    ],
)
def test_unusable_files_are_refused_with_the_reason(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    with pytest.raises(Unrecognized, match=reason):
        inspect(tmp_path, name, data)


@pytest.mark.parametrize(
    ("name", "data", "kind", "advice"),
    [
        ("tool-1.0-py3-none-any.whl", build_wheel(Python("tool", "1.0"))[:-4], None, "build or download it again"),
        ("tool-1.0.egg", pack_zip([("x", b"")]), "python", "build a wheel"),
        ("tool-1.0.bin", b"x", "python", "build one of these, or upload it as a file of another type"),
        ("tool_1.0_all.deb", b"!<arch>\n", None, "build or download it again"),
        ("tool-1.0.noarch.rpm", b"\xed\xab\xee\xdb", None, "build or download it again"),
        ("tool_1.0.tar.gz", b"\x1f\x8b", None, "build or download it again"),
    ],
)
def test_a_refusal_says_once_what_to_do(tmp_path: Path, name: str, data: bytes, kind: str | None, advice: str) -> None:
    with pytest.raises(Unrecognized) as refused:
        inspect(tmp_path, name, data, kind)
    assert str(refused.value).endswith(f"; {advice}")
    assert str(refused.value).count("build") == 1


@pytest.mark.parametrize(
    "name", ["my_tool-1.0.tar.bz2", "my_tool-1.0.tgz", "my_tool_1.0.egg", "my_tool_1.0.zip", "my_tool_1.0.bin"]
)
def test_files_declared_as_python_are_judged_as_by_the_mirror(tmp_path: Path, name: str) -> None:
    with pytest.raises(Unrecognized, match="unusable Python distribution: ") as refused:
        inspect(tmp_path, name, pack_zip([("x", b"")]), "python")
    record = PackageFile("/f/1", "my_tool", "pypi", "1.0", "python", "all", f"/files/{name}", name, "0" * 64)
    with pytest.raises(Refused) as left_out:
        PypiFormat().place(REPO, record)
        PypiFormat().read(tmp_path / "upload", tmp_path)
    assert str(left_out.value) in str(refused.value)


@pytest.mark.parametrize("version", ["1.0-1", "1.0-rc1", "2.0-post-3"])
def test_a_version_may_contain_dashes(tmp_path: Path, version: str) -> None:
    tool = Python("My.Dashed-Tool", version)
    for name in (f"My.Dashed-Tool-{version}.tar.gz", f"my_dashed_tool-{version}.tar.gz"):
        found = inspect(tmp_path, name, build_sdist(tool))
        assert found.package in ("My-Dashed-Tool", "my_dashed_tool")
        assert found.version == version
        record = PackageFile("/f/1", found.package, "pypi", version, "python", "all", f"/files/{name}", name, "0" * 64)
        PypiFormat().agree(record, PypiFormat().read(tmp_path / "upload", tmp_path))


def tar_of(entry: tarfile.TarInfo) -> bytes:
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode="w:gz") as archive:
        archive.addfile(entry)
    return output.getvalue()


def test_archives_that_are_only_called_like_one_are_what_they_were(tmp_path: Path) -> None:
    plain = tar_of(tarfile.TarInfo("readme"))
    assert inspect(tmp_path, "tool_1.0-2.tar.gz", plain) == Inspected("tool", "1.0-2", "tar", "all")
    device = tarfile.TarInfo("image/dev/null")
    device.type = tarfile.CHRTYPE
    assert inspect(tmp_path, "image_1.0-2.tar.gz", tar_of(device)).type == "tar"
    with pytest.raises(Unrecognized, match="is a character device"):
        inspect(tmp_path, "image-2.tar.gz", tar_of(device))
    kept = inspect(tmp_path, "Tool_1.0-2.zip", pack_zip([("x", b"")]))
    assert (kept.package, kept.type) == ("Tool", "resource")
    assert inspect(tmp_path, "sample_pkg-0.3.0-py3-none-any.whl", b"x", "resource").type == "resource"


def test_a_version_has_wheels_and_a_source_distribution(server: World) -> None:
    tool = Python("Wide.Tool", "1.0")
    fat = replace(tool, tag="cp311-cp311-linux_x86_64")
    uris = [
        put(server, "Wide.Tool-1.0-py3-none-any.whl", build_wheel(tool)),
        put(server, fat.wheel_name, build_wheel(fat)),
        # Spelled otherwise: still a file of the same package.
        put(server, "wide_tool-1.0.tar.gz", build_sdist(tool)),
    ]
    records = [server.call("GET", uri).value for uri in uris]
    assert {record["package"] for record in records} == {"/api/v2/Package/Package:Wide-Tool:"}
    assert {record["version"] for record in records} == {"1.0"}
    again = create(server, "wide_tool-1.0.tar.gz", build_sdist(tool))
    assert "already exists" in str(again)


def create(server: World, name: str, data: bytes) -> object:
    handle = server.upload(name, data).value["uri"]
    options = server.call("CALL", f"{PACKAGE_FILE}(distroversionOptions)", {"file": handle}, "manager").value
    assert options == ["pypi"]
    arguments = {"file": handle, "justification": "", "provenance": "", "distroversion": "pypi"}
    return server.call("CALL", f"{PACKAGE_FILE}(create)", arguments, "manager").value


def put(server: World, name: str, data: bytes) -> str:
    server.call("CREATE", "/api/v2/Package/Package", {"name": "Wide-Tool"}, "manager")
    made = create(server, name, data)
    assert isinstance(made, str), made
    return made


def test_the_latest_of_a_python_project_are_all_files_of_its_newest_version() -> None:
    files = [("1.0", "a.whl"), ("1.1", "b.whl"), ("1.1.0", "b.tar.gz"), ("1.1rc1", "c.whl"), ("0.9", "d.whl")]
    latest = pick_latest(files, lambda file: "project", lambda file: ("python", file[0]))
    assert [name for _, name in latest] == ["b.whl", "b.tar.gz"]
    assert len(pick_latest(files, lambda file: "project", lambda file: ("resource", file[0]))) == 1


def test_a_tar_gz_that_ends_early_is_refused(tmp_path: Path) -> None:
    import gzip

    path = tmp_path / "upload"
    path.write_bytes(gzip.compress(b"hello" * 1000))
    assert inspect_file(path, "tool_1.0.tar.gz").type == "tar"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(Unrecognized, match=r"unusable \.tar\.gz: it is damaged: the gzip stream has no end"):
        inspect_file(path, "tool_1.0.tar.gz")
