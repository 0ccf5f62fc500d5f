"""`python -m bench.mutants`: changes the program in one place, runs the tests of that module, and counts who notices.

The sample is fixed by the seed, so that figures of two versions can be compared. The tests are those that TESTS names
for the module: first the closest file of them for all mutants, then the others for those that it missed. Each verdict
is written at once to a file under bench/results, from which a later run can go on.
"""

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from bench.mutant_trials import TOP, Mutant, Verdict, open_trials
from bench.mutate import Mutation, find_mutations
from bench.table import RESULTS

_SEED = 10
_COUNT = 300

TESTS: dict[str, tuple[str, ...]] = {
    "packrat_agent/sync/plan.py": ("tests/agent/sync/test_plan.py", "tests/agent/sync/test_build.py"),
    "packrat_agent/sync/download.py": (
        "tests/agent/sync/test_download.py",
        "tests/agent/sync/test_shared_downloads.py",
        "tests/hostile/test_answers.py",
    ),
    "packrat_agent/sync/partial_file.py": ("tests/agent/sync/test_download.py", "tests/hostile/test_answers.py"),
    "packrat_agent/publish/writer.py": (
        "tests/agent/publish/test_writer.py",
        "tests/agent/publish/test_pointers.py",
        "tests/agent/publish/test_signing.py",
        "tests/agent/publish/test_scan_and_gc.py",
        "tests/agent/sync/test_roll_forward.py",
        "tests/crash/test_flush_order.py",
    ),
    "packrat_agent/publish/directories.py": (
        "tests/agent/publish/test_directories.py",
        "tests/agent/publish/test_writer.py",
    ),
    "packrat_agent/publish/pointers.py": (
        "tests/agent/publish/test_pointers.py",
        "tests/agent/publish/test_writer.py",
        "tests/crash/test_flush_order.py",
    ),
    "packrat_agent/publish/signing.py": (
        "tests/agent/publish/test_signing.py",
        "tests/agent/gpg/test_wrong_signature.py",
    ),
    "packrat_agent/publish/claim.py": ("tests/agent/publish/test_claim.py", "tests/hostile/test_forged.py"),
    "packrat_agent/publish/walk.py": (
        "tests/agent/publish/test_mounts.py",
        "tests/agent/publish/test_scan_and_gc.py",
        "tests/agent/publish/test_scan_slices.py",
    ),
    "packrat_agent/publish/scan.py": (
        "tests/agent/publish/test_scan_and_gc.py",
        "tests/agent/publish/test_scan_slices.py",
        "tests/agent/publish/test_writer.py",
    ),
    "packrat_agent/publish/scan_slices.py": ("tests/agent/publish/test_scan_slices.py",),
    "packrat_agent/publish/gc.py": ("tests/agent/publish/test_mounts.py", "tests/agent/publish/test_scan_and_gc.py"),
    "packrat_agent/gpg/keyring.py": (
        "tests/agent/gpg/test_keyring.py",
        "tests/agent/gpg/test_key_warnings.py",
        "tests/agent/gpg/test_key_files.py",
        "tests/agent/gpg/test_verdict.py",
    ),
    "packrat_core/packages/deb/relations.py": ("tests/core/packages/deb/test_relations.py",),
    "packrat_core/packages/deb/control.py": ("tests/core/packages/deb/test_read_deb.py",),
    "packrat_core/packages/deb/architectures.py": ("tests/core/packages/test_architectures.py",),
    "packrat_core/packages/deb/versions.py": ("tests/server/test_latest.py",),
    "packrat_core/packages/deb/": (
        "tests/core/packages/deb/test_stanza.py",
        "tests/agent/formats/apt/test_render.py",
        "tests/core/packages/test_payload_differential.py",
        "tests/core/packages/test_unpack_differential.py",
        "tests/core/packages/deb/test_relations.py",
        "tests/core/packages/deb/test_read_deb.py",
    ),
    "packrat_core/packages/rpm/architectures.py": ("tests/core/packages/test_architectures.py",),
    "packrat_core/packages/rpm/payload.py": ("tests/core/packages/test_payload_differential.py",),
    "packrat_core/packages/rpm/signatures.py": ("tests/clients/test_rpm_signatures.py",),
    "packrat_core/packages/rpm/versions.py": ("tests/server/test_latest.py",),
    "packrat_core/packages/rpm/": (
        "tests/core/packages/rpm/test_read_rpm.py",
        "tests/agent/formats/yum/test_render.py",
        "tests/core/packages/test_payload_differential.py",
        "tests/clients/test_rpm_signatures.py",
    ),
    "packrat_core/packages/python/file_names.py": ("tests/core/packages/python/test_file_names.py",),
    "packrat_core/packages/python/metadata.py": (
        "tests/core/packages/python/test_metadata.py",
        "tests/core/packages/python/test_metadata_differential.py",
    ),
    "packrat_core/packages/python/names_inside.py": (
        "tests/core/packages/python/test_names_inside.py",
        "tests/core/packages/python/test_inspect.py",
    ),
    "packrat_core/packages/python/payload.py": ("tests/core/packages/test_payload_differential.py",),
    "packrat_core/packages/python/requirements.py": (
        "tests/core/packages/python/test_requirements_differential.py",
        "tests/agent/formats/pypi/test_render.py",
    ),
    "packrat_core/packages/python/spellings.py": ("tests/core/packages/python/test_spellings.py",),
    "packrat_core/packages/python/versions.py": ("tests/server/test_latest.py",),
    "packrat_core/packages/python/": (
        "tests/core/packages/python/test_inspect.py",
        "tests/server/test_inspect_python.py",
        "tests/core/packages/python/test_file_names.py",
        "tests/core/packages/test_unpack_differential.py",
        "tests/core/packages/python/test_metadata_differential.py",
        "tests/core/packages/test_payload_differential.py",
    ),
    "packrat_core/packages/image/inspect.py": ("tests/server/test_inspect_image.py",),
    "packrat_core/packages/image/manifest.py": ("tests/core/packages/image/test_manifest.py",),
    "packrat_core/packages/image/layout.py": ("tests/core/packages/image/test_layout.py",),
    "packrat_core/packages/image/referrers.py": ("tests/core/packages/image/test_manifest.py",),
    "packrat_core/packages/image/names.py": ("tests/core/packages/image/test_names.py",),
    "packrat_core/packages/image/payload.py": ("tests/core/packages/test_payload_differential.py",),
    "packrat_core/packages/image/versions.py": (
        "tests/core/packages/image/test_versions.py",
        "tests/server/test_latest.py",
    ),
    "packrat_core/packages/image/": (
        "tests/agent/formats/docker/test_unpack.py",
        "tests/core/packages/image/test_names.py",
        "tests/agent/formats/docker/test_render.py",
        "tests/agent/formats/docker/test_two_signers.py",
        "tests/server/test_inspect_image.py",
        "tests/core/packages/test_payload_differential.py",
    ),
    "packrat_core/packages/file/": ("tests/core/packages/file/test_payload.py",),
    "packrat_core/packages/version_numbers.py": ("tests/server/test_latest.py",),
}
"""Module or folder below src → its tests, the closest first, since the first failure ends a run.

The tests of a module are those of all rows that it falls under.
"""


