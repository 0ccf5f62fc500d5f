"""packrat-agent as a contender, in each way that it is used."""

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.corpus import Corpus, Package
from bench.meter import TIMEOUT_S, BenchError, Command, Measured, measure, read_peak_kib, reset_peak
from bench.server import MIRROR, REPO, Server
from bench.setting import SUITE, Setting

_ARRIVES_WITHIN_S = 60.0
_REST_S = 1.2
"""An agent that just published waits for about a second before it publishes the same repository again."""


_NEVER_S = 86400
"""An interval of which none ends while something is measured."""


class Mirror:
    """A root_dir with its mirror.conf."""

    def __init__(self, setting: Setting, server: Server, directory: Path, full_sync_interval_s: int = _NEVER_S) -> None:
        self.setting = setting
        self.server = server
        self.root = directory / "www"
        self.config = directory / "mirror.conf"
        self.dist = self.root / REPO / "dists" / SUITE
        self.index = self.dist / "main/binary-amd64/Packages.xz"
        directory.mkdir()
        self.config.touch(mode=0o600)
        self.config.write_text(
            f"[packrat]\nhost: {server.url}\nname: {MIRROR}\npsk: {server.psk}\n\n"
            f"[mirror]\ndescription: Benchmark\nroot_dir: {self.root}\nstate_db: {directory / 'state' / 'state.db'}\n"
            f"gpg_sign_key: {setting.key}\ngnupg_home: {setting.gnupg_home}\n"
            f"full_sync_interval: {full_sync_interval_s}\n"
        )

    def line(self, *arguments: str) -> list[str]:
        """The command line of packrat-agent."""
        return [sys.executable, "-m", "packrat_agent.cli", "--config", str(self.config), *arguments]

    def measure(self, *arguments: str) -> Measured:
        """Run packrat-agent to its end."""
        return measure([Command(self.line(*arguments), self.setting.environment)])


class Sync:
    """`packrat-agent sync`."""

    name = "packrat-agent sync"
    legend = "a whole process: asks for everything, downloads over loopback HTTP, hashes every file on disk, publishes."

    def __init__(self, setting: Setting, server: Server, directory: Path) -> None:
        self._mirror = Mirror(setting, server, directory)
        self.index = self._mirror.index

    def build(self, corpus: Corpus) -> Measured | None:
        """From nothing."""
        return self._mirror.measure("sync")

    def add(self, package: Package) -> Measured | None:
        """One more."""
        self._mirror.server.promote(package, there=True)
        return self._mirror.measure("sync")

    def remove(self, package: Package) -> Measured | None:
        """One less."""
        self._mirror.server.promote(package, there=False)
        return self._mirror.measure("sync")

    def repeat(self, package: Package) -> Measured | None:
        """Asks and looks, writes nothing."""
        return self._mirror.measure("sync")


class Adopting(Sync):
    """`packrat-agent sync --adopt`: like the peers it has the files on disk from the start."""

    name = "packrat-agent sync, files on disk"
    legend = "the same, with the .debs in root_dir from the start and no state database: nothing is downloaded."

    def build(self, corpus: Corpus) -> Measured:
        """From the files alone."""
        for package in corpus.packages:
            target = self._mirror.root / REPO / "pool" / package.name[:6] / package.path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(package.path, target)
        return self._mirror.measure("sync", "--adopt")

    def add(self, package: Package) -> None:
        """As Sync."""

    def remove(self, package: Package) -> None:
        """As Sync."""

    def repeat(self, package: Package) -> None:
        """As Sync."""


class Inside:
    """One pass inside an agent that runs."""

    name = "packrat-agent, the pass alone"
    legend = "inside a running agent, from the start of the pass (asking the server included) until it is published."

    def __init__(self, setting: Setting, server: Server, directory: Path) -> None:
        self._mirror = Mirror(setting, server, directory)
        self.index = self._mirror.index
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.inside", str(self._mirror.config)],
            env=setting.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def _ask(self, *packages: str) -> Measured:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        os.sync()
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(packages) + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise BenchError(f"the agent ended: {self._process.communicate()[1][-1500:]}")
        told = json.loads(answer)
        return Measured(told["seconds"], told["peak_kib"])

    def build(self, corpus: Corpus) -> Measured:
        """The full sync at start."""
        return self._ask()

    def add(self, package: Package) -> Measured:
        """One more."""
        self._mirror.server.promote(package, there=True)
        return self._ask(package.name)

    def remove(self, package: Package) -> Measured:
        """One less."""
        self._mirror.server.promote(package, there=False)
        return self._ask(package.name)

    def repeat(self, package: Package) -> Measured:
        """A hint that turns out to mean nothing."""
        return self._ask(package.name)


class Run:
    """`packrat-agent run`, as an uploader sees it."""

    name = "packrat-agent run, from the tag on"
    legend = "from the moment when the tag request is sent to the server until the new InRelease is on disk."

    def __init__(self, setting: Setting, server: Server, directory: Path) -> None:
        self._mirror = Mirror(setting, server, directory)
        self.index = self._mirror.index
        self._release = self._mirror.dist / "InRelease"
        self._process: subprocess.Popen[str] | None = None
        self._published = threading.Semaphore(0)
        self._checked = threading.Event()
        self._said: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self._said.append(line)
            if " published " in line:
                self._published.release()
            if " checked " in line:
                self._checked.set()
        self._checked.set()

    def build(self, corpus: Corpus) -> Measured:
        """From the start of the process until its first full sync is done."""
        os.sync()
        started = time.perf_counter()
        self._process = subprocess.Popen(
            self._mirror.line("run"), env=self._mirror.setting.environment, stderr=subprocess.PIPE, text=True
        )
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
        if not self._checked.wait(TIMEOUT_S) or self._process.poll() is not None:
            raise BenchError(f"the agent did not finish its first pass: {''.join(self._said)[-1500:]}")
        seconds = time.perf_counter() - started
        self._published.acquire(timeout=_ARRIVES_WITHIN_S)
        return Measured(seconds, read_peak_kib(self._process.pid))

    def add(self, package: Package) -> Measured:
        """One more."""
        return self._promote(package, there=True)

    def remove(self, package: Package) -> Measured:
        """One less."""
        return self._promote(package, there=False)

    def repeat(self, package: Package) -> None:
        """Where nothing changes it only waits."""

    def _promote(self, package: Package, *, there: bool) -> Measured:
        assert self._process is not None
        time.sleep(_REST_S)
        os.sync()
        reset_peak(self._process.pid)
        before = self._release.stat().st_mtime_ns
        try:
            seconds = self._mirror.server.promote_until(
                package, lambda: self._release.stat().st_mtime_ns != before, _ARRIVES_WITHIN_S, there=there
            )
        except TimeoutError:
            raise BenchError(f"{package.name} did not arrive: {''.join(self._said)[-1500:]}") from None
        # The agent has some notes to make before it listens again.
        self._published.acquire(timeout=_ARRIVES_WITHIN_S)
        return Measured(seconds, read_peak_kib(self._process.pid))
