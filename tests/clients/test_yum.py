"""The real dnf, zypper, createrepo_c and rpmkeys use what the agent built."""

import gzip
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_agent.formats.interface import WebServer
from packrat_demo.build_rpm import Rpm
from packrat_demo.private_rpm import PrivateDnf, PrivateZypper
from support.keys import Key
from support.stage import Stage
from support.web import web_server
from support.web_servers import front
from support.yum_stage import RHEL, SLES, put_rpm, repo_file, yum_stage

HELLO = Rpm("hello", "1.0", "x86_64", requires=(("greeting", "2.0~rc1-1.lab"),), files=(("/opt/hello", b"hello\n"),))
HELLO_2 = Rpm("hello", "0.5", "x86_64", epoch=1, files=(("/opt/hello", b"hello again\n"),))
GREETING = Rpm(
    "greeting", "2.0~rc1", "noarch", "1.lab", files=(("/opt/greeting", b"hi\n"), ("/srv/a b&<c>", b"")), is_old=True
)
OLD_PC = Rpm("hello++lib", "1", "i686")
ODD = Rpm("odd", "1", "noarch", summary=b"caf\xe9 \x07 <bell> \xc3\xa9 \xef\xbf\xbf")
ALL = (HELLO, HELLO_2, GREETING, OLD_PC, ODD)
BOTH = ("rhel9", "sles15")
PLUGINS = Path(__file__).parents[2] / ".cache/dnf-plugins/usr/lib/python3/dist-packages"


@pytest.fixture
def yum(tmp_path: Path, rsa_key: Key) -> Iterator[Stage]:
    """A signed mirror with a yum repository, served at its public_url; nothing in it yet."""
    (tmp_path / "www").mkdir()
    with web_server(tmp_path / "www") as url, yum_stage(tmp_path, rsa_key, url) as set_up:
        yield set_up


def plain(text: str) -> str:
    """The .repo file with the plain baseurl in place of the mirrorlist."""
    return re.sub(r"^#baseurl", "baseurl", re.sub(r"^mirrorlist.*\n", "", text, flags=re.M), flags=re.M)


def by_metalink(text: str) -> str:
    """The .repo file with the metalink in place of the mirrorlist."""
    return re.sub(r"^#metalink", "metalink", re.sub(r"^mirrorlist.*\n", "", text, flags=re.M), flags=re.M)


def test_names_that_are_not_utf8_stay_apart(yum: Stage, tmp_path: Path) -> None:
    """Two dependencies that differ in one byte of Latin-1, as old packages have them."""
    acute, grave = b"caf\xe9".decode("utf-8", "surrogateescape"), b"caf\xe8".decode("utf-8", "surrogateescape")
    put_rpm(yum, Rpm("acute", "1", "noarch", files=((f"/opt/{acute}", b"acute"),)))
    put_rpm(yum, Rpm("grave", "1", "noarch", files=((f"/opt/{grave}", b"grave"),)))
    put_rpm(yum, Rpm("user", "1", "noarch", requires=((f"/opt/{grave}", ""),)))
    yum.agent("sync")
    dnf = PrivateDnf(tmp_path / "dnf", repo_file(yum))
    done = dnf.run("install", "user")
    assert done.exit_code == 0, done.output
    assert [path.read_bytes() for path in (dnf.target / "opt").iterdir()] == [b"grave"]


@pytest.mark.parametrize("way", [str, plain, by_metalink])
def test_dnf_installs_with_both_checks(yum: Stage, tmp_path: Path, way: type[str]) -> None:
    for rpm in ALL:
        put_rpm(yum, rpm)
    yum.agent("sync")
    text = way(repo_file(yum))
    assert "gpgcheck=1\nrepo_gpgcheck=1\n" in text
    dnf = PrivateDnf(tmp_path / "dnf", text)
    listed = dnf.run(
        "--quiet", "repoquery", "--available", "--qf", "%{name}-%{epoch}:%{version}-%{release}.%{arch}|%{summary}"
    )
    assert listed.exit_code == 0, listed.output
    for wanted in ("hello-1:0.5-1.x86_64|", "hello-0:1.0-1.x86_64|", "greeting-0:2.0~rc1-1.lab.noarch|"):
        assert wanted in listed.output
    assert "hello++lib-0:1-1.i686" in listed.output
    assert "odd-0:1-1.noarch|café ? <bell> Ã" in listed.output
    done = dnf.run("install", "hello-1.0", "odd")
    assert done.exit_code == 0, done.output
    assert (dnf.target / "opt/hello").read_bytes() == b"hello\n"
    assert (dnf.target / "srv/a b&<c>").exists()
    owner = dnf.run("--quiet", "repoquery", "--available", "--file", "/srv/a b&<c>")
    assert "greeting" in owner.output


