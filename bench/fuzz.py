"""`python -m bench.fuzz`: feeds all readers, and both ends of the protocol, with inputs made wrong at random.

It ends after the time that it is given. What fails is kept in bench/results/fuzz and told with the seed; a kept file is
read again with --replay.
"""

import itertools
import random
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from support.fuzz.families import FAMILIES
from support.fuzz.lane import Outcome, replay, run_worker

CORPUS = Path(__file__).parent / "results/fuzz"
_TURN_S = 30.0
"""How long a worker fuzzes one family, before the next one takes its turn with another seed."""


@click.command()
@click.option("--minutes", default=10.0, show_default=True, help="How long to go on.")
@click.option("--family", "families", multiple=True, type=click.Choice(list(FAMILIES)), help="By default all, in turn.")
@click.option("--seed", type=int, help="That of a run to repeat; by default another one each time.")
@click.option("--jobs", default=1, show_default=True, help="Workers at the same time.")
@click.option(
    "--replay",
    "kept",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Read this kept input again, with the reader that its directory names.",
)
def main(minutes: float, families: tuple[str, ...], seed: int | None, jobs: int, kept: tuple[Path, ...]) -> None:
    """Fuzz, and exit with 1 where anything failed."""
    if kept:
        with tempfile.TemporaryDirectory(prefix="packrat-fuzz-") as top:
            outcome = replay(kept, Path(top))
        _tell(f"{outcome.cases} read again", outcome)
        failed = bool(outcome.failures) or outcome.cases < len(kept)
    else:
        first = random.SystemRandom().randrange(1 << 32) if seed is None else seed
        failed = _fuzz(families or tuple(FAMILIES), minutes * 60, first, jobs)
    if failed:
        raise SystemExit(1)


def _fuzz(families: tuple[str, ...], seconds: float, seed: int, jobs: int) -> bool:
    ends = time.monotonic() + seconds
    turns = zip(itertools.cycle(families), itertools.count(seed), strict=False)
    total = failures = 0
    # The last round ends with the time: each family gets the same share of it.
    turn_s = min(_TURN_S, max(1.0, seconds * jobs / len(families)))

    def take_turn(turn: tuple[str, int]) -> tuple[str, Outcome]:
        family, turn_seed = turn
        outcome = run_worker(family, CORPUS, "--seed", str(turn_seed), seconds=turn_s)
        return f"{family} with seed {turn_seed}: {outcome.cases} inputs", outcome

    with ThreadPoolExecutor(jobs) as threads:
        while time.monotonic() < ends:
            for title, outcome in threads.map(take_turn, list(itertools.islice(turns, jobs))):
                _tell(title, outcome)
                total += outcome.cases
                failures += len(outcome.failures)
    click.echo(f"{total} inputs, {failures} failures" + (f"; kept in {CORPUS}" if failures else ""))
    return failures > 0


def _tell(title: str, outcome: Outcome) -> None:
    click.echo("\n".join([f"{title}, {len(outcome.failures)} failures", *outcome.failures]))


if __name__ == "__main__":
    main()
