"""`python -m bench.mutants`: changes the program in one place, runs the tests of that module, and counts who notices.

The sample is fixed by the seed, so that figures of two versions can be compared. The tests are those that
bench/mutant_tests.py names for the module: first the closest file of them for all mutants, then the others for those
that it missed. Each verdict is written at once to a file under bench/results, from which a later run can go on.
"""

import json
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bench.mutant_tests import SRC, find_tests, mutated_modules
from bench.mutant_trials import Mutant, Verdict, open_trials
from bench.mutate import Mutation, find_mutations
from bench.table import RESULTS

_SEED = 10
_COUNT = 300


def draw_sample(seed: int, count: int, only: str = "") -> list[Mutant]:
    """Draw that many mutants at random from all modules that are mutated, in random order.

    Args:
        seed: the same seed draws the same sample of the same source.
        count: how many; all there are, if there are fewer.
        only: a part of the path of the modules to draw from.

    Returns:
        The mutants, in the order in which to try them: a run that is stopped has tried a fair sample.
    """
    every = [
        Mutant(module, mutation, find_tests(module))
        for module in sorted(set(mutated_modules()))
        if only in module
        for mutation in find_mutations((SRC / module).read_text())
    ]
    return random.Random(seed).sample(every, min(count, len(every)))


@click.command()
@click.option("--count", default=_COUNT, show_default=True, help="Size of the sample.")
@click.option("--seed", default=_SEED, show_default=True, help="Another seed draws another sample.")
@click.option("--only", default="", help="Only modules with this in their path.")
@click.option("--workers", default=2, show_default=True)
@click.option("--minutes", default=240.0, show_default=True, help="Stop after so long; the order is random.")
@click.option(
    "--resume",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take over the verdicts of an earlier run on the same source, and try what is left.",
)
@click.option(
    "--again",
    type=click.Choice(["survived", "timeout"]),
    multiple=True,
    help="With --resume: try those with this verdict again, for instance with new tests.",
)
def mutants(
    count: int, seed: int, only: str, workers: int, minutes: float, resume: Path | None, again: tuple[str, ...]
) -> None:
    """Count how many of a fixed sample of mutations the tests notice."""
    sample = draw_sample(seed, count, only)
    file = RESULTS / f"mutants-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.json"
    verdicts = load(resume, sample) if resume else {}
    verdicts = {mutant: verdict for mutant, verdict in verdicts.items() if verdict.outcome not in again}
    with open_trials(workers, minutes) as trials:
        # The closest tests first for all: that is most of what is to be known, in a small part of the time.
        for verdict in trials.judge(
            [replace(mutant, tests=mutant.tests[:1]) for mutant in sample if mutant not in verdicts]
        ):
            missed = verdict.outcome == "survived" and len(find_tests(verdict.mutant.module)) > 1
            _note(replace(verdict, outcome="missed") if missed else verdict, verdicts, file, seed)
        left = [mutant for mutant in sample if mutant in verdicts and verdicts[mutant].outcome == "missed"]
        for verdict in trials.judge([replace(mutant, tests=mutant.tests[1:]) for mutant in left]):
            _note(verdict, verdicts, file, seed)
    click.echo(f"{_summarize(sample, verdicts)}; see {file}")


def _note(verdict: Verdict, verdicts: dict[Mutant, Verdict], file: Path, seed: int) -> None:
    verdicts[verdict.mutant] = verdict
    save(file, seed, verdicts.values())
    mutation = verdict.mutant.mutation
    place = f"{verdict.mutant.module}:{mutation.line} {mutation.function}"
    click.echo(f"{verdict.outcome}: {place}: {mutation.what}", err=verdict.outcome in ("killed", "missed"))


def _summarize(sample: Sequence[Mutant], verdicts: Mapping[Mutant, Verdict]) -> str:
    counts = Counter(verdict.outcome for verdict in verdicts.values())
    judged = counts["killed"] + counts["timeout"] + counts["survived"]
    summary = (
        f"{judged} of {len(sample)} tried: {(judged - counts['survived']) / max(1, judged):.0%} noticed "
        f"({counts['killed']} killed, {counts['timeout']} ran too long), {counts['survived']} survived"
    )
    return summary + f"; {counts['missed']} that the closest tests missed are left" if counts["missed"] else summary


def save(file: Path, seed: int, verdicts: Iterable[Verdict]) -> None:
    """Write all verdicts to a file, in one step: a run may be ended at any time."""
    document = {"seed": seed, "verdicts": [asdict(verdict) for verdict in verdicts]}
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(".new")
    new.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    new.replace(file)


def load(file: Path, sample: Iterable[Mutant]) -> dict[Mutant, Verdict]:
    """Read the verdicts of an earlier run on those mutants of a sample that have one."""
    document: dict[str, Any] = json.loads(file.read_text())
    known = {
        (verdict["mutant"]["module"], Mutation(**verdict["mutant"]["mutation"])): verdict
        for verdict in document["verdicts"]
    }
    return {
        mutant: Verdict(mutant, verdict["outcome"], verdict["seconds"], verdict["noticed_by"])
        for mutant in sample
        if (verdict := known.get((mutant.module, mutant.mutation))) is not None
    }


if __name__ == "__main__":
    mutants()
