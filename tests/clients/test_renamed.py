"""Files of every kind that people rename for the original server reach real clients as what they are."""

import hashlib
import json
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb, build_deb
from packrat_demo.build_image import Image, build_classic
from packrat_demo.build_rpm import Rpm, build_rpm
from packrat_demo.build_wheel import Python, build_sdist, build_wheel
from packrat_demo.private_apt import PrivateApt
from packrat_demo.private_rpm import PrivateDnf
from support.original_server import OriginalServer, StoredRepo, original_server
from support.original_store import rename
from support.stage import DEADLINE_S, Server, Stage
from support.type_clients import PIP
from support.web import web_server

PLUS = Deb("libfoo++", "1:1.6~rc1-2.1+deb12u3", "all")
UDEB = Deb("installer-part", "2.0+b1", "all", (("Package-Type", "udeb"),))
LIARS = {
    "jq_1.6-1_all.deb": build_deb(Deb("jq", "1.7-1", "all")),
    "grep_1.0-1_amd64.deb": build_deb(Deb("grep", "1.0-1", "i386")),
    "sed_1.0_all.deb": build_deb(Deb("another", "1.0", "all")),
}
"""Name of a file → another package, another version or another architecture."""

RPM = Rpm("python3.11", "3.0^git1", "noarch", "1.el9", files=(("/opt/python", b"rpm\n"),))
LOCAL = Python("torch", "2.0.1+cu118", tag="cp311.py3-none-any", files=(("torch.py", b"WHEEL = 1\n"),))
EPOCH = Python("dated", "1!2.0", files=(("dated.py", b"WHEEL = 1\n"),))
RETAGGED = Python("retagged", "1.0+x", tag="py3-none-linux_x86_64", files=(("retagged.py", b"WHEEL = 1\n"),))
SOURCE = Python("only_source", "1.0", files=(("only_source.py", b"SOURCE = 1\n"),))
WHEEL = Python("twice", "1.0", files=(("twice.py", b"WHEEL = 2\n"),))
WRONG = Python("wrong", "1.1", files=(("wrong.py", b"WHEEL = 1\n"),))
IMAGE = Image("img", "1.0")


@dataclass(frozen=True, slots=True)
class Renamed:
    """A mirror of such files, its address, and what its agent said."""

    lab: Stage
    url: str
    told: str


def again(server: OriginalServer, name: str, content: bytes, suite: str) -> None:
    """Upload another file, delete it, and upload this one under its name: it gets a suffix."""
    server.delete(server.upload(name, b"another", suite, tags=()))
    server.upload(name, content, suite)


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Renamed]:
    directory = tmp_path_factory.mktemp("renamed")
    with original_server() as server:
        for kind, suite in (("yum", "rhel9"), ("pypi", "pypi"), ("docker", "docker"), ("json", "resource")):
            server.repos[f"{kind}-dev"] = StoredRepo("dev", (suite,), kind)
        server.upload("libfoo_1.6-rc1-2.1.deb12u3_all.deb", build_deb(PLUS))
        server.upload("installer-part_2.0.b1_all.udeb", build_deb(UDEB))
        for name, content in LIARS.items():
            server.upload(name, content)
        server.upload("python311-3.0.git1-1.el9.noarch.rpm", build_rpm(RPM), "rhel9")
        for python in (LOCAL, EPOCH):
            server.upload(rename(python.wheel_name), build_wheel(python), "pypi")
        server.upload("retagged-1.0.x-py3-none-any.whl", build_wheel(RETAGGED), "pypi")
        server.upload("wrong-1.0-py3-none-any.whl", build_wheel(WRONG), "pypi")
        again(server, SOURCE.sdist_name, build_sdist(SOURCE), "pypi")
        again(server, WHEEL.wheel_name, build_wheel(WHEEL), "pypi")
        again(server, IMAGE.file_name, build_classic(IMAGE), "docker")
        again(server, "conf_1.0.json", b'{"a": 1}\n', "resource")
        lab = Stage(directory, Server(directory, "", server.url), server.psk, None)
        lab.write_config()
        told = lab.agent("sync", expect=12).stderr
        with web_server(lab.www) as url:
            yield Renamed(lab, url, told)


def pip(mirror: Renamed, target: Path, *wanted: str) -> "subprocess.CompletedProcess[str]":
    options = ["--isolated", "--disable-pip-version-check", "--no-cache-dir", f"--python={sys.executable}"]
    index = ["--index-url", f"{mirror.url}/pypi-dev/simple/", "--no-deps", "--target", str(target)]
    return subprocess.run(
        [PIP, *options, "install", *index, *wanted], capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )


def test_apt_gets_a_deb_by_its_real_name(mirror: Renamed, tmp_path: Path) -> None:
    apt = PrivateApt(tmp_path, f"deb [trusted=yes] {mirror.url}/apt-dev bookworm main\n")
    assert apt.run("update").exit_code == 0
    assert sorted(apt.run("pkgnames", program="apt-cache").output.split()) == ["libfoo++"]
    said = apt.run("download", "libfoo++=1:1.6~rc1-2.1+deb12u3")
    assert said.exit_code == 0, said.output
    # Each file stands where clients of the original have always found it.
    assert (mirror.lab.www / "apt-dev/pool/libfoo/libfoo_1.6-rc1-2.1.deb12u3_all.deb").is_file()


