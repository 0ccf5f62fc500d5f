"""Measures what a client notices of the agent's scan: the times of its requests while the tree is scanned, and before.

The tree is twice as large as the memory that the agent and nginx have together, by a memory control group; a client
asks nginx for pieces of an eighth of the files, which fit into that memory. Idle and scan take turns.

Run it as root with `python -m bench.scan`.
"""

import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import click

from bench.arrival import percentile
from bench.corpus import Corpus, build_corpus
from bench.meter import BenchError
from bench.ours import Run
from bench.server import running_server
from bench.setting import set_up
from bench.table import write_bytes, write_seconds
from bench.web import serving
from packrat_core.fs.page_cache import find_uncached

_FILE_BYTES = 16_000_000
_PIECE_BYTES = 64 * 1024
_GROUPS = Path("/sys/fs/cgroup")
_SCANNED_WITHIN_S = 1800


@dataclass(slots=True)
class Times:
    """Seconds of each request, while nothing is done and while a scan goes on; how much of the files stayed cached."""

    idle: list[float] = field(default_factory=list)
    scanned: list[float] = field(default_factory=list)
    cached_before: int = 0
    cached_after: int = 0


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--files", default=48, show_default=True, type=click.IntRange(16, 10_000), help="Of 16 MB each.")
@click.option("--rounds", default=4, show_default=True, type=click.IntRange(1, 1000))
@click.option("--rate", default="50M", show_default=True, help="scan_rate_limit.")
def main(files: int, rounds: int, rate: str) -> None:
    """Measure a client's requests with and without a scan of a tree that is larger than memory."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with set_up(None) as setting, ExitStack() as held:
        corpus = build_corpus(setting.directory / "corpus", files, 0, lambda made: None, "json", file_bytes=_FILE_BYTES)
        server = held.enter_context(running_server(setting, corpus, [Run.lane]))
        run = held.enter_context(Run(setting, server, setting.directory / "run", "json", f"scan_rate_limit: {rate}\n"))
        run.build(corpus)
        group = held.enter_context(limited_memory(corpus.size // 2))
        url = held.enter_context(serving(run.top, group / "cgroup.procs"))
        (group / "cgroup.procs").write_text(str(run.pid))
        hot = [run.top / item.name / item.path.name for item in corpus.packages[::8]]
        os.sync()
        for path in run.top.rglob("*.json"):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        times = measure(run, url, hot, rounds)
    _show(times, corpus)


@contextmanager
def limited_memory(size: int) -> Iterator[Path]:
    """Make a control group with so much memory, page cache included.

    Raises: BenchError
    """
    version1 = (_GROUPS / "memory").exists()
    group = (_GROUPS / "memory" if version1 else _GROUPS) / f"packrat-bench-{os.getpid()}"
    try:
        group.mkdir()
        (group / ("memory.limit_in_bytes" if version1 else "memory.max")).write_text(str(size))
    except OSError as error:
        raise BenchError(
            f"can't make a memory control group: {error}; be root, on a host with control groups"
        ) from None
    try:
        yield group
    finally:
        while pids := (group / "cgroup.procs").read_text().split():
            (group.parent / "cgroup.procs").write_text(pids[0])
        group.rmdir()


def measure(run: Run, url: str, hot: Sequence[Path], rounds: int) -> Times:
    """Ask for pieces, in turn while nothing is done and while the agent scans."""
    times, ending, scanning = Times(), threading.Event(), threading.Event()
    chance = random.Random(1)
    asked = threading.Thread(target=_ask, args=(url, run.top, hot, times, scanning, ending))
    # By nginx, so that the pages count for its group.
    connection = HTTPConnection(urlsplit(url).netloc)
    for path in hot:
        connection.request("GET", f"/{path.relative_to(run.top)}")
        connection.getresponse().read()
    asked.start()
    try:
        for _ in range(rounds):
            started = time.monotonic()
            times.cached_before += count_cached(hot)
            scanning.set()
            os.kill(run.pid, signal.SIGUSR1)
            run.wait_until_checked(_SCANNED_WITHIN_S)
            scanning.clear()
            times.cached_after += count_cached(hot)
            ending.wait(max(2.0, time.monotonic() - started) * chance.uniform(0.9, 1.1))
    finally:
        ending.set()
        asked.join()
    return times


def _ask(
    url: str, top: Path, hot: Sequence[Path], times: Times, scanning: threading.Event, ending: threading.Event
) -> None:
    connection, chance = HTTPConnection(urlsplit(url).netloc), random.Random(2)
    while not ending.is_set():
        path = chance.choice(hot)
        start = chance.randrange(_FILE_BYTES - _PIECE_BYTES)
        was_scanning, began = scanning.is_set(), time.perf_counter()
        range_ = {"Range": f"bytes={start}-{start + _PIECE_BYTES - 1}"}
        connection.request("GET", f"/{path.relative_to(top)}", headers=range_)
        connection.getresponse().read()
        seconds = time.perf_counter() - began
        if was_scanning == scanning.is_set():
            (times.scanned if was_scanning else times.idle).append(seconds)
        # As many clients do, not as many requests as the machine can do.
        time.sleep(0.002)


def count_cached(paths: Sequence[Path]) -> int:
    """How many bytes of the files are in the page cache."""
    cached = 0
    for path in paths:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            cached += size - sum(end - start for start, end in find_uncached(file.fileno(), size))
    return cached


def _show(times: Times, corpus: Corpus) -> None:
    told = {
        name: {
            "requests": len(values),
            **{f"p{share * 100:g}_s": percentile(values, share) for share in (0.5, 0.99)},
        }
        for name, values in (("idle", times.idle), ("scan", times.scanned))
    }
    click.echo(json.dumps(told))
    for name, values in (("idle", times.idle), ("during a scan", times.scanned)):
        halfway, most = (write_seconds(percentile(values, share)) for share in (0.5, 0.99))
        click.echo(f"{name}: {len(values)} requests, p50 {halfway}, p99 {most}")
    ratio = percentile(times.scanned, 0.99) / percentile(times.idle, 0.99)
    click.echo(f"p99 during a scan : idle = {ratio:.2f}")
    kept = times.cached_after / max(1, times.cached_before)
    click.echo(f"tree {write_bytes(corpus.size)}, memory half of that; {kept:.0%} of what was cached stayed so")


if __name__ == "__main__":
    main()
