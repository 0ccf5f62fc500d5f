"""Tells a person what a pass did: progress while it runs, a summary when it is over.

Takes: progress calls, a Summary.
Gives: text.
Touches: stdout for the summary, stderr for the progress bar, only where it is a terminal.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import click
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from packrat_agent.model.entries import Refusal
from packrat_agent.model.records import Rejection

_LISTED = 20


class _PassReport(Protocol):
    repo: str
    added: list[str]
    removed: list[str]
    refused: list[Refusal]
    rejected: list[Rejection]
    failed: list[Refusal]
    held: str | None
    ahead: str | None
    bytes: int


class _SummaryReport(Protocol):
    collected: list[str]
    errors: dict[str, str]
    rejected: list[str]
    unremembered: bool
    seconds: float

    @property
    def syncs(self) -> Sequence[_PassReport]: ...


@contextmanager
def show_progress() -> Iterator[Callable[[str, int, int], None]]:
    """Give a callback (what, files, bytes since the last call); it draws on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda what, files, size: None
        return
    columns = (TextColumn("{task.description:<24}"), TextColumn("{task.fields[told]}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, list[int]] = {}

        def on_progress(what: str, files: int, size: int) -> None:
            state = tasks.get(what)
            if state is None:
                state = tasks[what] = [int(bars.add_task(what, total=None, told="")), 0, 0]
            state[1] += files
            state[2] += size
            bars.update(state[0], told=f"{state[1]} files, {human_size(state[2])}")  # type: ignore[arg-type]

        yield on_progress


def show_summary(summary: _SummaryReport, *, dry_run: bool) -> None:
    """Print what was added, removed, refused; bytes and seconds."""
    would = "would be " if dry_run else ""
    for report in summary.syncs:
        for mark, paths in (("+", report.added), ("-", report.removed)):
            for path in paths[:_LISTED]:
                click.echo(f"{mark} {path}")
            if len(paths) > _LISTED:
                click.echo(f"{mark} … and {len(paths) - _LISTED} more")
        for refusal in report.refused:
            click.echo(f"! {report.repo}: refused {refusal.file.file_name}: {refusal.reason}")
        for failure in report.failed:
            click.echo(f"! {report.repo}: failed {failure.file.file_name}: {failure.reason}")
        for rejection in report.rejected:
            click.echo(f"! {report.repo}: rejected {rejection.record}: {rejection.reason}")
        held = f"held: {report.held}" if report.held else None
        for reason in filter(None, (held, report.ahead)):
            click.echo(f"! {report.repo}: {reason}")
    for name, reason in summary.errors.items():
        click.echo(f"! {name}: {reason}")
    for text in summary.rejected:
        click.echo(f"! rejected {text}")
    if dry_run:
        _show_foreign(summary)
    click.echo(
        f"{len(summary.syncs)} repositories: "
        f"{sum(len(p.added) for p in summary.syncs)} {would}added, "
        f"{sum(len(p.removed) for p in summary.syncs)} {would}withdrawn, "
        f"{sum(len(p.refused) + len(p.rejected) + len(p.failed) for p in summary.syncs)} refused, "
        f"{len(summary.collected)} files {would}removed from disk, "
        f"{human_size(sum(p.bytes for p in summary.syncs))} downloaded in {summary.seconds:.1f} s"
    )


def _show_foreign(summary: _SummaryReport) -> None:
    for path in summary.collected[:_LISTED]:
        click.echo(f"x {path} (foreign)")
    if len(summary.collected) > _LISTED:
        click.echo(f"x … and {len(summary.collected) - _LISTED} more")
    if summary.unremembered:
        click.echo(
            "The state database is new and knows nothing of this tree: the mirror's own indexes count as foreign here. "
            "A real pass makes them anew in their places, and only then removes what is left."
        )


def human_size(size: float) -> str:
    """Write a number of bytes the way people read it."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def human_age(seconds: float) -> str:
    """Write a span of time the way people read it."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.1f} s" if seconds < 10 else f"{seconds:.0f} s"
