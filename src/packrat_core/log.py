"""Sets up the log: one line per event on stderr, which starts with a fixed word and continues with fields."""

import os
import re
import sys
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

from packrat_core.text import printable, quote

_PLAIN = re.compile(r"[\w./:@+~,=%-]+")
_JOURNAL_PRIORITY = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


def set_up_log(level: str = "info") -> None:
    """Write events of `level` and above to stderr, with time and level, or under systemd with journald's `<N>`."""
    # Two thirds of what `--help` would import; commands that log nothing do without.
    import logging

    import structlog

    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%Y-%m-%dT%H:%M:%SZ", utc=True),
            _render_for_journald if _under_journald() else _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )


@contextmanager
def log_through(write: Callable[[str], None]) -> Iterator[None]:
    """Have each line of the log written by `write`, in place of what writes it now, while the context lasts."""
    import structlog

    class Lines:
        # structlog calls the method that has the name of the level.
        def __getattr__(self, _level: str) -> Callable[[str], None]:
            return lambda line: write(f"{line}\n")

    writer = structlog.get_config()["logger_factory"]
    structlog.configure(logger_factory=lambda *_: Lines())
    try:
        yield
    finally:
        structlog.configure(logger_factory=writer)


def _under_journald() -> bool:
    """Return whether stderr is the journal; the variable alone is also inherited if stderr is redirected.

    Source: systemd.exec(5), JOURNAL_STREAM.
    """
    try:
        there = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{there.st_dev}:{there.st_ino}"


def _render(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    moment, level = event.pop("timestamp"), event.pop("level")
    return f"{moment} {level.upper():<7} {_line(event)}"


def _render_for_journald(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    event.pop("timestamp")
    return f"<{_JOURNAL_PRIORITY[event.pop('level')]}>{_line(event)}"


def _line(event: MutableMapping[str, Any]) -> str:
    word = printable(str(event.pop("event")))
    return " ".join([word, *(f"{name}={_quote(value)}" for name, value in event.items() if value is not None)])


def _quote(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else quote(text)
