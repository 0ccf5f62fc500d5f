"""The fuzz engine notices each way to fail, keeps the input, and reads it again."""

import random
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench import fuzz as command
from support.fuzz import engine
from support.fuzz.engine import Case, Failure, Target, fuzz, guarded, make_input, run_case
from support.fuzz.families import FAMILIES
from support.fuzz.lane import KEPT, replay, run_worker
from support.fuzz.mutate import mutate
from support.fuzz.planted import SOUND, planted_targets


def run_planted(name: str, tmp_path: Path) -> Failure | None:
    """Have a planted reader read something that is not sound."""
    with planted_targets(tmp_path) as targets, guarded(tmp_path):
        (target,) = (target for target in targets if target.name == name)
        assert run_case(target, SOUND) is None
        return run_case(target, b"other")


@pytest.mark.parametrize(("name", "cause"), [("error", "KeyError"), ("time", "Overtime"), ("memory", "MemoryError")])
def test_each_way_to_fail_is_noticed(name: str, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CPU_S", 1.0)
    failure = run_planted(f"planted.{name}", tmp_path)
    assert failure is not None
    assert failure.cause.startswith(cause)


def test_an_error_of_the_right_type_is_no_failure_but_a_refused_sample_is(tmp_path: Path) -> None:
    def refuse(_data: bytes) -> None:
        raise ValueError

    target = Target("planted.refuse", [SOUND], refuse, may_raise=(ValueError,))
    count, (failure,) = fuzz([target], 1, tmp_path, cases=50)
    assert count == 50
    assert failure.data == SOUND


def test_an_input_that_fails_is_kept_with_its_seed_and_fails_again(tmp_path: Path) -> None:
    with planted_targets(tmp_path) as targets:
        _, failures = fuzz(targets[:1], 7, tmp_path / "corpus", cases=20)
    # A few of each cause: a hundred files of one fault help nobody.
    assert len(failures) == 3
    (kept, *_) = sorted(path for path in tmp_path.glob("corpus/planted.error/*") if not path.suffix)
    told = kept.with_suffix(".txt").read_text()
    found = re.match(r"planted\.error with seed 7, number (\d+)\nKeyError", told)
    assert found is not None
    assert any(f"number {found[1]}, kept as planted.error/{kept.name}\n" in failure.text for failure in failures)
    assert kept.read_bytes() == make_input(targets[0], Case("planted.error", 7, int(found[1])))
    again = replay([kept], tmp_path / "again")
    assert again.cases == 1
    assert "KeyError" in again.failures[0]


def test_an_input_that_ends_the_process_is_found(tmp_path: Path) -> None:
    outcome = run_worker("planted", tmp_path, "--only", "planted.end", "--seed", "3", "--cases", "5")
    assert outcome.cases == 0
    assert "planted.end with seed 3, number 1" in outcome.failures[0]
    (kept,) = (path for path in tmp_path.glob("planted.end/*") if not path.suffix)
    assert "ended with 3" in replay([kept], tmp_path).failures[0]


def test_a_sample_that_is_not_sound_any_more_fails_the_command(tmp_path: Path) -> None:
    kept = tmp_path / "planted.error" / "0"
    kept.parent.mkdir()
    kept.write_bytes(b"other")
    assert CliRunner().invoke(command.main, ["--replay", str(kept)]).exit_code == 1
    kept.write_bytes(SOUND)
    assert CliRunner().invoke(command.main, ["--replay", str(kept)]).exit_code == 0


def test_the_same_dice_make_the_same_change_and_others_another() -> None:
    sample = b'{"a": [1, 2, {"b": "c"}], "d": "e"}' * 3
    changed = [mutate(random.Random(seed), sample, [sample]) for seed in range(50)]
    assert changed == [mutate(random.Random(seed), sample, [sample]) for seed in range(50)]
    assert len(set(changed)) > 40
    assert sample not in changed


def test_each_kept_input_belongs_to_a_family() -> None:
    kept = [path for path in sorted(KEPT.glob("*/*")) if path.is_file()]
    assert kept
    assert {path.parent.name.partition(".")[0] for path in kept} <= set(FAMILIES)


def test_a_kept_input_that_fails_again_fails_the_slice(tmp_path: Path) -> None:
    (tmp_path / "planted.error").mkdir()
    (tmp_path / "planted.error/0").write_bytes(b"other")
    arguments = ["--kept", str(tmp_path), "--only", "planted.error", "--cases", "1"]
    outcome = run_worker("planted", tmp_path / "own", *arguments)
    assert outcome.cases == 2
    assert len(outcome.failures) == 1
