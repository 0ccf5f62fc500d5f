"""Says on what machine and with which programs something was measured.

The words hold no names or paths of the machine.
"""

import os
import platform
import re
import sqlite3
import subprocess
from pathlib import Path

_ASK = {
    "aptly": ["aptly", "version"],
    "reprepro": ["reprepro", "--version"],
    "apt-ftparchive": ["apt-ftparchive", "--version"],
    "createrepo_c": ["createrepo_c", "--version"],
    "aria2c": ["aria2c", "--version"],
    "gpg": ["gpg", "--version"],
}


def describe_machine(directory: Path) -> dict[str, str]:
    """Name processor, memory, kernel, the filesystem of `directory`, and the versions of all that takes part."""
    told = {
        "processor": f"{os.cpu_count()} cores, {_find('/proc/cpuinfo', r'model name.*: (.+)')}",
        "memory": f"{round(int(_find('/proc/meminfo', r'MemTotal: *([0-9]+)')) / 2**20)} GiB",
        "kernel": platform.release(),
        "filesystem": _filesystem(directory),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        # Others at work at the same time make every figure larger.
        "load before": f"{os.getloadavg()[0]:.1f}",
    }
    for name, command in _ASK.items():
        told[name] = _version(command)
    return told


def _find(path: str, pattern: str) -> str:
    found = re.search(pattern, Path(path).read_text())
    return found[1] if found else "0"


def _filesystem(directory: Path) -> str:
    done = subprocess.run(["stat", "-f", "-c", "%T", directory], capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _version(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "not installed"
    found = re.search(r"\d+(\.\d+)+", done.stdout + done.stderr)
    return found[0] if found else "?"
