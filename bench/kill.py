"""`python -m bench.kill`: kills the agent at random moments, again and again, and looks after each what clients find.

A failure names the round and the seed, with which it can be repeated. With --counted the moments are system calls.
"""

import itertools
import random
import tempfile
import time
from pathlib import Path

import click

from support.counted_kills import kill_at_counted_calls
from support.keys import Key, new_key
from support.kills import kill_again_and_again
from support.kinds import KINDS
from support.stage import stage

_LANE = 20


@click.command()
@click.option("--times", default=200, show_default=True)
@click.option("--seed", type=int, help="That of a run that failed; by default another one each time.")
@click.option("--counted", is_flag=True, help="Kill at counted system calls, all types in turn, with real clients.")
def kill(times: int, seed: int | None, counted: bool) -> None:
    """Kill `sync` and `run` so many times, each with something new to do."""
    chosen = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    with new_key("Killed Mirror <mirror@example.com>") as key:
        (_kill_at_counted_calls if counted else _kill_at_random)(key, times, chosen)


def _kill_at_random(key: Key, times: int, seed: int) -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="packrat-kill-") as top, stage(Path(top), key) as lab:
        ended = kill_again_and_again(lab, times, seed)
    click.echo(
        f"{times} rounds with seed {seed}, {times - ended} killed, in {time.monotonic() - began:.0f} s: no client "
        "would have found anything wrong, and all was done in the end"
    )


def _kill_at_counted_calls(key: Key, times: int, seed: int) -> None:
    """Take lanes of 20 kills, one type after the other, until there were that many; each line is a lane."""
    kinds, left, failures = itertools.cycle(KINDS), times, 0
    while left > 0:
        kind, seed = next(kinds), seed + 1
        with tempfile.TemporaryDirectory(prefix="packrat-kill-") as top:
            tally = kill_at_counted_calls(Path(top), key, kind, min(left, _LANE), seed)
        left -= max(tally.kills, 1)
        failures += len(tally.failures)
        click.echo("\n".join([f"{kind.name} with seed {seed}: {tally}", *tally.failures]))
    if failures:
        raise click.ClickException(f"{failures} failures")


if __name__ == "__main__":
    kill()
