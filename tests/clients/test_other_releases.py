"""The apt, dnf and zypper of other Debian releases install from a mirror, as those of this machine do."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb
from packrat_demo.build_rpm import Rpm
from packrat_demo.private_apt import PrivateApt
from packrat_demo.private_rpm import PrivateDnf, PrivateZypper
from support.keys import Key
from support.other_debian import RELEASES, write_programs
from support.rpm_signatures import write_signed_rpm
from support.stage import Stage, stage
from support.web import web_server
from support.yum_stage import SLES, put_rpm, repo_file, yum_stage

PLAIN = Rpm("plain", "1.0", "noarch", files=(("/opt/plain", b"plain"),), is_old=True)
VENDORS = Rpm("vendors", "1.0", "noarch", requires=(("plain", ""),), files=(("/opt/vendors", b"vendors"),))
BOTH = ("rhel9", "sles15")


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A release whose clients are those in PATH, once its mirror is made."""
    monkeypatch.setenv("PATH", f"{write_programs(request.param, tmp_path)}:{os.environ['PATH']}")
    return str(request.param)


@pytest.fixture
def yum(tmp_path: Path, rsa_key: Key, vendor_key: Key) -> Iterator[Stage]:
    """A mirror with a package that nobody signed, and one that a vendor signed for every rpm."""
    (tmp_path / "www").mkdir()
    with web_server(tmp_path / "www") as url, yum_stage(tmp_path, rsa_key, url) as lab:
        put_rpm(lab, PLAIN, BOTH)
        lab.server.put(write_signed_rpm(VENDORS, tmp_path, vendor_key), BOTH)
        lab.agent("sync")
        lab.agent("verify")
        yield lab


def test_dnf_installs_with_both_checks(yum: Stage, release: str, tmp_path: Path) -> None:
    text = repo_file(yum)
    assert "gpgcheck=1\nrepo_gpgcheck=1\n" in text
    dnf = PrivateDnf(tmp_path / "dnf", text)
    said = dnf.run("install", "vendors")
    assert said.exit_code == 0, said.output
    assert (dnf.target / "opt/vendors").read_bytes() + (dnf.target / "opt/plain").read_bytes() == b"vendorsplain"


def test_zypper_installs_with_both_checks(yum: Stage, release: str, tmp_path: Path) -> None:
    zypper = PrivateZypper(tmp_path / "zypper", repo_file(yum, SLES))
    said = zypper.run("install", "vendors")
    assert said.exit_code == 0, said.output
    assert (tmp_path / "zypper/opt/vendors").exists()


def test_apt_downloads(release: str, rsa_key: Key, tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    with web_server(tmp_path / "www") as url, stage(tmp_path, rsa_key) as lab:
        lab.server.put_deb(Deb("hello", "2:1.0+x~rc1-1", "amd64"))
        lab.agent("sync")
        apt = PrivateApt(tmp_path / "apt", f"deb [signed-by={lab.www / 'repo-key.gpg'}] {url}/apt-dev bookworm main\n")
        for said in (apt.run("update"), apt.run("download", "hello")):
            assert (said.exit_code, "W:" in said.output) == (0, False), said.output
    assert [path.name for path in apt.downloads.iterdir()] == ["hello_2%3a1.0+x~rc1-1_amd64.deb"]