@pytest.mark.parametrize("way", [str, plain, by_metalink])
def test_zypper_installs_with_both_checks(yum: Stage, tmp_path: Path, way: type[str]) -> None:
    for rpm in ALL:
        put_rpm(yum, rpm, BOTH)
    yum.agent("sync")
    zypper = PrivateZypper(tmp_path / "zypper", way(repo_file(yum, SLES)))
    said = zypper.run("refresh")
    assert said.exit_code == 0, said.output
    done = zypper.run("install", "hello=1.0", "odd")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "zypper/opt/hello").read_bytes() == b"hello\n"
    assert (tmp_path / "zypper/opt/greeting").read_bytes() == b"hi\n"


def test_an_unsigned_mirror_works_for_those_who_trust_it(tmp_path: Path) -> None:
    with yum_stage(tmp_path, None, None) as lab:
        put_rpm(lab, GREETING)
        lab.agent("sync")
        assert not list(lab.www.rglob("*.asc"))
        assert not (lab.www / "yum-dev" / RHEL / "generations").exists()
        with web_server(lab.www) as url:
            text = repo_file(lab).replace("@MIRROR@", url)
            assert "gpgcheck=0\nrepo_gpgcheck=0\n" in text
            done = PrivateDnf(tmp_path / "dnf", text).run("install", "greeting")
            assert done.exit_code == 0, done.output
    published = next((lab.www / "yum-dev").rglob("*.rpm"))
    assert published.read_bytes() == (lab.directory / "rpms" / published.name).read_bytes()


def test_an_empty_repository_is_a_valid_one(yum: Stage, tmp_path: Path) -> None:
    yum.agent("sync")
    said = PrivateDnf(tmp_path / "dnf", repo_file(yum)).run("makecache")
    assert said.exit_code == 0, said.output
    said = PrivateZypper(tmp_path / "zypper", repo_file(yum, SLES)).run("refresh")
    assert said.exit_code == 0, said.output


def spoil_missing(repodata: Path, other: Key) -> None:
    (repodata / "repomd.xml.asc").unlink()


def spoil_stale(repodata: Path, other: Key) -> None:
    text = (repodata / "repomd.xml").read_bytes()
    (repodata / "repomd.xml").write_bytes(text.replace(b"<revision>", b"<revision>1"))


def spoil_forged(repodata: Path, other: Key) -> None:
    gpg = ["gpg", "--homedir", str(other.home), "--batch", "--yes", "--armor"]
    subprocess.run(
        [*gpg, "-o", repodata / "repomd.xml.asc", "--detach-sign", repodata / "repomd.xml"],
        check=True,
        capture_output=True,
    )


@pytest.mark.parametrize("spoil", [spoil_missing, spoil_stale, spoil_forged])
def test_clients_refuse_metadata_without_our_signature(yum: Stage, tmp_path: Path, key: Key, spoil: object) -> None:
    put_rpm(yum, GREETING, BOTH)
    yum.agent("sync")
    dnf = PrivateDnf(tmp_path / "dnf", plain(repo_file(yum)))
    zypper = PrivateZypper(tmp_path / "zypper", plain(repo_file(yum, SLES)))
    assert dnf.run("makecache").exit_code == 0
    assert zypper.run("refresh").exit_code == 0
    assert callable(spoil)
    for top in (RHEL, SLES):
        spoil(yum.www / "yum-dev" / top / "repodata", key)
    said = dnf.run("--refresh", "makecache")
    assert said.exit_code != 0, said.output
    said = zypper.run("refresh", "--force", trust_new_keys=False)
    assert said.exit_code != 0, said.output


