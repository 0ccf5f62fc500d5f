"""Runs the real apt-get in a private root, apart from the machine's own apt configuration.

Source: apt.conf(5), sources.list(5).
"""

import os
from pathlib import Path

from packrat_demo.client_run import ClientRun, run_client

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


class PrivateApt:
    """An apt with its configuration and state below `root`, for one architecture."""

    def __init__(self, root: Path, sources: str, architecture: str = "amd64") -> None:
        for name in ("state/lists/partial", "cache/archives/partial", "etc", "empty", "log", "downloads"):
            (root / name).mkdir(parents=True, exist_ok=True)
        (root / "state/status").touch()
        (root / "etc/sources.list").write_text(sources)
        (root / "apt.conf").write_text(_CONFIG.format(root=root, architecture=architecture))
        self.downloads = root / "downloads"
        self._environment = {**os.environ, "APT_CONFIG": str(root / "apt.conf"), "LC_ALL": "C"}

    def run(self, *arguments: str, program: str = "apt-get", timeout_s: float = 120) -> ClientRun:
        """Run apt-get, or another program of apt, in the downloads directory."""
        return run_client([program, *arguments], self._environment, self.downloads, timeout_s)
