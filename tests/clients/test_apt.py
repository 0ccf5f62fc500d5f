"""The real apt-get, gpgv and aptly use what the agent built."""

import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb, build_deb
from packrat_demo.private_apt import PrivateApt
from support.keys import Key, new_key
from support.original_server import original_server
from support.stage import DEADLINE_S, Server, Stage, stage
from support.web import web_server

HELLO = Deb("hello", "1.0-1", "amd64", (("Depends", "greeting (>= 2)"),), (("/usr/share/hello/text", b"hello\n"),))
HELLO_2 = Deb("hello", "1:0.5-1", "amd64", (), (("/usr/share/hello/text", b"hello again\n"),), "zst")
ARM = Deb("hello", "1.0-1", "arm64", (), (("/usr/share/hello/text", b"hello arm\n"),), "xz")
GREETING = Deb("greeting", "2.0~rc1+b1-3", "all", (), (("/usr/share/greeting/text", b"hi\n"),), "none")
PLUS = Deb("lib++x", "1", "amd64")


@contextmanager
def used_by_apt(set_up: Stage, tmp_path: Path, architecture: str = "amd64") -> Iterator[PrivateApt]:
    with web_server(set_up.www) as url:
        keyring = tmp_path / "mirror.gpg"
        keyring.write_bytes(urllib.request.urlopen(f"{url}/repo-key.gpg", timeout=DEADLINE_S).read())
        lines = [f"deb [signed-by={keyring}] {url}/apt-dev {suite} main\n" for suite in ("bookworm", "trixie")]
        yield PrivateApt(tmp_path / f"apt-{architecture}", "".join(lines), architecture)


def test_apt_gets_what_was_tagged_and_verifies_it(lab: Stage, tmp_path: Path) -> None:
    lab.server.put_deb(HELLO)
    lab.server.put_deb(HELLO_2)
    lab.server.put_deb(PLUS)
    lab.server.put_deb(GREETING, ("bookworm", "trixie"))
    lab.agent("sync")
    with used_by_apt(lab, tmp_path) as apt:
        updated = apt.run("update")
        assert (updated.exit_code, "W:" in updated.output) == (0, False), updated.output
        madison = apt.run("madison", "hello", "greeting", program="apt-cache").output
        assert "1:0.5-1" in madison
        assert "1.0-1" in madison
        assert "trixie/main" in madison
        done = apt.run("download", "hello", "hello=1.0-1", "greeting", "lib++x")
        assert done.exit_code == 0, done.output
        assert sorted(path.name for path in apt.downloads.glob("*.deb")) == [
            "greeting_2.0~rc1+b1-3_all.deb",
            "hello_1%3a0.5-1_amd64.deb",
            "hello_1.0-1_amd64.deb",
            "lib++x_1_amd64.deb",
        ]


def test_apt_installs_into_a_root_of_its_own(lab: Stage, tmp_path: Path) -> None:
    lab.server.put_deb(HELLO)
    lab.server.put_deb(GREETING)
    lab.agent("sync")
    target = tmp_path / "target"
    admin = target / "var/lib/dpkg"
    for name in ("info", "updates", "triggers"):
        (admin / name).mkdir(parents=True)
    (admin / "status").touch()
    with used_by_apt(lab, tmp_path) as apt:
        assert apt.run("update").exit_code == 0
        said = apt.run(
            *("-y", "-o", f"Dir::State::status={admin / 'status'}", "-o", f"DPkg::Options::=--root={target}"),
            *("-o", "DPkg::Options::=--force-architecture", "-o", "DPkg::Options::=--log=/dev/null"),
            *("install", "hello"),
        )
    assert said.exit_code == 0, said.output
    assert (target / "usr/share/hello/text").read_bytes() == b"hello\n"
    assert (target / "usr/share/greeting/text").read_bytes() == b"hi\n"


