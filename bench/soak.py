"""Lets a server change all the time and an agent follow it, and watches the agent's memory, threads and descriptors.

It gives samples, and says whether the mirror equals the server at the end; as a program it prints a table.

Run it with `python -m bench.soak --minutes 30`.
"""

import lzma
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click

from bench.corpus import Corpus, build_corpus
from bench.meter import BenchError
from bench.ours import Mirror
from bench.server import Server, running_server
from bench.setting import SUITE, Setting, set_up
from packrat_agent.verify.tree import verify_tree

_PAUSE_S = (0.01, 0.3)
_SAMPLE_S = 0.5
_CATCH_UP_S = 60.0
_FULL_SYNC_INTERVAL_S = 20
_GROWTH_KIB = 12 * 1024
_GROWTH_COUNT = 3


@dataclass(frozen=True, slots=True)
class Sample:
    """The agent at one moment."""

    rss_kib: int
    threads: int
    descriptors: int


@dataclass(frozen=True, slots=True)
class Soaked:
    """What a soak showed: changes made, publications logged, samples, what is wrong at the end."""

    changes: int
    published: int
    samples: tuple[Sample, ...]
    faults: tuple[str, ...]

    def typical(self, part: Sequence[Sample]) -> Sample:
        """The medians of some samples."""
        return Sample(
            int(median(sample.rss_kib for sample in part)),
            int(median(sample.threads for sample in part)),
            int(median(sample.descriptors for sample in part)),
        )

    @property
    def middle(self) -> Sample:
        """The second third, when everything has been done at least once."""
        third = len(self.samples) // 3
        return self.typical(self.samples[third : 2 * third])

    @property
    def end(self) -> Sample:
        """The last third."""
        return self.typical(self.samples[2 * (len(self.samples) // 3) :])


def soak(seconds: float, packages: int, directory: Path | None, tell: Callable[[str], None]) -> Soaked:
    """Change the server for so long, then compare.

    Raises: BenchError where the agent ends, or does not catch up.
    """
    with set_up(directory) as setting:
        corpus = build_corpus(setting.directory / "corpus", packages, packages // 4, lambda count: None)
        with running_server(setting, corpus) as server:
            mirror = Mirror(setting, server, setting.directory / "mirror", _FULL_SYNC_INTERVAL_S)
            with _following(mirror, setting) as (process, said):
                _wait(lambda: any(" checked " in line for line in said), process, said)
                return _soak(seconds, corpus, server, mirror, process, said, tell)


def _soak(
    seconds: float,
    corpus: Corpus,
    server: Server,
    mirror: Mirror,
    process: "subprocess.Popen[str]",
    said: list[str],
    tell: Callable[[str], None],
) -> Soaked:
    chance = random.Random(17)
    there = {package.name: True for package in corpus.packages} | {package.name: False for package in corpus.extra}
    every = {package.name: package for package in (*corpus.packages, *corpus.extra)}
    samples: list[Sample] = []
    changes = 0
    end = time.monotonic() + seconds
    next_sample = 0.0
    while time.monotonic() < end:
        for name in chance.sample(sorted(there), chance.choice((1, 1, 1, 5))):
            there[name] = not there[name]
            server.promote(every[name], there=there[name])
            changes += 1
        if time.monotonic() >= next_sample:
            samples.append(_look(process.pid))
            next_sample = time.monotonic() + _SAMPLE_S
            tell(f"{end - time.monotonic():.0f} s left, {changes} changes, {samples[-1].rss_kib // 1024} MiB")
        time.sleep(chance.uniform(*_PAUSE_S))
    wanted = {name for name, is_there in there.items() if is_there}
    _wait(lambda: _offered(mirror) == wanted, process, said)
    faults = verify_tree(mirror.root, None, lambda files, size: None).faults
    published = sum(" published " in line for line in said)
    return Soaked(changes, published, tuple(samples), tuple(f"{fault.path}: {fault.what}" for fault in faults))


@contextmanager
def _following(mirror: Mirror, setting: Setting) -> Iterator[tuple["subprocess.Popen[str]", list[str]]]:
    process = subprocess.Popen(mirror.line("run"), env=setting.environment, stderr=subprocess.PIPE, text=True)
    said: list[str] = []

    def listen() -> None:
        assert process.stderr is not None
        said.extend(iter(process.stderr.readline, ""))

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    try:
        yield process, said
    finally:
        process.terminate()
        process.wait()
        listener.join(5)


def _wait(seen: Callable[[], bool], process: "subprocess.Popen[str]", said: Sequence[str]) -> None:
    end = time.monotonic() + _CATCH_UP_S
    while not seen():
        if process.poll() is not None or time.monotonic() > end:
            raise BenchError(f"the agent did not get there: {''.join(said[-20:])}")
        time.sleep(0.05)


def _offered(mirror: Mirror) -> set[str]:
    names: set[str] = set()
    for index in (mirror.top / "dists" / SUITE).glob("main/binary-*/Packages.xz"):
        names |= {
            line.partition(": ")[2]
            for line in lzma.decompress(index.read_bytes()).decode().splitlines()
            if line.startswith("Package: ")
        }
    return names


def _look(pid: int) -> Sample:
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return Sample(int(status["VmRSS"].split()[0]), int(status["Threads"]), descriptors)


def is_flat(soaked: Soaked) -> bool:
    """Say whether the end holds no more than the middle did."""
    middle, end = soaked.middle, soaked.end
    return (
        end.rss_kib <= middle.rss_kib + _GROWTH_KIB
        and end.threads <= middle.threads + _GROWTH_COUNT
        and end.descriptors <= middle.descriptors + _GROWTH_COUNT
    )


@click.command()
@click.option("--minutes", type=float, default=30.0, show_default=True, help="How long.")
@click.option("--packages", type=int, default=400, show_default=True, help="How many packages to begin with.")
@click.option("--directory", type=click.Path(path_type=Path), help="Where to work; by default a temporary directory.")
def main(minutes: float, packages: int, directory: Path | None) -> None:
    """Soak a running agent; ends with 1 where it grew, or the mirror is not what the server says."""

    def tell(text: str) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{text}\033[K", err=True, nl=False)

    soaked = soak(minutes * 60, packages, directory, tell)
    click.echo(f"{soaked.changes} changes, {soaked.published} publications, {len(soaked.samples)} samples")
    for name, sample in (("middle", soaked.middle), ("end", soaked.end)):
        click.echo(
            f"{name:<7}{sample.rss_kib // 1024:>5} MiB {sample.threads:>4} threads {sample.descriptors:>4} descriptors"
        )
    for fault in soaked.faults:
        click.echo(f"! {fault}")
    sys.exit(0 if is_flat(soaked) and not soaked.faults else 1)


if __name__ == "__main__":
    main()
