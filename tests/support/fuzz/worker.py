"""`python -m support.fuzz.worker FAMILY`: fuzzes the readers of one family in a process of its own, or reads one input.

The last line of its output is JSON. Where there is none, the input in `current` ended the process.
"""

import json
import tempfile
from pathlib import Path

import click

from support.fuzz.engine import Failure, fuzz, guarded, run_case
from support.fuzz.families import FAMILIES
from support.fuzz.planted import planted_targets

_ALL = {**FAMILIES, "planted": planted_targets}


@click.command()
@click.argument("family", type=click.Choice(list(_ALL)))
@click.option("--corpus", type=click.Path(path_type=Path), required=True)
@click.option("--seed", type=int, default=0)
@click.option("--cases", type=int, help="Number of inputs for each reader.")
@click.option("--seconds", type=float, default=0.0)
@click.option("--only", help="The one reader that reads.")
@click.option("--kept", type=click.Path(path_type=Path), help="Read what lies in this corpus first.")
@click.option("--replay", multiple=True, type=click.Path(path_type=Path))
def work(
    family: str,
    *,
    corpus: Path,
    seed: int,
    cases: int | None,
    seconds: float,
    only: str | None,
    kept: Path | None,
    replay: tuple[Path, ...],
) -> None:
    """Fuzz, and say how it went."""
    corpus.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="packrat-fuzz-") as top, _ALL[family](Path(top)) as targets:
        readers = [target for target in targets if only in (None, target.name)]
        with guarded(corpus):
            inputs = [(reader, path) for path in replay for reader in readers]
            if kept is not None:
                inputs += [(reader, path) for reader in readers for path in sorted((kept / reader.name).glob("*"))]
            failures = [found for reader, path in inputs if (found := run_case(reader, path.read_bytes())) is not None]
            count = len(inputs)
            if not replay:
                more, others = fuzz(readers, seed, corpus, cases=cases, seconds=seconds)
                count, failures = count + more, failures + others
    click.echo(json.dumps({"cases": count, "failures": [_told(failure) for failure in failures]}))


def _told(failure: Failure) -> dict[str, str]:
    return {"target": failure.target, "cause": failure.cause, "text": failure.text}


if __name__ == "__main__":
    work()
