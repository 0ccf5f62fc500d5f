"""What everybody who is measured must be able to do, and how they are led through it, in turn."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from bench.corpus import Corpus, Package
from bench.meter import BenchError, Measured, summarize

WORKS = ("full build", "one more", "one less", "nothing changed")


class Contender(Protocol):
    """One way to make a repository; a work that it can't be measured at gives None."""

    name: str
    legend: str

    def build(self, corpus: Corpus) -> Measured | None:
        """From nothing to a published repository of all packages."""

    def add(self, package: Package) -> Measured | None:
        """One package more."""

    def remove(self, package: Package) -> Measured | None:
        """That package less."""

    def repeat(self, package: Package) -> Measured | None:
        """The same again, though nothing changed since."""

    def count(self) -> int | None:
        """How many packages its index has; None if it makes no index."""

    def pulled_bytes(self, package: Package) -> int | None:
        """What a client downloads to learn of a new package; None if that is nothing to compare."""


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one contender: work → value, None where it has no such work."""

    name: str
    kind: str
    packages: int
    bytes: int
    cells: dict[str, Measured | None]
    pulled_bytes: int | None = None
    rounds: dict[str, list[Measured]] = field(default_factory=dict)


class Race:
    """Leads contenders through all works: each builds, then they do the small works, round by round in turn."""

    def __init__(self, contenders: Sequence[Contender], corpus: Corpus, on_progress: Callable[[str], None]) -> None:
        self._contenders = contenders
        self._corpus = corpus
        self._on_progress = on_progress
        self._rounds: dict[str, dict[str, list[Measured]]] = {
            contender.name: {work: [] for work in WORKS} for contender in contenders
        }
        self._pulled: dict[str, int | None] = {}

    def run(self) -> Iterator[Row]:
        """Measure everything, and yield a row a contender.

        Raises: BenchError where one of them did not do what it was to do.
        """
        corpus, count = self._corpus, len(self._corpus.packages)
        for contender in self._contenders:
            self._on_progress(f"{contender.name}: {WORKS[0]} of {count}")
            self._note(contender, WORKS[0], contender.build(corpus), count)
        for number, package in enumerate(corpus.extra, start=1):
            for contender in self._contenders:
                self._on_progress(f"{contender.name}: changes at {count}, round {number} of {len(corpus.extra)}")
                self._note(contender, WORKS[1], contender.add(package), count + 1)
                if self._rounds[contender.name][WORKS[1]]:
                    self._pulled[contender.name] = contender.pulled_bytes(package)
                self._note(contender, WORKS[2], contender.remove(package), count)
                self._note(contender, WORKS[3], contender.repeat(package), count)
        for contender in self._contenders:
            rounds = self._rounds[contender.name]
            cells = {work: summarize(values) if values else None for work, values in rounds.items()}
            pulled = self._pulled.get(contender.name)
            yield Row(contender.name, corpus.kind, count, corpus.size, cells, pulled, rounds)

    def _note(self, contender: Contender, work: str, measured: Measured | None, expected: int) -> None:
        if measured is None:
            return
        self._rounds[contender.name][work].append(measured)
        found = contender.count()
        if found not in (None, expected):
            raise BenchError(f"{contender.name}: after `{work}` its index has {found} packages, not {expected}")
