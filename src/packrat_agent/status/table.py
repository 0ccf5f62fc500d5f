"""Shows a Status to people, with colours on a terminal.

It draws the table itself: to import what draws tables takes longer than all else that `status` does.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import IO

import click

from packrat_agent.state.facts import KeyInUse, ScanRound
from packrat_agent.status.rotation import describe_phase, explain_rotation_trouble
from packrat_agent.status.values import AgentState, RepoStatus, Status
from packrat_core.text import count_of, human_age, human_size, printable

_LISTED = 20
_FIGURES = ("wanted", "live", "refused", "pending", "changed", "checked", "lag", "old indexes")
_COLUMNS = ("repository", "kind", *_FIGURES, "state")
_PLAIN_TERMINALS = ("dumb", "unknown")
_GAP = "  "
_DAY_S = 86400
_KEY_SOON_S = 30 * _DAY_S


def show_status(status: Status, stream: IO[str]) -> None:
    """Write all of it; names and reasons come from the network, so nothing in them may steer the terminal."""
    has_styles = stream.isatty() and os.environ.get("TERM") not in _PLAIN_TERMINALS
    has_colours = has_styles and not os.environ.get("NO_COLOR")

    def style(text: str, name: str) -> str:
        if name == "bold":
            return click.style(text, bold=True) if has_styles else text
        return click.style(text, fg=name) if name and has_colours else text

    lines = [f"{style(f'{name:<10}', 'bold')} {style(printable(text), colour)}" for name, text, colour in _head(status)]
    if status.repos:
        cells = [[(name, "bold") for name in _COLUMNS], *(_row(status.at, repo) for repo in status.repos)]
        widths = [
            max(map(_width, column)) for column in zip(*([text for text, _ in row] for row in cells), strict=True)
        ]
        # Lines are not wrapped: a table squeezed into a narrow terminal can't be read.
        lines += ["", *(_draw(row, widths, style) for row in cells)]
    for part in (_mark(list_troubles(status)), list(_events(status))):
        if part:
            lines += ["", *(style(printable(text), colour) for text, colour in part)]
    click.echo("\n".join(lines), file=stream)


def _head(status: Status) -> Iterator[tuple[str, str, str]]:
    yield "mirror", status.mirror, ""
    yield ("agent", *_agent(status))
    server = status.server
    since = f" for {human_age(status.at - server.since)}" if server.since else ""
    # A stopped agent asks nobody, so how the server is now isn't known.
    if status.agent.state is AgentState.STOPPED:
        since = " when last seen"
    if server.up is None:
        yield "server", f"{server.url}, not heard of yet", ""
    elif server.up:
        yield "server", f"{server.url}, up{since}", "green"
    else:
        yield "server", f"{server.url}, away{since}: {server.reason or 'no reason known'}", "red"
    if server.login_refused:
        since = f" for {human_age(status.at - server.login_refused_since)}" if server.login_refused_since else ""
        yield "login", f"refused{since}, the mirror is read without one: {server.login_refused}", "yellow"
    yield "full sync", _full_pass(status), ""
    if (content := status.scan_round) is not None:
        yield "content", _content(content, status.at), ""
    if (scan := status.scan) is not None:
        of = f"{scan.files or 0} of " if scan.of_files is not None else ""
        files = count_of((scan.files or 0) if scan.of_files is None else scan.of_files, "file")
        began = f", began {human_age(status.at - scan.began)} ago" if scan.began is not None else ""
        yield "checking", f"{of}{files}, {human_size(scan.bytes or 0)}{began}", "cyan"
    for repo in status.repos:
        if repo.work is not None:
            yield "at work", repo.work, "cyan"
    yield from _keys(status)
    for disk in status.disks:
        free = f"{human_size(disk.free_bytes)} of {human_size(disk.size_bytes)} free ({disk.left})"
        yield "disk", f"{free} for {disk.holds} {disk.path}", ""


def _keys(status: Status) -> Iterator[tuple[str, str, str]]:
    if (key := status.key) is not None:
        text, style = _key(key, status.at)
        own = key.fingerprint is None and status.section_keys
        yield "key", "none of [mirror]: only repositories with a key of their own are signed" if own else text, style
        if (phase := describe_phase(key, status.at)) is not None:
            yield "rotation", phase, "cyan"
    for section_key in status.section_keys:
        text, style = _key(section_key.key, status.at)
        yield "key", f"[{section_key.section}] {text}", style
        if (phase := describe_phase(section_key.key, status.at)) is not None:
            yield "rotation", f"[{section_key.section}] {phase}", "cyan"


def _agent(status: Status) -> tuple[str, str]:
    agent = status.agent
    since = f" for {human_age(status.at - agent.started)}" if agent.started else ""
    version = f", version {agent.version}" if agent.version else ""
    if agent.state is AgentState.RUNNING:
        return f"running{since}, process {agent.pid}{version}", "green"
    if agent.state is AgentState.SYNCING:
        return f"not running; another packrat-agent is at work, process {agent.pid}", "yellow"
    if agent.state is AgentState.ELSEWHERE:
        return f"process {agent.pid} on {agent.host}{version}; ask there whether it runs", "yellow"
    return "not running; what follows is what it left", "red"


def _full_pass(status: Status) -> str:
    last = status.full_pass
    if last is None or last.ended is None:
        return "none has ended yet"
    took = f", took {human_age(last.seconds)}" if last.seconds is not None else ""
    read = f", {count_of(last.files, 'file')}, {human_size(last.bytes or 0)} read" if last.files is not None else ""
    found = f", {last.damaged} damaged" if last.damaged else ""
    found += f", {last.foreign} untracked" if last.foreign else ""
    rest = ", incomplete" if last.complete is False else ""
    return f"ended {human_age(status.at - last.ended)} ago{took}{read}{found}{rest}"


def _content(content: ScanRound, now: float) -> str:
    parts = []
    if content.ended is not None:
        parts.append(f"every file read until {human_age(now - content.ended)} ago")
    if content.began is not None:
        read = human_size(content.bytes or 0)
        parts.append(f"{read} read {'again ' if parts else ''}since {human_age(now - content.began)} ago")
    return ", ".join(parts) or "not read yet"


def _key(key: KeyInUse, now: float) -> tuple[str, str]:
    if key.fingerprint is None:
        return "none, nothing is signed", "yellow"
    kind = " ".join(str(part) for part in (key.algorithm, key.bits) if part)
    name = f"{key.fingerprint} ({kind})" if kind else key.fingerprint
    if key.expires is None:
        return f"{name}, never expires", ""
    left_s = key.expires - now
    day = datetime.fromtimestamp(key.expires, UTC).strftime("%Y-%m-%d")
    if left_s <= 0:
        return f"{name}, expired on {day}", "red"
    return f"{name}, expires on {day}, in {human_age(left_s)}", "yellow" if left_s < _KEY_SOON_S else ""


def _row(now: float, repo: RepoStatus) -> list[tuple[str, str]]:
    """Give the cells of a repository: text and style."""
    state, style = _state(repo)
    return [
        (printable(repo.name), ""),
        (printable(repo.kind), ""),
        (str(repo.wanted), ""),
        (str(repo.live), ""),
        (str(repo.refused), "yellow" if repo.refused else ""),
        (str(repo.pending), ""),
        (_ago(now, repo.published), ""),
        (_ago(now, repo.checked), ""),
        ("-" if repo.lag_s is None else human_age(repo.lag_s), ""),
        (_old_indexes(repo), ""),
        (printable(state), style),
    ]


def _draw(row: Sequence[tuple[str, str]], widths: Sequence[int], style: Callable[[str, str], str]) -> str:
    """Draw one line of the table; figures stand on the right."""
    drawn = []
    for column, (text, name), width in zip(_COLUMNS, row, widths, strict=True):
        padding = " " * (width - _width(text))
        drawn.append(padding + style(text, name) if column in _FIGURES else style(text, name) + padding)
    return _GAP.join(drawn).rstrip()


def _width(text: str) -> int:
    """Count the columns of a terminal that a text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(char) else 1 + (east_asian_width(char) in "WF") for char in text)


