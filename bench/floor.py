"""The floor: what nobody who publishes a signed index can do without, done by itself on the same files in the same run.

A full build has to hash every file, compress an index of all packages, sign it and flush it to the disk. One package
more has to hash that file, sign, flush an index; sending is what a download over loopback costs both ends.
"""

import gzip
import hashlib
import lzma
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.corpus import Corpus, Package
from bench.costs import read_costs
from bench.meter import Measured, add_up, read_peak_kib
from bench.setting import Setting

_CHUNK_BYTES = 1024 * 1024
_LINES = b"Package: %s\nVersion: %s\nFilename: pool/%s\nSize: %d\nSHA256: %s\n\n"


class Floor:
    """As a contender; `steps` has what each of the parts cost, by work."""

    name = "the floor"
    legend = "SHA-256 of the new files; their index by xz and gzip; two signatures by gpg; fsync; sending; no more."

    def __init__(self, setting: Setting, directory: Path) -> None:
        self._setting = setting
        self._top = directory
        self._corpus: Corpus | None = None
        self.steps: dict[str, dict[str, list[float]]] = {}
        directory.mkdir()

    def build(self, corpus: Corpus) -> Measured:
        """Everything once."""
        self._corpus = corpus
        return self._do("full build", corpus.packages)

    def add(self, package: Package) -> Measured:
        """The file, and what an index of all packages needs that is compressed in parts."""
        return self._do("one more", (package,))

    def remove(self, package: Package) -> Measured:
        """The same without a file."""
        return self._do("one less", ())

    def repeat(self, package: Package) -> None:
        """Nothing has to be done."""

    def count(self) -> None:
        """It makes no index that a client could read."""

    def pulled_bytes(self, package: Package) -> None:
        """As count."""

    def _do(self, work: str, packages: Sequence[Package]) -> Measured:
        assert self._corpus is not None
        text = b"".join(
            _LINES % (p.name.encode(), p.version.encode(), p.path.name.encode(), p.size, p.sha256.encode())
            for p in (packages or self._corpus.packages[:1])
        )
        parts: dict[str, Callable[[], None]] = {
            "sha256": lambda: _hash(packages),
            "compress": lambda: _compress(text, self._top),
            "sign": self._sign,
            "fsync": lambda: _flush(self._top),
            "send": lambda: _send(packages),
        }
        measured: list[Measured] = []
        for name, part in parts.items():
            os.sync()
            daemons, before, started = self._setting.daemons.read_cpu_s(), read_costs(os.getpid()), time.perf_counter()
            part()
            seconds, cost = time.perf_counter() - started, read_costs(os.getpid()).since(before)
            beside = {"gpg-agent": self._setting.daemons.since(daemons).get("gpg-agent", 0.0)}
            measured.append(Measured(seconds, 0, cost.cpu_s, beside, cost.written_bytes))
            self.steps.setdefault(work, {}).setdefault(name, []).append(measured[-1].all_cpu_s)
        whole = add_up(measured)
        return Measured(whole.seconds, read_peak_kib(os.getpid()), whole.cpu_s, whole.daemons_s, whole.written_bytes)

    def _sign(self) -> None:
        signed = self._top / "index.gz"
        gpg = ["gpg", "--batch", "--no-tty", "--yes", "--local-user", self._setting.key]
        for options in (["--armor", "--detach-sign"], ["--detach-sign"]):
            subprocess.run([*gpg, *options, signed], env=self._setting.environment, check=True, capture_output=True)


def _hash(packages: Sequence[Package]) -> None:
    for package in packages:
        with package.path.open("rb") as file:
            hashlib.file_digest(file, "sha256")


def _compress(text: bytes, top: Path) -> None:
    (top / "index.xz").write_bytes(lzma.compress(text))
    (top / "index.gz").write_bytes(gzip.compress(text, mtime=0))


def _flush(top: Path) -> None:
    for path in (*sorted(top.iterdir()), top):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def _send(packages: Sequence[Package]) -> None:
    """Send all files through one connection on loopback."""
    here, there = socket.socketpair()

    def receive() -> None:
        while there.recv(_CHUNK_BYTES):
            pass

    with here, there:
        receiver = threading.Thread(target=receive)
        receiver.start()
        for package in packages:
            with package.path.open("rb") as file:
                here.sendfile(file)
        here.shutdown(socket.SHUT_WR)
        receiver.join()