def test_wrongly_declared_packages_and_udebs_are_left_out(mirror: Renamed) -> None:
    for reason in (
        "the server has it as version 1.6-1, its control file says 1.7-1",
        "the server has it as x86_64, its control file says i386",
        "the server has it as package sed, its control file says another",
        "its file name says wrong 1.0, its metadata wrong 1.1",
        "installer-part_2.0.b1_all.udeb is a udeb",
    ):
        assert reason in mirror.told
    assert mirror.told.count(" refused ") == 5, mirror.told


def test_dnf_gets_an_rpm_by_its_real_name(mirror: Renamed, tmp_path: Path) -> None:
    repo = f"[mirror]\nname=mirror\nbaseurl={mirror.url}/yum-dev/rhel/main/9\ngpgcheck=0\n"
    dnf = PrivateDnf(tmp_path, repo)
    said = dnf.run("install", "python3.11-3.0^git1")
    assert said.exit_code == 0, said.output
    assert (dnf.target / "opt/python").exists()


@pytest.mark.parametrize("python", [LOCAL, EPOCH, SOURCE, WHEEL], ids=lambda python: python.name)
def test_pip_gets_a_distribution_by_its_real_name(mirror: Renamed, tmp_path: Path, python: Python) -> None:
    done = pip(mirror, tmp_path / "target", f"{python.name}=={python.version}")
    assert done.returncode == 0, done.stdout + done.stderr
    [(module, content)] = python.files
    assert (tmp_path / "target" / module).read_bytes() == content


def test_a_wheel_keeps_the_tags_that_its_file_was_given(mirror: Renamed, tmp_path: Path) -> None:
    done = pip(mirror, tmp_path / "target", "retagged==1.0+x")
    assert done.returncode == 0, done.stdout + done.stderr
    page = json.loads((mirror.lab.www / "pypi-dev/simple/retagged/index.v1_json").read_text())
    assert [file["filename"] for file in page["files"]] == ["retagged-1.0+x-py3-none-any.whl"]


def test_a_renamed_distribution_stands_under_both_names(mirror: Renamed) -> None:
    directory = mirror.lab.www / "pypi-dev/packages/torch"
    renamed, real = rename(LOCAL.wheel_name), LOCAL.wheel_name
    assert sorted(path.name for path in directory.iterdir()) == sorted([renamed, real, f"{real}.metadata"])
    assert (directory / renamed).samefile(directory / real)


def test_images_and_plain_files_are_called_as_the_server_says(mirror: Renamed, tmp_path: Path) -> None:
    address = mirror.url.removeprefix("http://")
    skopeo = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--override-arch=amd64"]
    subprocess.run(
        [*skopeo, f"docker://{address}/docker-dev/img:1.0", f"dir:{tmp_path}"],
        check=True,
        capture_output=True,
        timeout=DEADLINE_S,
    )
    sums = urllib.request.urlopen(f"{mirror.url}/json-dev/SHA256SUMS", timeout=DEADLINE_S).read().decode()
    [line] = sums.splitlines()
    assert line.startswith(hashlib.sha256(b'{"a": 1}\n').hexdigest())
    assert line.split("/")[-1].startswith("conf_1.0_fX")


def test_verify_finds_the_tree_sound_and_another_sync_changes_nothing(mirror: Renamed) -> None:
    said = mirror.lab.agent("verify", expect=None)
    assert said.returncode == 0, said.stdout + said.stderr
    before = mirror.lab.tree()
    # What was refused is told again, but nothing more can be done about it.
    assert "5 refused" in mirror.lab.agent("sync").stdout
    assert mirror.lab.tree() == before


def test_a_real_name_stands_for_the_same_bytes_for_ever(tmp_path: Path) -> None:
    other = replace(SOURCE, files=(("only_source.py", b"SOURCE = 2\n"),))
    with original_server() as server:
        server.repos = {"pypi-dev": StoredRepo("dev", ("pypi",), "pypi")}
        lab = Stage(tmp_path, Server(tmp_path, "", server.url), server.psk, None)
        lab.write_config()
        first = server.upload(SOURCE.sdist_name, build_sdist(SOURCE), "pypi")
        lab.agent("sync")
        server.delete(first)
        second = server.upload(SOURCE.sdist_name, build_sdist(other), "pypi")
        told = lab.agent("sync", expect=12).stderr
        assert "only_source-1.0.tar.gz was published before with other bytes" in told
        # The same bytes are welcome, under whatever name.
        server.delete(second)
        server.upload(SOURCE.sdist_name, build_sdist(SOURCE), "pypi")
        lab.agent("sync")
    page = json.loads((lab.www / "pypi-dev/simple/only-source/index.v1_json").read_text())
    assert [file["filename"] for file in page["files"]] == ["only_source-1.0.tar.gz"]


def test_after_an_upgrade_distributions_are_read_again_without_a_download(tmp_path: Path) -> None:
    with original_server() as server:
        server.repos = {"pypi-dev": StoredRepo("dev", ("pypi",), "pypi")}
        lab = Stage(tmp_path, Server(tmp_path, "", server.url), server.psk, None)
        lab.write_config()
        server.upload(WHEEL.wheel_name, build_wheel(WHEEL), "pypi")
        server.upload(SOURCE.sdist_name, build_sdist(SOURCE), "pypi")
        lab.agent("sync")
        before = {path: seen for path, seen in lab.tree().items() if not path.endswith(".metadata")}
        with closing(sqlite3.connect(tmp_path / "state/state.db")) as db, db:
            changed = db.execute("UPDATE fragments SET fragment_version = 1, products = '[]'").rowcount
        assert changed == 2
        downloads = server.count("GET /files/")
        lab.agent("sync")
        assert server.count("GET /files/") == downloads
        assert before.items() <= lab.tree().items()
