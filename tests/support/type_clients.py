"""The real client of each repository type, which has every signature checked that it can check."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from packrat_demo.private_apt import PrivateApt
from packrat_demo.private_rpm import PrivateDnf
from support.stage import DEADLINE_S, Stage

PIP = Path(__file__).parents[2] / ".cache/clients/bin/pip"


def _run(command: Sequence[str | Path], place: Path, **more: str) -> str:
    environment = {**os.environ, "HOME": str(place), "XDG_RUNTIME_DIR": str(place), "TMPDIR": str(place), **more}
    done = subprocess.run(
        command, cwd=place, env=environment, capture_output=True, text=True, timeout=DEADLINE_S, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def _apt(lab: Stage, url: str, place: Path, name: str, version: str) -> None:
    source = f"deb [signed-by={lab.www / 'repo-key.gpg'}] {url}/apt-dev bookworm main\n"
    apt = PrivateApt(place, source)
    for said in (apt.run("update"), apt.run("download", f"{name}={version}")):
        assert (said.exit_code, "W:" in said.output) == (0, False), said.output
    assert list(apt.downloads.glob(f"{name}_{version}_*.deb"))


def _yum(lab: Stage, url: str, place: Path, name: str, version: str) -> None:
    text = (lab.repo / "rhel/main/9/yum-dev.repo").read_text().replace("@MIRROR@", url)
    assert "gpgcheck=1\nrepo_gpgcheck=1\n" in text
    dnf = PrivateDnf(place, text)
    said = dnf.run("install", f"{name}-{version}")
    assert said.exit_code == 0, said.output
    assert (dnf.target / "opt" / name).exists()


def _pypi(lab: Stage, url: str, place: Path, name: str, version: str) -> None:
    assert PIP.exists(), f"{PIP} is missing: tests/provision.sh installs it"
    options = ["--isolated", "--disable-pip-version-check", "--no-cache-dir", f"--python={sys.executable}"]
    index = ["--index-url", f"{url}/pypi-dev/simple/", "--no-deps", "--target", str(place / "target")]
    _run([PIP, *options, "install", *index, f"{name}=={version}"], place)
    assert (place / f"target/{name}.py").exists()


def _docker(lab: Stage, url: str, place: Path, name: str, version: str) -> None:
    address = url.removeprefix("http://")
    skopeo = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--override-arch=amd64"]
    for tag in (version, "latest"):
        _run([*skopeo, f"docker://{address}/docker-dev/{name}:{tag}", f"dir:{place / tag}"], place)


def _json(lab: Stage, url: str, place: Path, name: str, version: str) -> None:
    here = f"{url}/json-dev"
    _run(["curl", "-fsSO", f"{url}/repo-key.gpg", "-O", f"{here}/SHA256SUMS.signed"], place)
    _run(["gpgv", "--keyring", "./repo-key.gpg", "--output", "SHA256SUMS", "SHA256SUMS.signed"], place)
    path = f"{name}/{name}_{version}.json"
    _run(["curl", "-fsS", "--create-dirs", "-o", path, f"{here}/{path}"], place)
    said = _run(["sha256sum", "-c", "--ignore-missing", "--strict", "SHA256SUMS"], place)
    assert re.search(rf"^{re.escape(path)}: OK$", said, re.M)


CLIENTS: Mapping[str, Callable[[Stage, str, Path, str, str], None]] = {
    "apt": _apt,
    "yum": _yum,
    "pypi": _pypi,
    "docker": _docker,
    "json": _json,
}
"""Type → (stage, the mirror's address, an empty place, name, version): get that package as a user does."""
