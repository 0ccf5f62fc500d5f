"""table: columns stand below each other whatever is in them, and only a terminal gets colours."""

import io

import pytest

from agent.status.bench import Bench, show
from packrat_agent.status.table import show_status
from packrat_agent.status.values import Status


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _on_terminal(status: Status) -> str:
    stream = _Terminal()
    show_status(status, stream)
    return stream.getvalue()


def test_the_columns_stand_below_each_other(bench: Bench) -> None:
    status = bench.read()
    [repo] = status.repos
    names = ("apt", "a-long-name", "日本", "e\u0301-combined")
    shown = show(status._replace(repos=tuple(repo._replace(name=name, live=12345) for name in names)))
    # Wide characters take two columns of a terminal, combining ones none.
    rows = [line.split("  apt ")[0] for line in shown.splitlines() if " 12345 " in line]
    assert rows == ["apt        ", "a-long-name", "日本       ", "e\u0301-combined "], shown
    [head, row, *_] = [line for line in shown.splitlines() if line.startswith(("repository", "apt "))]
    assert head.index("live") + len("live") == row.index("12345") + len("12345")
    assert not any(line.endswith(" ") for line in shown.splitlines())


def test_only_a_terminal_gets_colours(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    status = bench.read()
    assert "\x1b" not in show(status)
    assert "\x1b[1mrepository\x1b[0m" in _on_terminal(status)
    assert "\x1b[31mnot running" in _on_terminal(status)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[1mrepository\x1b[0m" in _on_terminal(status)
    assert "\x1b[31m" not in _on_terminal(status)
    monkeypatch.setenv("TERM", "dumb")
    assert _on_terminal(status) == show(status)
