"""Packages that belong to a module, as many of RHEL's do: dnf installs them from a mirror without its metadata."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_demo.build_rpm import Rpm, write_rpm
from packrat_demo.private_rpm import PrivateDnf, PrivateZypper
from support.keys import Key
from support.stage import Stage
from support.web import web_server
from support.yum_stage import RHEL, SLES, put_rpm, repo_file, yum_stage

LABELLED = Rpm("server", "1.0", "x86_64", files=(("/opt/server", b"of a module\n"),), module="server:1:1:9edba152")
OURS = Rpm("tool", "2.0", "x86_64", files=(("/opt/tool", b"ours\n"),))
THEIRS = Rpm("tool", "1.0", "x86_64", files=(("/opt/tool", b"theirs\n"),), module="tool:1:1:9edba152")
_MODULES = """\
---
document: modulemd
version: 2
data:
  name: tool
  stream: "1"
  version: 1
  context: 9edba152
  arch: x86_64
  summary: a tool
  description: a tool
  license:
    module: [MIT]
  artifacts:
    rpms: ["tool-0:1.0-1.x86_64"]
...
---
document: modulemd-defaults
version: 1
data:
  module: tool
  stream: "1"
...
"""


@pytest.fixture
def yum(tmp_path: Path, rsa_key: Key) -> Iterator[Stage]:
    """A signed mirror with a yum repository, served at its public_url."""
    (tmp_path / "www").mkdir()
    with web_server(tmp_path / "www") as url, yum_stage(tmp_path, rsa_key, url) as set_up:
        for rpm in (LABELLED, OURS):
            put_rpm(set_up, rpm, ("rhel9", "sles15"))
        set_up.agent("sync")
        yield set_up


def without_the_line(text: str) -> str:
    told, count = re.subn("^module_hotfixes=1\n", "", text, flags=re.M)
    assert count == 1
    return told


def vendor(directory: Path) -> str:
    """A vendor's repository, in which the tool is a module that is enabled by default; gives its .repo file."""
    directory.mkdir()
    write_rpm(THEIRS, directory)
    (directory / "modules.yaml").write_text(_MODULES)
    for command in (["createrepo_c", "."], ["modifyrepo_c", "--mdtype=modules", "modules.yaml", "repodata"]):
        subprocess.run(command, cwd=directory, check=True, capture_output=True)
    return f"[vendor]\nname=vendor\nbaseurl=file://{directory}\ngpgcheck=0\n"


def test_a_package_of_a_module_is_installed(yum: Stage, tmp_path: Path) -> None:
    text = repo_file(yum)
    dnf = PrivateDnf(tmp_path / "dnf", text)
    done = dnf.run("install", "server")
    assert done.exit_code == 0, done.output
    assert (dnf.target / "opt/server").read_bytes() == b"of a module\n"
    refused = PrivateDnf(tmp_path / "other", without_the_line(text)).run("install", "server")
    assert refused.exit_code != 0
    assert "No available modular metadata for modular package" in refused.output


def test_a_vendors_module_hides_nothing_of_the_mirror(yum: Stage, tmp_path: Path) -> None:
    beside = vendor(tmp_path / "vendor")
    for text, version in ((repo_file(yum), "2.0"), (without_the_line(repo_file(yum)), "1.0")):
        dnf = PrivateDnf(tmp_path / f"dnf-{version}", text + beside)
        found = dnf.run("--quiet", "repoquery", "--latest-limit=1", "--qf", "<%{version}>", "tool")
        assert found.exit_code == 0, found.output
        assert f"<{version}>" in found.output


def test_zypper_passes_over_the_line(yum: Stage, tmp_path: Path) -> None:
    done = PrivateZypper(tmp_path / "zypper", repo_file(yum, SLES)).run("install", "server", "tool")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "zypper/opt/server").read_bytes() == b"of a module\n"


def test_verify_takes_a_file_of_an_older_agent_that_lacks_the_line(yum: Stage) -> None:
    """It may run before the first full sync after an upgrade, or on an older backup."""
    path = yum.repo / RHEL / f"{yum.repo.name}.repo"
    written = path.read_text()
    path.write_text(without_the_line(written))
    yum.agent("verify")
    path.write_text(written.replace("module_hotfixes=1", "module_hotfixes=0"))
    assert "is not written as it should be" in yum.agent("verify", expect=13).stdout
