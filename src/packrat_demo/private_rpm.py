"""Runs the real dnf and zypper in private roots, apart from the machine's own configuration.

Source: dnf(8), dnf.conf(5), zypper(8).
"""

import os
import signal
from contextlib import suppress
from pathlib import Path

from packrat_demo.client_run import ClientRun, run_client


class PrivateDnf:
    """A dnf with its configuration and state below `root`; it installs into `target`."""

    def __init__(self, root: Path, repo_file: str, arch: str = "x86_64") -> None:
        self.target = root / "target"
        self._root = root
        for path in (root / "repos", root / "log", self.target):
            path.mkdir(parents=True, exist_ok=True)
        (root / "repos/mirror.repo").write_text(repo_file)
        (root / "dnf.conf").write_text("[main]\nplugins=0\nbest=1\n")
        self._options = (
            *(f"--config={root / 'dnf.conf'}", f"--installroot={self.target}", "--releasever=9", f"--forcearch={arch}"),
            *(f"--setopt=reposdir={root / 'repos'}", f"--setopt=cachedir={root / 'cache'}", "--assumeyes"),
            *(f"--setopt=logdir={root / 'log'}", f"--setopt=varsdir={root}", "--setopt=retries=1"),
        )

    def run(self, *arguments: str, plugins: Path | None = None, timeout_s: float = 120) -> ClientRun:
        """Run dnf; `plugins`: a directory of dist-packages with dnf's plugins."""
        options: tuple[str, ...] = self._options
        environment = _environment()
        if plugins is not None:
            options = (*options, "--setopt=plugins=1", f"--setopt=pluginpath={plugins / 'dnf-plugins'}")
            environment["PYTHONPATH"] = str(plugins)
        try:
            return run_client(["dnf", *options, *arguments], environment, self._root, timeout_s)
        finally:
            _end_agents(self._root)


class PrivateZypper:
    """A zypper with its configuration and state in `root`, which it installs into."""

    def __init__(self, root: Path, repo_file: str) -> None:
        self._root = root
        (root / "etc/zypp/repos.d").mkdir(parents=True, exist_ok=True)
        (root / "etc/zypp/repos.d/mirror.repo").write_text(repo_file)

    def run(self, *arguments: str, trust_new_keys: bool = True, timeout_s: float = 120) -> ClientRun:
        """Run zypper; `trust_new_keys`: accept the key that the repository offers."""
        options = ["--root", str(self._root), "--non-interactive"]
        if trust_new_keys:
            options.append("--gpg-auto-import-keys")
        try:
            return run_client(["zypper", *options, *arguments], _environment(), self._root, timeout_s)
        finally:
            _end_agents(self._root)


def _environment() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def _end_agents(root: Path) -> None:
    """End the gpg-agents that a client leaves behind, recognized by a home below `root`."""
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if words[0].endswith(b"gpg-agent") and any(word.startswith(f"{root}/".encode()) for word in words):
                os.kill(int(process.name), signal.SIGTERM)