def test_packages_go_on_under_the_label_that_clients_know(lab: Stage, tmp_path: Path) -> None:
    lab.server.put_deb(GREETING)
    lab.agent("sync")
    with used_by_apt(lab, tmp_path) as apt:
        assert apt.run("update").exit_code == 0
        lab.extra = {"apt_label": "Somebody's new words"}
        lab.write_config()
        lab.server.put_deb(HELLO)
        told = lab.agent("sync", expect=12)
        held = "bookworm, trixie would change Label from 'apt-dev' to \"Somebody's new words\""
        assert f"! apt-dev: held: {held}" in told.stdout
        assert "ERROR   held repo=apt-dev" in told.stderr
        assert f"! apt-dev: held: {held}" in lab.agent("status").stdout
        check = lab.agent("check", "--allow-stopped", "--disk-free", "0", expect=1).stdout
        assert "1 repository held back: apt-dev (bookworm, trixie would change Label" in check
        assert lab.agent("verify").returncode == 0
        updated = apt.run("update")
        assert (updated.exit_code, "W:" in updated.output) == (0, False), updated.output
        assert "1.0-1" in apt.run("madison", "hello", program="apt-cache").output
        # Nothing else changed, so nothing is published; what is held back is still told.
        before = lab.tree()
        assert f"held: {held}" in lab.agent("sync", expect=12).stdout
        assert lab.tree() == before
        lab.extra |= {"confirm_release_change": "apt-dev"}
        lab.write_config()
        assert "held" not in lab.agent("sync").stdout
        assert lab.agent("check", "--allow-stopped", "--disk-free", "0").returncode == 0
        # What the guard is for.
        refused = apt.run("update")
        assert refused.exit_code != 0
        assert "changed its 'Label' value from 'apt-dev' to 'Somebody's new words'" in refused.output
        assert apt.run("update", "--allow-releaseinfo-change").exit_code == 0


def test_another_architecture_sees_its_own_packages_and_those_for_all(lab: Stage, tmp_path: Path) -> None:
    lab.server.put_deb(HELLO)
    lab.server.put_deb(ARM)
    lab.server.put_deb(GREETING)
    lab.agent("sync")
    with used_by_apt(lab, tmp_path, "arm64") as apt:
        assert apt.run("update").exit_code == 0
        done = apt.run("download", "hello", "greeting")
        assert done.exit_code == 0, done.output
        names = sorted(path.name for path in apt.downloads.glob("*.deb"))
    assert names == ["greeting_2.0~rc1+b1-3_all.deb", "hello_1.0-1_arm64.deb"]


@pytest.mark.parametrize("architecture", ["amd64", "i386", "arm64", "armhf"])
def test_packages_for_all_reach_clients_of_every_architecture(lab: Stage, tmp_path: Path, architecture: str) -> None:
    lab.server.put_deb(HELLO)
    lab.server.put_deb(GREETING)
    lab.agent("sync")
    with used_by_apt(lab, tmp_path, architecture) as apt:
        updated = apt.run("update")
        assert (updated.exit_code, "W:" in updated.output) == (0, False), updated.output
        known = apt.run("madison", "hello", "greeting", program="apt-cache").output
        assert "2.0~rc1+b1-3" in known
        assert ("hello" in known) is (architecture == "amd64")
        simulated = apt.run("install", "--simulate", "greeting")
        assert simulated.exit_code == 0, simulated.output
        assert "Inst greeting (2.0~rc1+b1-3" in simulated.output
        assert apt.run("download", "greeting").exit_code == 0
    assert [path.name for path in apt.downloads.glob("*.deb")] == ["greeting_2.0~rc1+b1-3_all.deb"]


def test_a_client_of_two_architectures_has_a_package_for_all_once(lab: Stage, tmp_path: Path) -> None:
    for deb in (HELLO, ARM, GREETING):
        lab.server.put_deb(deb)
    lab.agent("sync")
    with used_by_apt(lab, tmp_path) as apt:
        both = ("-o", "APT::Architectures::=arm64")
        updated = apt.run("update", *both)
        assert (updated.exit_code, "W:" in updated.output) == (0, False), updated.output
        said = apt.run("install", "--simulate", "hello:amd64", *both)
        assert (said.exit_code, said.output.count("Inst greeting ")) == (0, 1), said.output
        said = apt.run("install", "--simulate", "hello:arm64", "greeting", *both)
        assert (said.exit_code, said.output.count("Inst ")) == (0, 2), said.output


def test_a_package_renamed_for_the_original_server_is_offered_as_what_it_is(tmp_path: Path) -> None:
    plus = Deb("libfoo++", "1:1.6~rc1-2.1+deb12u3", "all")
    other = Deb("jq", "1.7-1", "all")
    with original_server() as original:
        original.put("libfoo", "1.6-rc1-2.1.deb12u3", "libfoo_1.6-rc1-2.1.deb12u3_all.deb", build_deb(plus))
        original.put("jq", "1.6-1", "jq_1.6-1_all.deb", build_deb(other))
        lab = Stage(tmp_path, Server(tmp_path, "", original.url), original.psk, None)
        lab.write_config()
        told = lab.agent("sync", expect=12).stderr
    assert "the server has it as version 1.6-1, its control file says 1.7-1" in told
    # The place is that of the server's name, as it always was.
    assert (lab.repo / "pool/libfoo/libfoo_1.6-rc1-2.1.deb12u3_all.deb").is_file()
    with web_server(lab.www) as url:
        apt = PrivateApt(tmp_path / "apt", f"deb [trusted=yes] {url}/apt-dev bookworm main\n")
        assert apt.run("update").exit_code == 0
        assert apt.run("pkgnames", program="apt-cache").output.split() == ["libfoo++"]
        assert apt.run("download", "libfoo++=1:1.6~rc1-2.1+deb12u3").exit_code == 0


