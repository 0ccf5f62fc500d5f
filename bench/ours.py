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
from bench.costs import read_costs
from bench.meter import TIMEOUT_S, BenchError, Command, Measured, measure, read_peak_kib, reset_peak
from bench.server import LANE, Server
from bench.setting import Setting
from bench.trees import TREES

_ARRIVES_WITHIN_S = 300.0
_REST_S = 1.2
"""An agent that just published waits for about a second before it publishes the same repository again."""
_NEVER_S = 86400
"""An interval of which none ends while something is measured."""


class Mirror:
    """A root_dir with its mirror.conf, in a lane of the server."""

    def __init__(
        self,
        setting: Setting,
        server: Server,
        directory: Path,
        full_sync_interval_s: int = _NEVER_S,
        lane: str = LANE,
        more: str = "",
    ) -> None:
        self.setting = setting
        self.server = server
        self.lane = lane
        self.root = directory / "www"
        self.config = directory / "mirror.conf"
        self.top = self.root / lane
        directory.mkdir()
        self.config.touch(mode=0o600)
        self.config.write_text(
            f"[packrat]\nhost: {server.url}\nname: {lane}\npsk: {server.psks[lane]}\n\n"
            f"[mirror]\ndescription: Benchmark\nroot_dir: {self.root}\nstate_db: {directory / 'state' / 'state.db'}\n"
            f"gpg_sign_key: {setting.key}\ngnupg_home: {setting.gnupg_home}\nyum_sign_packages: none\n"
            f"full_sync_interval: {full_sync_interval_s}\n{more}"
        )

    def line(self, *arguments: str) -> list[str]:
        """The command line of packrat-agent."""
        return [sys.executable, "-m", "packrat_agent.cli", "--config", str(self.config), *arguments]

    def measure(self, *arguments: str) -> Measured:
        """Run packrat-agent to its end."""
        return measure([Command(self.line(*arguments), self.setting.environment)], self.setting.daemons)

    def promote(self, package: Package, *, there: bool) -> None:
        """Tag a package in this lane, or take the tag off."""
        self.server.promote(package, there=there, lane=self.lane)


class _Ours:
    """What all ways have in common: where the tree is, and how it is read."""

    lane = LANE

    def __init__(self, setting: Setting, server: Server, directory: Path, kind: str, more: str = "") -> None:
        self._mirror = Mirror(setting, server, directory, lane=self.lane, more=more)
        self._tree = TREES[kind]

    def count(self) -> int:
        """Packages in the index."""
        return self._tree.count(self._mirror.top)

    def pulled_bytes(self, package: Package) -> int:
        """What a client downloads to learn of a new package."""
        return self._tree.pulled(self._mirror.top, package)


class Sync(_Ours):
    """`packrat-agent sync`."""

    name = "packrat-agent sync"
    legend = "a whole process: asks for everything, downloads over loopback HTTP, hashes every file on disk, publishes."
    lane = "sync"

    def build(self, corpus: Corpus) -> Measured | None:
        """From nothing."""
        return self._mirror.measure("sync")

    def add(self, package: Package) -> Measured | None:
        """One more."""
        self._mirror.promote(package, there=True)
        return self._mirror.measure("sync")

    def remove(self, package: Package) -> Measured | None:
        """One less."""
        self._mirror.promote(package, there=False)
        return self._mirror.measure("sync")

    def repeat(self, package: Package) -> Measured | None:
        """Asks and looks, writes nothing."""
        return self._mirror.measure("sync")


class Adopting(Sync):
    """`packrat-agent sync --adopt`: like the peers it has the files on disk from the start."""

    name = "packrat-agent sync, files on disk"
    legend = "the same, with the files in root_dir from the start and no state database: nothing is downloaded."
    lane = "adopt"

    def build(self, corpus: Corpus) -> Measured:
        """From the files alone."""
        for package in corpus.packages:
            target = self._mirror.top / self._tree.former(package) / package.path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(package.path, target)
        return self._mirror.measure("sync", "--adopt")

    def add(self, package: Package) -> None:
        """As Sync."""

    def remove(self, package: Package) -> None:
        """As Sync."""

    def repeat(self, package: Package) -> None:
        """As Sync."""


