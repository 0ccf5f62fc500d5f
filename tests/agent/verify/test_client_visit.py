"""Clients that print without end while `verify --clients` has them read the tree."""

from pathlib import Path

from packrat_agent.verify.client_visit import Visit


def test_a_client_that_prints_without_end_is_a_fault(tmp_path: Path) -> None:
    said = Visit(tmp_path, "http://127.0.0.1:1", None, tmp_path).run("yes", "E: broken")
    assert said is not None
    assert said.startswith("it was ended after it had printed ")
    assert said.endswith("E: broken; E: broken; E: broken; E: broken")
