"""`yum_sign_packages` says which packages get the mirror's signature; dnf takes what comes of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_agent.config.settings import PackageSigning
from packrat_demo.build_rpm import Rpm, write_rpm
from packrat_demo.private_rpm import PrivateDnf
from support.keys import Key
from support.rpm_signatures import write_signed_rpm
from support.stage import Stage
from support.web import web_server
from support.yum_stage import RHEL, put_rpm, repo_file, yum_stage

PLAIN = Rpm("plain", "1.0", "noarch", files=(("/opt/plain", b"plain"),))
VENDORS = Rpm("vendors", "1.0", "noarch", files=(("/opt/vendors", b"vendors"),))


@pytest.fixture
def lab(tmp_path: Path, rsa_key: Key, vendor_key: Key) -> Iterator[Stage]:
    """A mirror with a package that a vendor signed for every rpm, and one that nobody signed."""
    (tmp_path / "www").mkdir()
    with web_server(tmp_path / "www") as url, yum_stage(tmp_path, rsa_key, url) as set_up:
        put_rpm(set_up, PLAIN)
        set_up.server.put(write_signed_rpm(VENDORS, tmp_path, vendor_key), ("rhel9",))
        yield set_up


def package_of(lab: Stage, rpm: Rpm) -> bytes:
    return (lab.www / "yum-dev" / RHEL / "noarch" / rpm.file_name).read_bytes()


def install(lab: Stage, place: Path) -> None:
    dnf = PrivateDnf(place, repo_file(lab))
    said = dnf.run("install", "plain", "vendors")
    assert said.exit_code == 0, said.output
    assert (dnf.target / "opt/vendors").exists()


@pytest.mark.parametrize("which", list(PackageSigning))
def test_packages_are_signed_as_asked_and_clients_told_so(lab: Stage, which: PackageSigning, tmp_path: Path) -> None:
    if which is not PackageSigning.ALL:
        lab.extra["yum_sign_packages"] = which
        lab.write_config()
    lab.agent("sync")
    assert f"yum_sign_packages: {which}\n" in lab.agent("config").stdout
    uploaded = {rpm: write_rpm(rpm, tmp_path / "rpms").read_bytes() for rpm in (PLAIN,)}
    uploaded[VENDORS] = (tmp_path / VENDORS.file_name).read_bytes()
    assert (package_of(lab, PLAIN) == uploaded[PLAIN]) is (which is PackageSigning.NONE)
    assert (package_of(lab, VENDORS) == uploaded[VENDORS]) is (which is not PackageSigning.ALL)
    checks = "gpgcheck=1\nrepo_gpgcheck=1\n" if which is PackageSigning.ALL else "gpgcheck=0\nrepo_gpgcheck=1\n"
    assert checks in repo_file(lab)
    signed = "the metadata and every package" if which is PackageSigning.ALL else "the metadata"
    assert f"Signed: {signed}" in (lab.www / "index.html").read_text()
    lab.agent("verify")
    install(lab, tmp_path / "dnf")


def test_another_word_is_followed_at_the_next_sync(lab: Stage, tmp_path: Path) -> None:
    lab.agent("sync")
    signed = package_of(lab, VENDORS)
    lab.extra["yum_sign_packages"] = "none"
    lab.write_config()
    lab.agent("sync")
    assert package_of(lab, VENDORS) == (tmp_path / VENDORS.file_name).read_bytes()
    lab.agent("verify")
    install(lab, tmp_path / "before")
    lab.extra["yum_sign_packages"] = "all"
    lab.write_config()
    lab.agent("sync")
    assert package_of(lab, VENDORS) == signed
    lab.agent("verify")
    install(lab, tmp_path / "after")


def test_a_repo_file_that_asks_for_less_than_was_promised_is_a_fault(lab: Stage) -> None:
    lab.agent("sync")
    path = lab.www / "yum-dev" / RHEL / "yum-dev.repo"
    path.write_text(path.read_text().replace("\ngpgcheck=1", "\ngpgcheck=0"))
    assert "gpgcheck" in lab.agent("verify", expect=13).stdout
