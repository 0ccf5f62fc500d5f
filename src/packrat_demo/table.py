"""The demo's row for each repository type: the packages that go into it, the clients that prove it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from packrat_demo import packages, proofs
from packrat_demo.packages import Sample
from packrat_demo.proofs import Proof


@dataclass(frozen=True, slots=True)
class DemoType:
    """The samples and proofs of one type."""

    samples: tuple[Sample, ...]
    proofs: tuple[Proof, ...]

    @property
    def distro_versions(self) -> tuple[str, ...]:
        """The distribution versions that its samples go to."""
        return tuple(dict.fromkeys(name for sample in self.samples for name in sample.distro_versions))


DEMO_TYPES: Mapping[str, DemoType] = {
    "apt": DemoType(packages.APT, proofs.APT),
    "yum": DemoType(packages.YUM, proofs.YUM),
    "pypi": DemoType(packages.PYPI, proofs.PYPI),
    "docker": DemoType(packages.DOCKER, proofs.DOCKER),
    "json": DemoType(packages.JSON, proofs.JSON),
}


def samples_of(kinds: Iterable[str]) -> Iterator[Sample]:
    """Give the samples of these types, one type after the other."""
    for kind in kinds:
        yield from DEMO_TYPES[kind].samples
