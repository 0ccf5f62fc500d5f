"""Lays out a Python environment that holds a program and what it needs, for the Python of a Debian release.

Nothing is compiled: what requirements/run.txt pins comes as wheels, and pip checks their hashes.
"""

import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from releases import Package, Release

_PROJECT = "packrat-agent"
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
# glibc of Debian 12, and what wheels of older ones are called.
_MANYLINUX = (*(f"manylinux_2_{minor}" for minor in range(36, 4, -1)), "manylinux2014", "manylinux2010", "manylinux1")


def lay_out(package: Package, release: Release, architecture: str, wheels: Path, prefix: Path) -> None:
    """Make the environment.

    Args:
        package: Whose program is in it.
        release: Whose Python runs it.
        architecture: As Debian calls it.
        wheels: A directory with the project's wheel and those of `download`.
        prefix: Where the environment is made; it will lie at /usr/lib/<package>.
    """
    version = ".".join(map(str, release.python))
    site = prefix / f"lib/python{version}/site-packages"
    site.mkdir(parents=True)
    needed = _needed(package, release, wheels)
    install = ["--no-deps", "--no-compile", "--no-index", "--find-links", str(wheels), "--target", str(site)]
    _pip("install", *install, *_target(release, architecture), *needed)
    # Beside what the program does not need: programs that nobody starts here, the data of other Pythons' builds.
    left_out = [*package.left_out, "bin", "createrepo_c/data/bin", "createrepo_c/data/include"]
    for name in left_out:
        shutil.rmtree(site / name, ignore_errors=True)
    for library in site.rglob("*.so*"):
        library.chmod(0o644)
    # What pip notes about the directories of this machine, and headers that nobody compiles with.
    for pattern in ("*.dist-info/direct_url.json", "*.dist-info/REQUESTED", "**/*.h", "**/*.pyx", "**/*.pxd", "**/*.c"):
        for path in site.glob(pattern):
            path.unlink()
    (prefix / "pyvenv.cfg").write_text(f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {version}\n")
    (prefix / "bin").mkdir()
    (prefix / "bin/python3").symlink_to(f"../../../bin/python{version}")
    launcher = prefix / "bin" / package.name
    launcher.write_text(
        f"#!/usr/lib/{package.name}/bin/python3 -I\nfrom {package.module}.cli.main import main\n\nmain()\n"
    )
    launcher.chmod(0o755)


def download(requirements: Path, release: Release, architecture: str, wheels: Path, cache: Path) -> None:
    """Download the wheels of all pinned requirements, checked against their hashes.

    Args:
        requirements: The pins.
        release: Whose Python will run them.
        architecture: As Debian calls it.
        wheels: An empty directory for them, so that no wheel of other pins is taken for one of these.
        cache: Where they are kept; those that are there are not downloaded again.
    """
    cache.mkdir(parents=True, exist_ok=True)
    pinned = ["--no-deps", "--require-hashes", "--find-links", str(cache), "--dest", str(wheels)]
    _pip("download", *pinned, *_target(release, architecture), "-r", str(requirements))
    for wheel in wheels.glob("*.whl"):
        if not (cache / wheel.name).exists():
            shutil.copy(wheel, cache)


def _target(release: Release, architecture: str) -> list[str]:
    machine = _MACHINES[architecture]
    platforms = [option for name in _MANYLINUX for option in ("--platform", f"{name}_{machine}")]
    python = ".".join(map(str, release.python))
    return ["--only-binary", ":all:", "--implementation", "cp", "--python-version", python, *platforms]


def _pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", *arguments]
    subprocess.run(command, check=True)


def _needed(package: Package, release: Release, wheels: Path) -> list[str]:
    """List the projects whose wheels the program needs: what it requires, and what these require."""
    found: dict[str, None] = {}
    waiting = [(_PROJECT, package.extra)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) != (_PROJECT, package.extra) and name in found:
            continue
        found[name] = None
        for text in _metadata(wheels, name).get_all("Requires-Dist") or ():
            requirement = Requirement(text)
            if requirement.marker is None or any(
                requirement.marker.evaluate(_markers(release, wanted)) for wanted in ("", extra)
            ):
                below = str(canonicalize_name(requirement.name))
                waiting += [(below, wanted) for wanted in (requirement.extras or {""})]
    return list(found)


def _markers(release: Release, extra: str) -> dict[str, str]:
    version = ".".join(map(str, release.python))
    return {"python_version": version, "python_full_version": f"{version}.0", "extra": extra}


def _metadata(wheels: Path, name: str) -> Message:
    """Read what a wheel says of itself."""
    (wheel,) = (path for path in wheels.glob("*.whl") if canonicalize_name(path.name.partition("-")[0]) == name)
    with zipfile.ZipFile(wheel) as archive:
        (entry,) = (entry for entry in archive.namelist() if entry.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(entry).decode())
