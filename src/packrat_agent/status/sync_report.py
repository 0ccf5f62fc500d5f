"""Shows a person what a sync did: a summary on stdout when it is over."""

from collections.abc import Sequence
from typing import Protocol

import click

from packrat_agent.model.entries import Refusal
from packrat_agent.model.records import Rejection
from packrat_core.text import count_of, human_size, printable

_LISTED = 20


class _RepoReport(Protocol):
    repo: str
    adopted: list[str]
    downloads: list[str]
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
    losses: list[str]
    changes: list[str]
    notes: list[str]
    unremembered: bool
    seconds: float

    @property
    def syncs(self) -> Sequence[_RepoReport]: ...


def show_summary(summary: _SummaryReport, *, dry_run: bool) -> None:
    """Print what was added, removed, refused; bytes and seconds."""
    would = "would be " if dry_run else ""
    for report in summary.syncs:
        _show_repo(report, dry_run=dry_run)
    for name, reason in summary.errors.items():
        _print_line(f"! {name}: {reason}")
    for text in summary.rejected:
        _print_line(f"! rejected {text}")
    if dry_run:
        _show_untracked(summary)
        _show_takeover(summary)
    _print_line(
        f"{count_of(len(summary.syncs), 'repository', 'repositories')}: "
        f"{sum(len(p.added) for p in summary.syncs)} {would}added, "
        f"{sum(len(p.removed) for p in summary.syncs)} {would}withdrawn, "
        f"{sum(len(p.refused) + len(p.rejected) + len(p.failed) for p in summary.syncs)} refused, "
        f"{count_of(len(summary.collected), 'file')} {would}removed from disk, "
        f"{human_size(sum(p.bytes for p in summary.syncs))} downloaded in {summary.seconds:.1f} s"
    )


def _show_repo(report: _RepoReport, *, dry_run: bool) -> None:
    kept = report.adopted if dry_run else []
    for mark, paths in (("=", kept), ("+", _told_added(report)), ("-", report.removed)):
        # A file that several suites have is a package file of each.
        shown = list(dict.fromkeys(paths))
        for path in shown[:_LISTED]:
            _print_line(f"{mark} {path}")
        if len(shown) > _LISTED:
            _print_line(f"{mark} … and {len(shown) - _LISTED} more")
    for refusal in report.refused:
        _print_line(f"! {report.repo}: refused {refusal.file.file_name}: {refusal.reason}")
    for failure in report.failed:
        _print_line(f"! {report.repo}: failed {failure.file.file_name}: {failure.reason}")
    for rejection in report.rejected:
        _print_line(f"! {report.repo}: rejected {rejection.record}: {rejection.reason}")
    held = f"held: {report.held}" if report.held else None
    for reason in filter(None, (held, report.ahead)):
        _print_line(f"! {report.repo}: {reason}")


def _show_takeover(summary: _SummaryReport) -> None:
    for mark, lines in (("*", summary.notes), ("~", summary.changes), ("?", summary.losses)):
        for line in lines:
            _print_line(f"{mark} {line}")
    if summary.unremembered:
        kept = (
            "file of a package would be kept in its place",
            "files of packages would be kept in their places",
        )
        adopted = count_of(sum(len(p.adopted) for p in summary.syncs), *kept)
        _print_line(f"{adopted}, {count_of(sum(len(p.downloads) for p in summary.syncs), 'package')} downloaded")


def _told_added(report: _RepoReport) -> list[str]:
    """List what is added, and for a dry run say what of it has to be downloaded."""
    downloads = set(report.downloads)
    return [f"{path} (downloaded)" if path.partition(" (")[0] in downloads else path for path in report.added]


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
            "No state database of this agent knows this tree. The sync rewrites the indexes in their places, and "
            "only then removes what is left; earlier indexes that go then are not counted here."
        )
