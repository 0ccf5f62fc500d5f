"""Real packages of Debian go through the whole line, and apt-ftparchive reads out of them what we read."""

import hashlib
import subprocess
import urllib.request
from pathlib import Path

import pytest

from packrat_demo.private_apt import PrivateApt
from support.apt_packages import read_packages
from support.stage import DEADLINE_S, Stage
from support.web import web_server

DEBS = sorted((Path(__file__).parents[2] / ".cache/debs").glob("*.deb"))


def test_enough_real_packages_were_downloaded() -> None:
    assert len(DEBS) >= 10, "tests/provision.sh downloads them"


def paragraphs(text: bytes) -> dict[bytes, dict[bytes, bytes]]:
    """SHA256 → the fields of a stanza, under lower-case names."""
    found = {}
    for stanza in text.split(b"\n\n"):
        fields: dict[bytes, bytes] = {}
        name = b""
        for line in stanza.strip(b"\n").split(b"\n"):
            if line[:1] in (b" ", b"\t"):
                fields[name] += b"\n" + line
            elif line:
                name, _, value = line.partition(b":")
                name = name.lower()
                fields[name] = value.strip()
        if fields:
            found[fields[b"sha256"]] = fields
    return found


@pytest.fixture
def repacked(tmp_path: Path) -> list[Path]:
    """Some of the real packages, packed as other distributions do."""
    made = []
    for compression in ("zstd", "gzip", "none"):
        source = next(path for path in DEBS if path.name.startswith("hello_"))
        unpacked = tmp_path / f"unpacked-{compression}"
        subprocess.run(["dpkg-deb", "-R", str(source), str(unpacked)], check=True, capture_output=True)
        control = unpacked / "DEBIAN/control"
        text = control.read_bytes().replace(b"Package: hello\n", f"Package: hello-{compression}\n".encode())
        # Latin-1, as old packages have it.
        control.write_bytes(text.replace(b"Maintainer: ", b"Maintainer: Andr\xe9 & "))
        target = tmp_path / f"hello-{compression}_2.10-3_amd64.deb"
        command = ["dpkg-deb", "--root-owner-group", f"-Z{compression}", "-b", str(unpacked), str(target)]
        subprocess.run(command, check=True, capture_output=True)
        made.append(target)
    return made


def test_real_packages_are_indexed_as_apt_ftparchive_does(lab: Stage, tmp_path: Path, repacked: list[Path]) -> None:
    for path in (*DEBS, *repacked):
        lab.server.put(path)
    lab.agent("sync")
    arches = (lab.repo / "dists/bookworm/main").glob("binary-*")
    ours: dict[bytes, dict[bytes, bytes]] = {}
    for index in arches:
        ours |= paragraphs(read_packages(index).encode("utf-8", "surrogateescape"))
    oracle = subprocess.run(
        ["apt-ftparchive", "--md5=no", "--sha1=no", "--sha512=no", "packages", "pool"],
        cwd=lab.repo,
        check=True,
        capture_output=True,
    ).stdout
    theirs = paragraphs(oracle)
    assert len(theirs) == len(DEBS) + len(repacked)
    assert set(ours) == set(theirs)
    for sha256, fields in theirs.items():
        assert ours[sha256] == fields
    with web_server(lab.www) as url:
        keyring = tmp_path / "mirror.gpg"
        keyring.write_bytes(urllib.request.urlopen(f"{url}/repo-key.gpg", timeout=DEADLINE_S).read())
        apt = PrivateApt(tmp_path / "apt", f"deb [signed-by={keyring}] {url}/apt-dev bookworm main\n")
        assert apt.run("update").exit_code == 0
        names = sorted({fields[b"package"].decode() for fields in ours.values()})
        done = apt.run("download", *names)
        assert done.exit_code == 0, done.output
        downloaded = {hashlib.sha256(path.read_bytes()).hexdigest().encode() for path in apt.downloads.glob("*.deb")}
    assert downloaded == set(theirs)
