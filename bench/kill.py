"""`python -m bench.kill`: kills the agent at random moments, again and again, and looks after each what clients find.

A failure names the round and the seed, with which it can be repeated.
"""

import random
import tempfile
import time
from pathlib import Path

import click

from support.keys import new_key
from support.kills import kill_again_and_again
from support.stage import stage


@click.command()
@click.option("--times", default=200, show_default=True)
@click.option("--seed", type=int, help="That of a run that failed; by default another one each time.")
def kill(times: int, seed: int | None) -> None:
    """Kill `sync` and `run` so many times, each with something new to do."""
    chosen = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    began = time.monotonic()
    with (
        tempfile.TemporaryDirectory(prefix="packrat-kill-") as top,
        new_key("Killed Mirror <mirror@example.com>") as key,
        stage(Path(top), key) as lab,
    ):
        ended = kill_again_and_again(lab, times, chosen)
    click.echo(
        f"{times} rounds with seed {chosen}, {times - ended} killed, in {time.monotonic() - began:.0f} s: no client "
        "would have found anything wrong, and all was done in the end"
    )


if __name__ == "__main__":
    kill()