def test_clients_refuse_a_package_that_we_did_not_sign(yum: Stage, tmp_path: Path) -> None:
    put_rpm(yum, GREETING, BOTH)
    yum.agent("sync")
    # What a mirror without a key would have: good metadata, an unsigned package.
    yum.key = None
    yum.extra |= {"gpg_sign_key": "none"}
    yum.write_config()
    yum.agent("sync")
    text = repo_file(yum).replace("gpgcheck=0", "gpgcheck=1", 1) + "gpgkey=" + yum.extra["public_url"] + "/repo-key\n"
    (yum.www / "repo-key").write_text("")
    said = PrivateDnf(tmp_path / "dnf", text).run("install", "greeting")
    assert said.exit_code != 0, said.output
    assert "is not signed" in said.output


def test_every_published_package_is_signed_by_our_key(yum: Stage, tmp_path: Path) -> None:
    for rpm in ALL:
        put_rpm(yum, rpm)
    yum.agent("sync")
    packages = sorted((yum.www / "yum-dev").rglob("*.rpm"))
    assert len(packages) == len(ALL)
    database = tmp_path / "rpmdb"
    rpmkeys = ["rpmkeys", "--dbpath", str(database), "--define", "_pkgverify_level all"]
    before = subprocess.run([*rpmkeys, "-K", *packages], capture_output=True, check=False)
    assert before.returncode != 0
    subprocess.run([*rpmkeys, "--import", yum.www / "repo-key"], check=True)
    subprocess.run([*rpmkeys, "-K", *packages], check=True, capture_output=True)


def test_createrepo_c_agrees_with_our_metadata(yum: Stage, tmp_path: Path) -> None:
    for rpm in ALL:
        put_rpm(yum, rpm)
    yum.agent("sync")
    copy = tmp_path / "copy"
    shutil.copytree(yum.www / "yum-dev" / RHEL, copy, ignore=shutil.ignore_patterns("generations"))
    theirs = tmp_path / "theirs"
    shutil.copytree(copy, theirs, ignore=shutil.ignore_patterns("repodata"))
    told = subprocess.run(
        ["createrepo_c", "--update", "--skip-stat", "--verbose", "--general-compress-type=gz", "--no-database", copy],
        capture_output=True,
        text=True,
        check=True,
    )
    # It takes every package from our metadata, and reads none itself.
    assert told.stderr.count("CACHE HIT") == len(ALL), told.stderr
    subprocess.run(
        ["createrepo_c", "--quiet", "--general-compress-type=gz", "--no-database", theirs],
        capture_output=True,
        check=True,
    )
    ours, expected = read_packages(yum.www / "yum-dev" / RHEL), read_packages(theirs)
    # It drops what it can't write, where we replace the characters.
    assert {name for name in ours if "odd-1" in name} == set(ours) - set(expected)
    for name in expected:
        assert ours[name] == expected[name]


def read_packages(directory: Path) -> dict[str, str]:
    """Place → its entries in primary, filelists and other, without the file's modification time."""
    found: dict[str, str] = {}
    places: dict[str, str] = {}
    for kind in ("primary", "filelists", "other"):
        listed = (directory / "repodata/repomd.xml").read_text()
        path = re.search(rf'href="(repodata/[0-9a-f]+-{kind}\.xml\.gz)"', listed)
        assert path is not None
        text = gzip.decompress((directory / path[1]).read_bytes()).decode()
        for entry in re.findall(r"<package .*?</package>", text, flags=re.S):
            digest = re.search(r"[0-9a-f]{64}", entry)
            assert digest is not None
            if kind == "primary":
                place = re.search(r'<location href="(.*?)"', entry)
                assert place is not None
                places[digest[0]] = place[1]
            found.setdefault(places[digest[0]], "")
            found[places[digest[0]]] += re.sub(r'<time file="\d+"', "<time", entry)
    return found


