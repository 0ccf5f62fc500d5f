"""How long a package takes from the tag to a client: until InRelease is there, and until apt has installed it.

apt is a real one with a directory of its own. It begins, with `apt-get update` from a real nginx, once InRelease is
there.
"""

import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.corpus import Package
from bench.meter import BenchError
from bench.ours import Run
from bench.setting import SUITE, Setting
from bench.web import serving

_FOLDERS = (
    *("etc/apt/apt.conf.d", "etc/apt/preferences.d", "lists/partial", "cache/archives/partial"),
    *("target/var/lib/dpkg/info", "target/var/lib/dpkg/updates", "target/var/lib/dpkg/triggers"),
)


@dataclass(frozen=True, slots=True)
class Arrival:
    """Seconds of each package: until the new InRelease is on disk, until a real apt-get has installed it."""

    packages: int
    to_index_s: tuple[float, ...]
    to_install_s: tuple[float, ...]


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest of the values that is not below so large a share of them."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -int(-share * len(ordered) // 1) - 1))]


def measure_arrival(
    setting: Setting, run: Run, extra: Sequence[Package], count: int, on_progress: Callable[[str], None]
) -> Arrival:
    """Tag and install packages with an agent that runs.

    Raises: BenchError
    """
    to_index: list[float] = []
    to_install: list[float] = []
    for number, package in enumerate(extra, start=1):
        on_progress(f"from the tag to InRelease, {number} of {len(extra)}")
        to_index.append(run.promote(package, there=True).seconds)
        run.promote(package, there=False)
    with serving(run.top) as url:
        client = _Apt(setting, url)
        for number, package in enumerate(extra, start=1):
            on_progress(f"from the tag to apt-get install, {number} of {len(extra)}")
            published_s = run.promote(package, there=True).seconds
            started = time.perf_counter()
            client.install(package)
            to_install.append(published_s + time.perf_counter() - started)
            run.promote(package, there=False)
    return Arrival(count, tuple(to_index), tuple(to_install))


class _Apt:
    """apt-get with a directory of its own, that installs into a root of its own."""

    def __init__(self, setting: Setting, url: str) -> None:
        self._environment = dict(setting.environment)
        top = setting.directory / "apt"
        for folder in _FOLDERS:
            (top / folder).mkdir(parents=True, exist_ok=True)
        status = top / "target/var/lib/dpkg/status"
        status.touch()
        key = top / "key.asc"
        export = ["gpg", "--batch", "--armor", "--export", setting.key]
        key.write_bytes(subprocess.run(export, env=self._environment, capture_output=True, check=True).stdout)
        (top / "etc/apt/sources.list").write_text(f"deb [arch=amd64 signed-by={key}] {url} {SUITE} main\n")
        self._options = [
            option
            for name, value in {
                "Dir::Etc": top / "etc/apt",
                "Dir::State::lists": top / "lists",
                "Dir::State::status": status,
                "Dir::Cache": top / "cache",
                "APT::Sandbox::User": "root",
                "APT::Architecture": "amd64",
                "DPkg::Options::": f"--root={top / 'target'}",
                "Acquire::Languages": "none",
                "Debug::NoLocking": "true",
            }.items()
            for option in ("-o", f"{name}={value}")
        ]
        self._options += ["-o", "DPkg::Options::=--log=/dev/null", "-o", "Dir::Log=/dev"]
        self._update()

    def _apt(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        line = ["apt-get", *self._options, *arguments]
        return subprocess.run(line, env=self._environment, capture_output=True, text=True, check=False)

    def _update(self) -> None:
        told = self._apt("update")
        if told.returncode != 0:
            raise BenchError(f"apt-get update failed: {(told.stdout + told.stderr)[-1000:]}")

    def install(self, package: Package) -> None:
        """Update and install.

        Raises: BenchError
        """
        self._update()
        told = self._apt("-y", "--no-install-recommends", "install", package.name)
        if told.returncode != 0:
            raise BenchError(f"apt-get install failed: {(told.stdout + told.stderr)[-1000:]}")
