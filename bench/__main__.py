"""`python -m bench`: measures packrat-agent beside the programs that do the same, on the same packages, in one run.

It prints tables, keeps a JSON file in bench/results, and draws plots.
"""

import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import click

from bench.arrival import Arrival, measure_arrival
from bench.contender import Contender, Race, Row
from bench.corpus import Corpus, build_corpus
from bench.floor import Floor
from bench.machine import describe_machine
from bench.meter import BenchError
from bench.ours import Adopting, Inside, Run, Sync
from bench.peers import Aria2, Createrepo, DumbPypi
from bench.peers_apt import Aptly, Ftparchive, FtparchiveXz, Reprepro
from bench.server import running_server
from bench.setting import Setting, set_up
from bench.table import draw_plots, save, write_arrival, write_steps, write_tables
from packrat_core.errors import PackratError

OURS: dict[str, "type[Inside | Run | Sync]"] = {"run": Run, "inside": Inside, "sync": Sync, "adopt": Adopting}
PEERS: Mapping[str, Mapping[str, Callable[[Setting, Path], Contender]]] = {
    "apt": {
        "aptly": Aptly,
        "reprepro": Reprepro,
        "apt-ftparchive": Ftparchive,
        "apt-ftparchive-xz": FtparchiveXz,
        "floor": Floor,
    },
    "yum": {"createrepo_c": Createrepo, "floor": Floor},
    "pypi": {"dumb-pypi": DumbPypi, "floor": Floor},
    "docker": {"floor": Floor},
    "json": {"aria2c": Aria2, "floor": Floor},
}
SIZES = {
    "apt": (10_000, 100_000),
    "yum": (5000, 20_000),
    "pypi": (1000, 10_000),
    "docker": (200, 2000),
    "json": (1000, 10_000),
}
_QUICK = {"apt": (200, 1000), "yum": (200,), "pypi": (200,), "docker": (50,), "json": (200,)}
_REAL_SIZED = {"apt": 1000, "yum": 500, "pypi": 500, "docker": 100, "json": 500}

_NOTES = """\
Wall times are medians of {rounds} rounds, processor times means, memory is the largest peak of any process of the work.
CPU is that of the program and its children; gpg-agent's and the packrat server's stand beside it. `ours : it` is the
processor time of ours (from the tag on; of a full build, from files on disk), with gpg-agent's and the server's, to
that of the row. All sign with the same RSA-3072 key through the same gpg-agent; rpms are not signed. Ours flushes every
file to disk before it is published.
"""

Tell = Callable[[str], None]


@dataclass(slots=True)
class Results:
    """What a run of the bench found so far."""

    rows: list[Row] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)
    legends: dict[str, str] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--type", "kinds", multiple=True, type=click.Choice(list(SIZES)), help="By default all types.")
