"""What everybody who is measured must be able to do."""

import lzma
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.corpus import Corpus, Package
from bench.meter import BenchError, Measured, summarize

WORKS = ("full build", "one more", "one less", "nothing changed")


class Contender(Protocol):
    """One way to make a signed apt repository; a work that it can't be measured at gives None."""

    name: str
    legend: str

    @property
    def index(self) -> Path:
        """The Packages that clients would read, plain or as Packages.xz."""

    def build(self, corpus: Corpus) -> Measured | None:
        """From nothing to a published repository of all packages."""

    def add(self, package: Package) -> Measured | None:
        """One package more."""

    def remove(self, package: Package) -> Measured | None:
        """That package less."""

    def repeat(self, package: Package) -> Measured | None:
        """The same again, though nothing changed since."""


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one contender: work → value, None where it has no such work."""

    name: str
    packages: int
    cells: dict[str, Measured | None]
    rounds: dict[str, list[Measured]] = field(default_factory=dict)


def lead(contender: Contender, corpus: Corpus, on_progress: Callable[[str], None]) -> Row:
    """Lead a contender through all works, the small ones once with each extra package, and check what it published.

    Raises: BenchError where it did not do what it was to do.
    """
    count = len(corpus.packages)
    rounds: dict[str, list[Measured]] = {work: [] for work in WORKS}

    def note(work: str, measured: Measured | None, expected: int) -> None:
        if measured is None:
            return
        rounds[work].append(measured)
        found = count_packages(contender.index)
        if found != expected:
            raise BenchError(f"{contender.name}: after `{work}` its index has {found} packages, not {expected}")

    on_progress(f"{WORKS[0]} of {count}")
    note(WORKS[0], contender.build(corpus), count)
    for number, package in enumerate(corpus.extra, start=1):
        on_progress(f"changes at {count}, round {number} of {len(corpus.extra)}")
        note(WORKS[1], contender.add(package), count + 1)
        note(WORKS[2], contender.remove(package), count)
        note(WORKS[3], contender.repeat(package), count)
    cells = {work: _summarize(values) for work, values in rounds.items()}
    return Row(contender.name, count, cells, rounds)


def _summarize(values: Sequence[Measured]) -> Measured | None:
    return summarize(values) if values else None


def count_packages(index: Path) -> int:
    """How many packages a Packages file lists, plain or compressed; 0 where there is none."""
    if not index.exists():
        return 0
    text = index.read_bytes()
    if index.suffix == ".xz":
        text = lzma.decompress(text)
    return text.count(b"\nPackage: ") + text.startswith(b"Package: ")
