"""Runs the real apt-get in a private root, untouched by the machine's own apt configuration.

Takes: a directory, the lines of a sources.list.
Gives: what apt-get said and its exit code.
Touches: the directory; the network, through apt-get.

Source: apt.conf(5), sources.list(5).
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_CONFIG = """\
Dir "{root}";
Dir::State "{root}/state";
Dir::State::status "{root}/state/status";
Dir::Cache "{root}/cache";
Dir::Etc "{root}/etc";
Dir::Etc::sourcelist "{root}/etc/sources.list";
Dir::Etc::sourceparts "{root}/empty";
Dir::Etc::Parts "{root}/empty";
Dir::Etc::Main "{root}/empty/apt.conf";
Dir::Etc::Preferences "{root}/empty/preferences";
Dir::Etc::Trusted "{root}/empty/trusted.gpg";
Dir::Etc::TrustedParts "{root}/empty";
Dir::Etc::PreferencesParts "{root}/empty";
Dir::Log "{root}/log";
APT::Architecture "{architecture}";
APT::Architectures {{ "{architecture}"; }};
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::http::Proxy "DIRECT";
"""


@dataclass(frozen=True, slots=True)
class Said:
    """One run of apt-get."""

    command: str
    output: str
    exit_code: int


class PrivateApt:
    """An apt of its own below `root`, for one architecture."""

    def __init__(self, root: Path, sources: str, architecture: str = "amd64") -> None:
        for name in ("state/lists/partial", "cache/archives/partial", "etc", "empty", "log", "downloads"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "state/status").touch()
        (root / "etc/sources.list").write_text(sources)
        (root / "apt.conf").write_text(_CONFIG.format(root=root, architecture=architecture))
        self.downloads = root / "downloads"
        self._environment = {**os.environ, "APT_CONFIG": str(root / "apt.conf"), "LC_ALL": "C"}

    def run(self, *arguments: str, program: str = "apt-get", timeout_s: float = 120) -> Said:
        """Run apt-get (or another program of apt's) in the downloads directory."""
        done = subprocess.run(
            [program, *arguments],
            env=self._environment,
            cwd=self.downloads,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            timeout=timeout_s,
            check=False,
        )
        return Said(" ".join([program, *arguments]), done.stdout.decode("utf-8", "replace"), done.returncode)