def _old_indexes(repo: RepoStatus) -> str:
    if not repo.old_generations and not repo.old_index_bytes:
        return "-"
    return f"{repo.old_generations}, {human_size(repo.old_index_bytes)}"


def _state(repo: RepoStatus) -> tuple[str, str]:
    if repo.error:
        return "failed", "red"
    if repo.held:
        return "held", "yellow"
    if repo.ahead:
        return "ahead", "red"
    return ("behind", "cyan") if repo.pending or repo.lag_s else ("good", "green")


def list_troubles(status: Status) -> Iterator[tuple[str, str]]:
    """List all that is wrong: (text, style) each."""
    if status.failure is not None:
        yield f"the agent can't work: {status.failure.reason}", "red"
    if status.config_error is not None:
        yield f"the configuration that it was told to read can't be used: {status.config_error}", "yellow"
    elif status.config_changed is not None:
        yield status.config_changed, "yellow"
    yield from (
        (text, style) for text, style in ((status.root_lost, "red"), (status.server.plain_http, "yellow")) if text
    )
    yield from ((fault.reason, "yellow") for fault in status.side_faults)
    for _, key in status.named_keys():
        found = (key.stale, key.unused, explain_rotation_trouble(key, status.at))
        yield from ((text, "yellow") for text in found if text is not None)
    # Thousands of files may be left out for one reason; the terminal gets a sample of them.
    for rejected in status.rejected[:_LISTED]:
        yield f"rejected {rejected.record}: {rejected.reason}", "red"
    if len(status.rejected) > _LISTED:
        yield f"and {len(status.rejected) - _LISTED} more; `packrat-agent status --json` lists them", "red"
    for repo in status.repos:
        if repo.error:
            yield f"{repo.name}: {repo.error}", "red"
        if repo.held:
            yield f"{repo.name}: held: {repo.held}", "yellow"
        if repo.ahead:
            yield f"{repo.name}: {repo.ahead}", "red"
    for trouble in status.troubles[:_LISTED]:
        word = "failed" if trouble.state == "pending" else trouble.state
        yield f"{trouble.repo}: {word} {trouble.file}: {trouble.reason}", "yellow"
    if status.troubles_total > _LISTED:
        yield f"and {status.troubles_total - _LISTED} more; `packrat-agent status --json` lists them", "yellow"


def _mark(troubles: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [(f"! {text}", style) for text, style in troubles]


def _events(status: Status) -> Iterator[tuple[str, str]]:
    for event in status.events:
        moment = datetime.fromtimestamp(event.at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        repo = f" {event.repo}" if event.repo else ""
        yield f"{moment} {event.word}{repo} {event.text}".rstrip(), ""


def _ago(now: float, at: float | None) -> str:
    return "never" if at is None else human_age(now - at)
