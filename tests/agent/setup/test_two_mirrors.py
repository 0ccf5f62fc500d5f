"""A second mirror on a host: `init` leaves the unit of the first one alone, and says how to go on."""

import os
import pwd
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_agent.setup import service
from support.doc_pages import page_text
from support.keys import end_gpg_agent
from support.stage import Stage, stage

_UNIT = Path(service.__file__).with_name(service.UNIT)
_AS_BY_SYSTEMD = """
mount -t tmpfs run /run && mkdir -p /run/systemd/system
mount --bind "$1/units" /etc/systemd/system && mount --bind "$1/default" /etc/default
mount --bind "$1/package" /usr/lib/systemd/system
shift && exec "$@"
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Stage]:
    with stage(tmp_path, None) as made:
        (tmp_path / "psk").write_text(f"{made.psk}\n")
        (tmp_path / "units").mkdir()
        (tmp_path / "default").mkdir()
        (tmp_path / "package").mkdir()
        yield made


def run(lab: Stage, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the agent where systemd seems to run the machine, with units of the test."""
    program = [sys.executable, "-m", "packrat_agent", *words]
    command = ["unshare", "--mount", "sh", "-ec", _AS_BY_SYSTEMD, "sh", str(lab.directory), *program]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120, check=False)


def init(lab: Stage, directory: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Set up a mirror in a directory."""
    given = {
        **{"--server": lab.server.url, "--name": "lab", "--psk-file": str(lab.directory / "psk")},
        **{"--root-dir": str(directory / "www"), "--state-dir": str(directory / "state"), "--web-server": "none"},
        **{"--public-url": "http://localhost:1", "--user": pwd.getpwuid(os.geteuid()).pw_name},
    }
    return run(
        lab, "--config", str(directory / "conf"), "init", *(word for pair in given.items() for word in pair), *more
    )


def put_unit(lab: Stage, *commands: str) -> None:
    """Install the unit with a drop-in that has these commands."""
    units = lab.directory / "units"
    (units / service.UNIT).write_text(_UNIT.read_text())
    drop_ins = units / f"{service.UNIT}.d"
    drop_ins.mkdir(exist_ok=True)
    (drop_ins / "mirror.conf").write_text("[Service]\nExecStart=\n" + "".join(f"{line}\n" for line in commands))


@pytest.mark.parametrize("option", ["--config {}", "-c {}", "--config={}", "--config '{}'", "\\\n  -c {}"])
def test_the_unit_of_another_mirror_is_left_alone(lab: Stage, option: str) -> None:
    put_unit(lab, f"ExecStart=/usr/bin/packrat-agent {option.format(lab.config)} run")
    with tempfile.TemporaryDirectory(prefix="pi-") as name:
        second = Path(name)
        for more in ((), ("--dry-run",)):
            said = init(lab, second, *more)
            assert said.returncode == 2
            assert f"packrat-agent.service runs another mirror, that of {lab.config}" in said.stderr
            assert "--no-start" in said.stderr
        assert list(second.iterdir()) == []
        assert init(lab, second, "--no-start").returncode == 0
        end_gpg_agent(second / "state/gnupg")
        assert str(lab.config) in (lab.directory / "units" / f"{service.UNIT}.d/mirror.conf").read_text()
        told = run(lab, "--config", str(second / "conf"), "doctor").stdout
        assert re.search(rf"warning +service: .*runs another mirror, that of {lab.config}", told), told
        assert "fault    state: the agent is not running" in told


def test_the_unit_of_this_mirror_or_of_one_that_is_gone_is_taken(lab: Stage) -> None:
    with tempfile.TemporaryDirectory(prefix="pi-") as name:
        for config in (f"{name}/conf", f"{name}/gone"):
            put_unit(lab, "ExecStart=/usr/bin/packrat-agent", f"ExecStart=/usr/bin/packrat-agent --config {config} run")
            said = init(lab, Path(name), "--dry-run")
            assert said.returncode == 0, said.stderr
            assert "to make  service packrat-agent" in said.stdout


def test_a_unit_that_hides_the_packages_and_starts_another_program_is_reported(lab: Stage) -> None:
    own, package = (lab.directory / name / service.UNIT for name in ("units", "package"))
    command = f"/packrat-agent --config {lab.config} run\n"
    package.write_text(f"[Service]\nExecStart=/usr/bin{command}")
    own.write_text(f"[Service]\nExecStart=\nExecStart=/opt/packrat-agent/bin{command}")
    told = run(lab, "--config", str(lab.config), "doctor").stdout
    hides = f"starts /opt/packrat-agent/bin/packrat-agent, and hides /usr/lib/systemd/system/{service.UNIT}"
    assert f"service: /etc/systemd/system/{service.UNIT} {hides}, which starts /usr/bin/packrat-agent" in told
    own.write_text(f"[Service]\nCPUWeight=50\nExecStart=/usr/bin{command}")
    assert "hides /usr" not in run(lab, "--config", str(lab.config), "doctor").stdout


def test_the_options_of_the_package_may_name_the_mirror(lab: Stage) -> None:
    put_unit(lab, "ExecStart=/usr/bin/packrat-agent --config /gone $PACKRAT_AGENT_OPTIONS run")
    options = lab.directory / "default/packrat-agent"
    with tempfile.TemporaryDirectory(prefix="pi-") as name:
        options.write_text(f'# as the package has it\nPACKRAT_AGENT_OPTIONS="--log-level info --config {lab.config}"\n')
        assert f"runs another mirror, that of {lab.config}" in init(lab, Path(name), "--dry-run").stderr
        options.write_text(f"PACKRAT_AGENT_OPTIONS='-c {name}/conf'\n")
        assert init(lab, Path(name), "--dry-run").returncode == 0


def test_the_unit_of_the_page_is_one(tmp_path: Path) -> None:
    page = page_text("operations.md")
    override = re.search(r"override\.conf <<END\n(.*?)^END$", page, re.DOTALL | re.MULTILINE)
    assert override is not None
    unit = tmp_path / "packrat-agent-second.service"
    unit.write_text(_UNIT.read_text())
    drop_ins = tmp_path / f"{unit.name}.d"
    drop_ins.mkdir()
    program = shlex.quote(sys.executable)
    (drop_ins / "override.conf").write_text(override[1].replace("/usr/bin/packrat-agent", program))
    done = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False)
    assert (done.returncode, unit.name in done.stderr) == (0, False), done.stderr
