"""Shows a person what a sync does: progress on stderr while it runs, a summary on stdout when it is over."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import click
from rich.console import Console
from rich.progress import Progress, TextColumn, TimeElapsedColumn

from packrat_agent.model.entries import Refusal
from packrat_agent.model.records import Rejection
from packrat_core.text import human_size, printable

_LISTED = 20


class _RepoReport(Protocol):
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
    def syncs(self) -> Sequence[_RepoReport]: ...


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
                _print_line(f"{mark} {path}")
            if len(paths) > _LISTED:
                _print_line(f"{mark} … and {len(paths) - _LISTED} more")
        for refusal in report.refused:
            _print_line(f"! {report.repo}: refused {refusal.file.file_name}: {refusal.reason}")
        for failure in report.failed:
            _print_line(f"! {report.repo}: failed {failure.file.file_name}: {failure.reason}")
        for rejection in report.rejected:
            _print_line(f"! {report.repo}: rejected {rejection.record}: {rejection.reason}")
        held = f"held: {report.held}" if report.held else None
        for reason in filter(None, (held, report.ahead)):
            _print_line(f"! {report.repo}: {reason}")
    for name, reason in summary.errors.items():
        _print_line(f"! {name}: {reason}")
    for text in summary.rejected:
        _print_line(f"! rejected {text}")
    if dry_run:
        _show_untracked(summary)
    _print_line(
        f"{len(summary.syncs)} repositories: "
        f"{sum(len(p.added) for p in summary.syncs)} {would}added, "
        f"{sum(len(p.removed) for p in summary.syncs)} {would}withdrawn, "
        f"{sum(len(p.refused) + len(p.rejected) + len(p.failed) for p in summary.syncs)} refused, "
        f"{len(summary.collected)} files {would}removed from disk, "
        f"{human_size(sum(p.bytes for p in summary.syncs))} downloaded in {summary.seconds:.1f} s"
    )


def _print_line(text: str) -> None:
    """Print one line; names and reasons in it come from the server and out of package files."""
    click.echo(printable(text))


def _show_untracked(summary: _SummaryReport) -> None:
    for path in summary.collected[:_LISTED]:
        _print_line(f"x {path} (untracked)")
    if len(summary.collected) > _LISTED:
        _print_line(f"x … and {len(summary.collected) - _LISTED} more")
    if summary.unremembered:
        _print_line(
            "The state database is new and knows nothing of this tree: the mirror's own indexes count as untracked. "
            "A real sync makes them anew in their places, and only then removes what is left."
        )