@click.option("--sizes", help="Numbers of packages, separated by commas; by default those of each type.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 1000), help="Rounds of the small works.")
@click.option("--quick", is_flag=True, help="Small sizes, one round: a few minutes.")
@click.option("--real-sizes", is_flag=True, help="Packages as large as those of a distribution, not of 7 kB.")
@click.option(
    "--arrivals", default=0, show_default=True, help="So many packages from the tag to a real apt-get install."
)
@click.option("--only", multiple=True, help="Measure only this one; may be repeated.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where to work, in a directory that is removed afterwards; by default the system's temporary one.",
)
@click.option(
    "--results", type=click.Path(path_type=Path), help="Where to keep JSON and plots; by default bench/results."
)
@click.option(
    "--plots",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where to draw the plots, such as docs; by default beside the JSON.",
)
def main(  # noqa: PLR0913, PLR0917
    kinds: tuple[str, ...],
    sizes: str | None,
    rounds: int,
    quick: bool,
    real_sizes: bool,
    arrivals: int,
    only: tuple[str, ...],
    directory: Path | None,
    results: Path | None,
    plots: Path | None,
) -> None:
    """Measure a full build, one package more, one less and nothing changed; signed, all on this machine."""
    names = {*OURS, *(name for peers in PEERS.values() for name in peers)}
    if unknown := set(only) - names:
        raise click.BadParameter(
            f"{', '.join(sorted(unknown))}: choose from {', '.join(sorted(names))}", param_hint="--only"
        )
    plan = _Plan(1 if quick else rounds, max(arrivals, 3 if quick else 0), frozenset(only or names), real_sizes)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    found, machine = Results(), dict[str, str]()
    try:
        with telling() as tell:
            for kind in kinds or SIZES:
                default = (_REAL_SIZED[kind],) if real_sizes else (_QUICK if quick else SIZES)[kind]
                for count in _read_sizes(sizes) if sizes else default:
                    with set_up(directory) as setting:
                        machine = machine or describe_machine(setting.directory)
                        measure_size(setting, kind, count, plan, tell, found)
    except (BenchError, PackratError) as error:
        raise click.ClickException(str(error)) from None
    _show(found, machine, plan.rounds)
    place = {"directory": results} if results else {}
    path = save(found.rows, found.arrivals, machine, **place)
    drawn = draw_plots(found.rows, plots or path.parent)
    click.echo(f"kept in {', '.join(item.name for item in (path, *drawn))}")


@dataclass(frozen=True, slots=True)
class _Plan:
    rounds: int
    arrivals: int
    chosen: frozenset[str]
    real_sizes: bool


def _read_sizes(text: str) -> list[int]:
    try:
        counts = [int(size) for size in text.split(",")]
    except ValueError:
        counts = []
    if not counts or not all(1 <= count <= 200_000 for count in counts):
        raise click.BadParameter("give numbers of packages from 1 to 200000, separated by commas", param_hint="--sizes")
    return counts


def measure_size(setting: Setting, kind: str, count: int, plan: _Plan, tell: Tell, found: Results) -> None:
    """Measure all contenders at one size, each in a directory of its own; adds to `found`."""
    extra = max(plan.rounds, plan.arrivals if kind == "apt" else 0)
    corpus = build_corpus(
        setting.directory / "corpus",
        count,
        extra,
        lambda made: tell(f"building {made} of {count} packages"),
        kind,
        real_sizes=plan.real_sizes,
    )
    ours = [name for name in OURS if name in plan.chosen]
    with ExitStack() as held:
        contenders: list[Contender] = []
        if ours:
            tell("starting the packrat server")
            server = held.enter_context(running_server(setting, corpus, [OURS[name].lane for name in ours]))
            contenders += [OURS[name](setting, server, setting.directory / name, kind) for name in ours]
        contenders += [
            make(setting, setting.directory / name) for name, make in PEERS[kind].items() if name in plan.chosen
        ]
        for contender in contenders:
            found.legends.setdefault(contender.name, contender.legend)
            if isinstance(contender, Inside | Run):
                held.enter_context(contender)
        few = Corpus(kind, corpus.packages, corpus.extra[: plan.rounds])
        found.rows += Race(contenders, few, tell).run()
        for contender in contenders:
            if isinstance(contender, Floor):
                found.steps.append(f"{kind}, {count:,}\n{write_steps(contender.steps)}")
            elif isinstance(contender, Run) and kind == "apt" and plan.arrivals:
                found.arrivals.append(measure_arrival(setting, contender, corpus.extra[: plan.arrivals], count, tell))


def _show(found: Results, machine: Mapping[str, str], rounds: int) -> None:
    click.echo(write_tables(found.rows))
    click.echo()
    for arrival in found.arrivals:
        click.echo(write_arrival(arrival))
    for text in found.steps:
        click.echo(f"\nprocessor time of the floor's steps: {text}")
    click.echo()
    for name, legend in found.legends.items():
        click.echo(f"- {name}: {legend}")
    click.echo()
    click.echo(_NOTES.format(rounds=rounds))
    click.echo("; ".join(f"{name} {value}" for name, value in machine.items()))


@contextmanager
def telling() -> Iterator[Tell]:
    """Give a function that shows what is being done, on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    try:
        yield lambda text: print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    finally:
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