@pytest.mark.parametrize("way", [str, plain])
def test_reposync_copies_the_repository(yum: Stage, tmp_path: Path, way: type[str]) -> None:
    for rpm in ALL:
        put_rpm(yum, rpm)
    yum.agent("sync")
    dnf = PrivateDnf(tmp_path / "dnf", way(repo_file(yum)))
    said = dnf.run("reposync", "--download-metadata", "-p", str(tmp_path / "synced"), plugins=PLUGINS)
    assert said.exit_code == 0, said.output
    below = tmp_path / "synced/yum-dev"
    copied = {str(path.relative_to(below)): path.read_bytes() for path in below.rglob("*.rpm")}
    top = yum.www / "yum-dev" / RHEL
    packages = [path for path in top.rglob("*.rpm") if "generations" not in path.parts]
    assert copied == {str(path.relative_to(top)): path.read_bytes() for path in packages}
    assert len(copied) == len(ALL)


@pytest.mark.parametrize("server", list(WebServer))
def test_generations_are_served_by_the_site_file(tmp_path: Path, rsa_key: Key, server: WebServer) -> None:
    # A place that the server's workers can enter.
    place = Path(tempfile.mkdtemp(prefix="yum-", dir="/tmp"))
    place.chmod(0o755)
    (place / "site").mkdir()
    try:
        with yum_stage(place, rsa_key, "http://repo.example.com") as lab:
            put_rpm(lab, GREETING)
            lab.agent("sync")
            site = lab.agent("site", server.value).stdout
            with front(server, site, place / "site") as url:
                lab.extra["public_url"] = url
                lab.write_config()
                lab.agent("sync")
                dnf = PrivateDnf(tmp_path / "dnf", repo_file(lab))
                done = dnf.run("install", "greeting")
                assert done.exit_code == 0, done.output
                generation = next((lab.www / "yum-dev" / RHEL / "generations").iterdir())
                (lab.www / "secret").write_text("of somebody else")
                shutil.chown(lab.www / "secret", 1, 1)
                (generation / "leak").symlink_to("../../../../../../secret")
                got = subprocess.run(
                    ["curl", "-s", "-o", "-", "-w", "%{http_code}", f"{url}/{generation.relative_to(lab.www)}/leak"],
                    capture_output=True,
                    text=True,
                    check=True,
                )
                assert got.stdout.endswith("403")
                assert "somebody" not in got.stdout
                metadata = f"{url}/{generation.relative_to(lab.www)}/repodata/repomd.xml"
                for address, caching in ((metadata, "immutable"), (f"{url}/yum-dev/{RHEL}/mirrorlist", "no-cache")):
                    headers = subprocess.run(["curl", "-sI", address], capture_output=True, text=True, check=True)
                    assert caching in headers.stdout, headers.stdout
    finally:
        shutil.rmtree(place)


def age(directory: Path, seconds: int) -> None:
    """Make all that a client has cached so much older."""
    for path in directory.rglob("*"):
        if path.is_file():
            then = path.stat().st_mtime - seconds
            os.utime(path, (then, then))


def test_dnf_looks_again_after_five_minutes(yum: Stage, tmp_path: Path) -> None:
    put_rpm(yum, HELLO)
    yum.agent("sync")
    dnf = PrivateDnf(tmp_path / "dnf", repo_file(yum))
    listing = ("--quiet", "repoquery", "--available", "--qf", "%{name}")
    assert "greeting" not in dnf.run(*listing).output
    put_rpm(yum, GREETING)
    yum.agent("sync")
    age(tmp_path / "dnf/cache", 310)
    listed = dnf.run(*listing)
    assert "greeting" in listed.output, listed.output


def test_zypper_looks_again_by_itself(yum: Stage, tmp_path: Path) -> None:
    put_rpm(yum, HELLO, BOTH)
    yum.agent("sync")
    zypper = PrivateZypper(tmp_path / "zypper", repo_file(yum, SLES))
    assert zypper.run("refresh").exit_code == 0
    put_rpm(yum, GREETING, BOTH)
    yum.agent("sync")
    age(tmp_path / "zypper/var/cache", 610)
    done = zypper.run("install", "greeting")
    assert done.exit_code == 0, done.output
