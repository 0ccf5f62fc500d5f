"""Two minutes of a changing server: the agent does not grow, and the mirror is what the server says in the end."""

from pathlib import Path

from bench.soak import is_flat, soak


def test_two_minutes_of_changes_leave_the_agent_as_it_was(tmp_path: Path) -> None:
    soaked = soak(120, 100, tmp_path, lambda text: None)
    assert soaked.changes > 100
    assert 20 < soaked.published <= soaked.changes
    assert soaked.faults == ()
    assert is_flat(soaked), (soaked.middle, soaked.end)