def test_apt_refuses_the_mirror_with_another_key(lab: Stage, tmp_path: Path, other_key: Key) -> None:
    lab.server.put_deb(HELLO)
    lab.agent("sync")
    keyring = tmp_path / "other.gpg"
    exported = subprocess.run(
        ["gpg", "--homedir", str(other_key.home), "--export"], check=True, capture_output=True
    ).stdout
    keyring.write_bytes(exported)
    with web_server(lab.www) as url:
        apt = PrivateApt(tmp_path / "apt", f"deb [signed-by={keyring}] {url}/apt-dev bookworm main\n")
        said = apt.run("update")
    assert said.exit_code != 0
    assert "NO_PUBKEY" in said.output


def test_an_unsigned_mirror_works_for_those_who_trust_it(tmp_path: Path) -> None:
    with stage(tmp_path, None) as lab:
        lab.server.put_deb(HELLO)
        told = lab.agent("sync").stderr
        assert "unsigned" in told
        with web_server(lab.www) as url:
            apt = PrivateApt(tmp_path / "apt", f"deb [trusted=yes] {url}/apt-dev bookworm main\n")
            assert apt.run("update").exit_code == 0
            assert apt.run("download", "hello").exit_code == 0


def test_gpgv_verifies_every_signature_with_the_published_key(lab: Stage) -> None:
    lab.server.put_deb(HELLO)
    lab.agent("sync")
    top = lab.repo / "dists/bookworm"
    keyring = lab.www / "repo-key.gpg"
    for files in ([top / "InRelease"], [top / "Release.gpg", top / "Release"]):
        subprocess.run(["gpgv", "--keyring", str(keyring), *map(str, files)], check=True, capture_output=True)


def test_an_empty_suite_is_a_valid_one(lab: Stage, tmp_path: Path) -> None:
    lab.agent("sync")
    with used_by_apt(lab, tmp_path) as apt:
        said = apt.run("update")
        assert (said.exit_code, "W:" in said.output) == (0, False), said.output


def test_aptly_mirrors_the_mirror(lab: Stage, tmp_path: Path) -> None:
    for deb in (HELLO, HELLO_2, ARM, GREETING):
        lab.server.put_deb(deb)
    lab.agent("sync")
    config = tmp_path / "aptly.conf"
    config.write_text(f'{{"rootDir": "{tmp_path / "aptly"}", "architectures": ["amd64", "arm64"]}}')
    keyring = str(lab.www / "repo-key.gpg")
    with web_server(lab.www) as url:
        for arguments in (
            ["mirror", "create", f"-keyring={keyring}", "lab", f"{url}/apt-dev", "bookworm", "main"],
            ["mirror", "update", f"-keyring={keyring}", "lab"],
        ):
            done = subprocess.run(
                ["aptly", f"-config={config}", *arguments], capture_output=True, text=True, timeout=120, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
        shown = subprocess.run(
            ["aptly", f"-config={config}", "mirror", "show", "-with-packages", "lab"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    for name in ("hello_1.0-1_amd64", "hello_1:0.5-1_amd64", "hello_1.0-1_arm64", "greeting_2.0~rc1+b1-3_all"):
        assert name in shown


def test_reprepro_pulls_from_the_mirror(lab: Stage, tmp_path: Path) -> None:
    """Like every mirror program, it reads Packages from a compressed index; a plain one is not published."""
    for deb in (HELLO, ARM, GREETING):
        lab.server.put_deb(deb)
    lab.agent("sync")
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/distributions").write_text(
        "Codename: bookworm\nArchitectures: amd64 arm64\nComponents: main\nUpdate: lab\n"
    )
    with web_server(lab.www) as url:
        # Whether the signature is right is looked at by others; reprepro takes keys from its user's own keyring alone.
        (tmp_path / "conf/updates").write_text(
            f"Name: lab\nMethod: {url}/apt-dev\nSuite: bookworm\nComponents: main\nArchitectures: amd64 arm64\n"
            "VerifyRelease: blindtrust\n"
        )
        for command in ("update", "list"):
            line = ["reprepro", "--basedir", str(tmp_path), command, "bookworm"]
            done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
    assert {line.split(": ")[1] for line in done.stdout.splitlines()} >= {"hello 1.0-1", "greeting 2.0~rc1+b1-3"}


@pytest.fixture(scope="module")
def other_key() -> Iterator[Key]:
    with new_key("Somebody Else <else@example.com>") as key:
        yield key