def draw_sample(seed: int, count: int, only: str = "") -> list[Mutant]:
    """Draw that many mutants at random from all modules of the table, in random order.

    Args:
        seed: the same seed draws the same sample of the same source.
        count: how many; all there are, if there are fewer.
        only: a part of the path of the modules to draw from.

    Returns:
        The mutants, in the order in which to try them: a run that is stopped has tried a fair sample.
    """
    every = [
        Mutant(module, mutation, find_tests(module))
        for module in sorted({module for place in TESTS for module in _modules(place)})
        if only in module
        for mutation in find_mutations((TOP / "src" / module).read_text())
    ]
    return random.Random(seed).sample(every, min(count, len(every)))


def find_tests(module: str) -> tuple[str, ...]:
    """The files of tests that should notice a change of a module, in the order in which to ask them."""
    return tuple(dict.fromkeys(name for place, tests in TESTS.items() if module.startswith(place) for name in tests))


def _modules(place: str) -> Iterator[str]:
    path = TOP / "src" / place
    for file in path.rglob("*.py") if path.is_dir() else [path]:
        yield str(file.relative_to(TOP / "src"))


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
    return (
        f"{judged} of {len(sample)} tried: {(judged - counts['survived']) / max(1, judged):.0%} noticed "
        f"({counts['killed']} killed, {counts['timeout']} ran too long), {counts['survived']} survived"
        + f"; {counts['missed']} that the closest tests missed are left"
        * bool(counts["missed"])
    )


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
