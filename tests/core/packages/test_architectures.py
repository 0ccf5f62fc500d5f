"""Every architecture that dpkg and rpm know is known here, by their own tables."""

import re
from pathlib import Path

import pytest

from packrat_core.packages.deb import architectures as deb
from packrat_core.packages.rpm import architectures as rpm

_DPKG = Path("/usr/share/dpkg")
_RPMRC = Path("/usr/lib/rpm/rpmrc")


def rows(name: str) -> list[list[str]]:
    lines = (_DPKG / name).read_text().splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


def test_debs_of_all_architectures_of_dpkg_are_known() -> None:
    cpus = [row[0] for row in rows("cputable")]
    names = {
        pattern.replace("<cpu>", cpu) for _, pattern in rows("tupletable") for cpu in (cpus if "<" in pattern else [""])
    }
    assert len(names) > 400
    too_long = {name for name in names if len(name) > deb.LENGTH_LIMIT}
    assert {name for name in names if not deb.is_known(name)} == too_long
    assert all("-" in name for name in too_long)


def test_rpms_of_all_architectures_of_rpm_are_known() -> None:
    names = re.findall(r"^arch_canon:\s*([a-z0-9_]+):", _RPMRC.read_text(), re.MULTILINE)
    assert len(names) > 60
    assert [name for name in names if not rpm.is_known(name)] == []


@pytest.mark.parametrize("arch", ["armv8", "AMD64", "linux-amd64", "-amd64", "amd64-", "any", "", "source", "x86_64"])
def test_architectures_unknown_to_dpkg_are_unknown(arch: str) -> None:
    assert not deb.is_known(arch)


@pytest.mark.parametrize("arch", ["src", "nosrc", "arm64", "X86_64", "x86_64_v5", "all", "", "(none)"])
def test_architectures_unknown_to_rpm_are_unknown(arch: str) -> None:
    assert not rpm.is_known(arch)


def test_the_four_names_of_the_api_are_those_of_the_original() -> None:
    names = {"amd64": "x86_64", "i386": "i386", "arm64": "arm64", "all": "all", "armhf": "armhf", "ppc64el": "ppc64el"}
    assert {name: deb.server_name(name) for name in names} == names
    names = {"x86_64": "x86_64", "i686": "i386", "aarch64": "arm64", "noarch": "all", "ppc64le": "ppc64le"}
    assert {name: rpm.server_name(name) for name in names} == names
    assert rpm.directory("arm64") == "aarch64"
    assert rpm.directory("s390x") == "s390x"