class Inside(_Ours):
    """One sync inside an agent that runs."""

    name = "packrat-agent, the sync alone"
    legend = "inside a running agent, from the start of the sync (asking the server included) until it is published."
    lane = "inside"

    def __init__(self, setting: Setting, server: Server, directory: Path, kind: str) -> None:
        super().__init__(setting, server, directory, kind)
        self._standing: Package | None = None
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
        # Where no other contender takes its turn in between, it would wait within what is measured.
        time.sleep(_REST_S)
        os.sync()
        daemons, before = self._mirror.setting.daemons, read_costs(self._process.pid)
        daemons_before = daemons.read_cpu_s()
        with suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(packages) + "\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise BenchError(f"the agent ended: {self._process.communicate()[1][-1500:]}")
        told, cost = json.loads(answer), read_costs(self._process.pid).since(before)
        beside = daemons.since(daemons_before)
        return Measured(told["seconds"], told["peak_kib"], cost.cpu_s, beside, cost.written_bytes)

    def build(self, corpus: Corpus) -> Measured:
        """The full sync at start."""
        self._standing = corpus.packages[0]
        return self._ask()

    def add(self, package: Package) -> Measured:
        """One more."""
        self._mirror.promote(package, there=True)
        return self._ask(package.name)

    def remove(self, package: Package) -> Measured:
        """One less."""
        self._mirror.promote(package, there=False)
        return self._ask(package.name)

    def repeat(self, package: Package) -> Measured:
        """News of a package that is as it was by the time it is asked for."""
        changed = self._standing or package
        for there in (False, True):
            self._mirror.promote(changed, there=there)
        return self._ask(changed.name)


class Run(_Ours):
    """`packrat-agent run`, as an uploader sees it."""

    name = "packrat-agent run, from the tag on"
    legend = "from the moment when the tag request is sent to the server until the new index is on disk."
    lane = "run"

    def __init__(self, setting: Setting, server: Server, directory: Path, kind: str, more: str = "") -> None:
        super().__init__(setting, server, directory, kind, more)
        self._process: subprocess.Popen[str] | None = None
        self._published = threading.Semaphore(0)
        self._checked = threading.Semaphore(0)
        self._said: list[str] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    @property
    def top(self) -> Path:
        """The top directory of the repository."""
        return self._mirror.top

    @property
    def pid(self) -> int:
        """The agent's process."""
        assert self._process is not None
        return self._process.pid

    def wait_until_checked(self, within_s: float) -> None:
        """Wait until one more full sync is over.

        Raises: BenchError
        """
        if not self._checked.acquire(timeout=within_s):
            raise BenchError(f"no full sync ended: {''.join(self._said)[-1500:]}")

    def _listen(self, process: "subprocess.Popen[str]") -> None:
        assert process.stderr is not None
        for line in process.stderr:
            self._said.append(line)
            if " published " in line:
                self._published.release()
            if " checked " in line:
                self._checked.release()
        self._checked.release()

    def build(self, corpus: Corpus) -> Measured:
        """From the start of the process until its first full sync is done."""
        os.sync()
        started, daemons = time.perf_counter(), self._mirror.setting.daemons
        before = daemons.read_cpu_s()
        self._process = subprocess.Popen(
            self._mirror.line("run"), env=self._mirror.setting.environment, stderr=subprocess.PIPE, text=True
        )
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
        self.wait_until_checked(TIMEOUT_S)
        if self._process.poll() is not None:
            raise BenchError(f"the agent ended: {''.join(self._said)[-1500:]}")
        seconds, pid = time.perf_counter() - started, self._process.pid
        self._published.acquire(timeout=_ARRIVES_WITHIN_S)
        cost = read_costs(pid)
        return Measured(seconds, read_peak_kib(pid), cost.cpu_s, daemons.since(before), cost.written_bytes)

    def add(self, package: Package) -> Measured:
        """One more."""
        return self.promote(package, there=True)

    def remove(self, package: Package) -> Measured:
        """One less."""
        return self.promote(package, there=False)

    def repeat(self, package: Package) -> None:
        """Where nothing changes it only waits."""

    def promote(self, package: Package, *, there: bool) -> Measured:
        """Tag a package or take the tag off, and measure until that is published.

        Raises: BenchError
        """
        assert self._process is not None
        pid, daemons, pointer = self._process.pid, self._mirror.setting.daemons, self._tree.pointer
        path = pointer(self._mirror.top, package)
        time.sleep(_REST_S)
        os.sync()
        reset_peak(pid)
        before, daemons_before, stamp = read_costs(pid), daemons.read_cpu_s(), _stamp(path)
        try:
            seconds = self._mirror.server.promote_until(
                package, lambda: _stamp(path) != stamp, _ARRIVES_WITHIN_S, there=there, lane=self.lane
            )
        except TimeoutError:
            raise BenchError(f"{package.name} did not arrive: {''.join(self._said)[-1500:]}") from None
        # The agent has some notes to make before it listens again.
        self._published.acquire(timeout=_ARRIVES_WITHIN_S)
        cost = read_costs(pid).since(before)
        return Measured(seconds, read_peak_kib(pid), cost.cpu_s, daemons.since(daemons_before), cost.written_bytes)


def _stamp(path: Path) -> int:
    """When a pointer changed; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
