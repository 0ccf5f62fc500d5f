"""`python -m bench`: measures packrat-agent beside aptly, reprepro and apt-ftparchive on the same packages.

It prints one table, and keeps a JSON file in bench/results.
"""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

from bench.contender import Contender, Row, lead
from bench.corpus import Corpus, build_corpus
from bench.machine import describe_machine
from bench.meter import BenchError
from bench.ours import Adopting, Inside, Run, Sync
from bench.peers import Aptly, Ftparchive, Reprepro
from bench.server import running_server
from bench.setting import Setting, set_up
from bench.table import save, write_table
from packrat_core.errors import PackratError

OURS: dict[str, "type[Inside | Run | Sync]"] = {"pass": Inside, "run": Run, "sync": Sync, "adopt": Adopting}
PEERS: dict[str, "type[Aptly | Reprepro | Ftparchive]"] = {
    "aptly": Aptly,
    "reprepro": Reprepro,
    "apt-ftparchive": Ftparchive,
}

_NOTES = """\
Times are medians of {rounds} rounds, memory is the largest peak of any process of the work. All sign with the same
RSA-3072 key through the same gpg-agent. Ours flushes every file to disk before it is published, and writes Packages.xz
and by-hash too.
"""

Tell = Callable[[str], None]


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--sizes", default="1000,10000", show_default=True, help="Numbers of packages, separated by commas.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 100), help="Rounds of the small works.")
@click.option(
    "--only", multiple=True, type=click.Choice([*OURS, *PEERS]), help="Measure only this one; may be repeated."
)
@click.option(
    "--directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Where to work, in a directory that is removed afterwards; by default the system's temporary one.",
)
@click.option("--results", type=click.Path(path_type=Path), help="Where to keep the JSON; by default bench/results.")
def main(sizes: str, rounds: int, only: tuple[str, ...], directory: Path | None, results: Path | None) -> None:
    """Measure a full build, one package more, one less and nothing changed; signed, all on this machine."""
    counts = _read_sizes(sizes)
    chosen = only or (*OURS, *PEERS)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    rows: list[Row] = []
    machine: dict[str, str] = {}
    try:
        with telling() as tell:
            for count in counts:
                with set_up(directory) as setting:
                    machine = machine or describe_machine(setting.directory)
                    rows += measure_size(setting, count, rounds, chosen, tell)
    except (BenchError, PackratError) as error:
        raise click.ClickException(str(error)) from None
    click.echo(write_table(rows))
    click.echo()
    for name in chosen:
        contender = OURS.get(name) or PEERS[name]
        click.echo(f"- {contender.name}: {contender.legend}")
    click.echo()
    click.echo(_NOTES.format(rounds=rounds))
    click.echo("; ".join(f"{name} {value}" for name, value in machine.items()))
    path = save(rows, machine, results) if results else save(rows, machine)
    click.echo(f"kept in {path.name}")


def _read_sizes(text: str) -> list[int]:
    try:
        counts = [int(size) for size in text.split(",")]
    except ValueError:
        counts = []
    if not counts or not all(1 <= count <= 200_000 for count in counts):
        raise click.BadParameter("give numbers of packages from 1 to 200000, separated by commas", param_hint="--sizes")
    return counts


def measure_size(setting: Setting, count: int, rounds: int, chosen: Sequence[str], tell: Tell) -> list[Row]:
    """Measure all contenders at one size, each in a fresh directory that goes before the next one begins."""
    corpus = build_corpus(
        setting.directory / "corpus", count, rounds, lambda made: tell(f"building {made} of {count} packages")
    )
    rows: list[Row] = []
    if any(name in OURS for name in chosen):
        tell("starting the packrat server")
        with running_server(setting, corpus) as server:
            for name in chosen:
                if name in OURS:
                    rows.append(_lead(OURS[name](setting, server, setting.directory / name), corpus, tell))
    rows += [_lead(PEERS[name](setting, setting.directory / name), corpus, tell) for name in chosen if name in PEERS]
    return rows


def _lead(contender: Contender, corpus: Corpus, tell: Tell) -> Row:
    with ExitStack() as held:
        if isinstance(contender, Inside | Run):
            held.enter_context(contender)
        return lead(contender, corpus, lambda text: tell(f"{contender.name}: {text}"))


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
