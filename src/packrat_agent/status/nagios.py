"""Judges a Status for monitoring: one line and one level, as monitoring plugins give them.

Source: Monitoring Plugins Development Guidelines (return codes, thresholds, performance data).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum

from packrat_agent.status.rotation import explain_rotation_trouble
from packrat_agent.status.values import AgentState, Disk, RepoStatus, Status
from packrat_core.text import count_of, human_age, human_size, printable

_NAMED = 3
_FULL_SYNCS_MISSED = (3, 10)
_DAY_S = 86400
_AHEAD_S = 60
"""A date further ahead than this was noted by a wrong clock and says nothing about the age."""
_FIRST_ANSWER_S = 60
"""Whether a server answers that drops all packets is known only once the agent gives up."""
_LONGEST_LINE = 2000
_LONGEST_REASON = 400
_AWAY = "the packrat server has been away for"

AWAY_WARNING_S = 300
"""A server that is away for longer is not just restarting; the log calls it an ERROR from then on, too."""


class Level(IntEnum):
    """The exit codes of a monitoring plugin."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


@dataclass(frozen=True, slots=True)
class Limit:
    """The values above which a figure is a WARNING, and a CRITICAL; None: never."""

    warning: float | None = None
    critical: float | None = None

    def judge(self, value: float, *, low: bool = False) -> Level:
        """Give the level of a value; with `low`, values below the limit are the bad ones."""
        for level, limit in ((Level.CRITICAL, self.critical), (Level.WARNING, self.warning)):
            if limit is not None and (value < limit if low else value > limit):
                return level
        return Level.OK


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of all figures."""

    lag_s: Limit = Limit(60, 600)
    away_s: Limit = Limit(AWAY_WARNING_S, 3600)
    pass_age_s: Limit = Limit(2700, 9000)
    pass_s: Limit = Limit(900)
    refused: Limit = Limit(0)
    key_days: Limit = Limit(30, 7)
    disk_percent: Limit = Limit(10, 3)
    old_index_percent: Limit = Limit(5)
    allow_stopped: bool = False
    allow_plain_http: bool = False


def pass_age_limit(full_sync_interval_s: float) -> Limit:
    """Give the age of the last full sync that is too much, from the number of full syncs that were missed."""
    warning, critical = (count * full_sync_interval_s for count in _FULL_SYNCS_MISSED)
    return Limit(warning, critical)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure of a mirror: its name, value and unit, and the limit by which it is judged, if any."""

    name: str
    value: float
    limit: Limit | None = None
    unit: str = ""


Finding = tuple[Level, str]
"""A level, and what was found."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The level and the line that a monitoring system shows, and the findings behind them, the worst first."""

    level: Level
    line: str
    findings: tuple[Finding, ...]
    figures: tuple[Figure, ...] = ()

    def as_json(self) -> str:
        """Write it as one JSON object; docs/operations.md describes the fields."""
        answer = {
            "schema": 1,
            "level": self.level.name,
            "code": int(self.level),
            "line": self.line,
            "findings": [{"level": level.name, "text": text} for level, text in self.findings],
            "figures": [
                {
                    "name": figure.name,
                    "value": round(figure.value, 1),
                    "unit": figure.unit,
                    "warning": figure.limit.warning if figure.limit is not None else None,
                    "critical": figure.limit.critical if figure.limit is not None else None,
                }
                for figure in self.figures
            ],
        }
        return json.dumps(answer, indent=2) + "\n"


def judge(status: Status, limits: Limits) -> Verdict:
    """Judge a mirror by all limits; the line names the worst findings first, then the figures."""
    found = list_findings(status, limits)
    bad = sorted((finding for finding in found if finding[0] is not Level.OK), key=lambda finding: -finding[0])
    level, figures = bad[0][0] if bad else Level.OK, tuple(_figures(status, limits))
    if not bad:
        return _tell(level, _good(status), (), figures)
    # Whether the server answers is said in every case: it may be why the rest is wrong.
    is_said = status.server.up is not False or any(text.startswith(_AWAY) for _, text in bad)
    note = "" if is_said else f"; {_server_said(status)}"
    said = "; ".join(text for _, text in bad)[: _LONGEST_LINE - len(note)] + note
    return _tell(level, said, tuple(bad), figures)


def list_findings(status: Status, limits: Limits) -> list[Finding]:
    """List what is judged, each with its level, also what is good."""
    return [
        *_agent(status, limits),
        *_failures(status),
        *_server(status, limits),
        *_full_syncs(status, limits),
        *_repos(status, limits),
        *_keys(status, limits),
        *(finding for disk in status.disks for finding in judge_disk(disk, limits)),
        *_old_indexes(status, limits),
    ]


def tell_unknown(text: str) -> Verdict:
    """Say why a mirror can't be judged."""
    return _tell(Level.UNKNOWN, text, ((Level.UNKNOWN, text),), ())


def _tell(level: Level, text: str, findings: tuple[Finding, ...], figures: tuple[Figure, ...]) -> Verdict:
    """Put the line together."""
    # A `|` in the text would begin the figures.
    shown = printable(text, " ").replace("|", "/")[:_LONGEST_LINE]
    perfdata = " ".join(_write_figure(figure) for figure in figures)
    return Verdict(level, f"PACKRAT {level.name} - {shown}{f' | {perfdata}' if perfdata else ''}", findings, figures)


def _agent(status: Status, limits: Limits) -> Iterator[Finding]:
    agent = status.agent
    if limits.allow_stopped or agent.state in (AgentState.RUNNING, AgentState.ELSEWHERE):
        return
    if agent.state is AgentState.SYNCING:
        yield Level.WARNING, f"`run` is not running, another packrat-agent (process {agent.pid}) is at work"
    else:
        yield Level.CRITICAL, "the agent is not running"


def _failures(status: Status) -> Iterator[Finding]:
    if status.root_lost is not None:
        yield Level.CRITICAL, status.root_lost
    if status.failure is not None:
        yield Level.CRITICAL, f"the agent can't work: {status.failure.reason}"
    if status.config_error is not None:
        yield Level.WARNING, f"the configuration that it was told to read can't be used: {status.config_error}"
    elif status.config_changed is not None:
        yield Level.WARNING, status.config_changed
    yield from ((Level.WARNING, fault.reason) for fault in status.side_faults)
    if rejected := [f"{record.record} ({record.reason})" for record in status.rejected]:
        yield Level.CRITICAL, f"{count_of(len(rejected), 'record')} of the mirror can't be used: {_some(rejected)}"


def _server(status: Status, limits: Limits) -> Iterator[Finding]:
    server = status.server
    # Where a timer starts `sync`, the server counts as it was when the last one asked it.
    if server.up is False and (status.agent.state is not AgentState.STOPPED or limits.allow_stopped):
        away_s = max(0.0, status.at - (server.since or status.at))
        level, text = limits.away_s.judge(away_s), f"{_AWAY} {human_age(away_s)}"
        if _is_unanswered(status) and limits.away_s != Limit():
            # Nothing says that it is only restarting: its address may be wrong, or the way to it closed.
            level, text = max(level, Level.WARNING), f"{text}, and has not answered since the agent started"
        yield level, f"{text}{_why_away(status)}"
        if server.since is not None and server.since - status.at > _AHEAD_S:
            yield Level.WARNING, "the packrat server is away, and since when is dated ahead of this host's clock"
    elif _is_unanswered(status) and limits.away_s != Limit():
        waits_s = status.at - (status.agent.started or status.at)
        if waits_s > _FIRST_ANSWER_S:
            yield Level.WARNING, f"the packrat server has not answered since the agent started {human_age(waits_s)} ago"
    if server.login_refused:
        yield Level.WARNING, f"the mirror is read without a login: {server.login_refused}"
    if server.plain_http is not None and not limits.allow_plain_http:
        yield Level.WARNING, server.plain_http


def _is_unanswered(status: Status) -> bool:
    """Tell whether an agent runs that the server has never answered."""
    return status.agent.state in (AgentState.RUNNING, AgentState.ELSEWHERE) and status.server.answered is False


def _full_syncs(status: Status, limits: Limits) -> Iterator[Finding]:
    last = status.full_pass
    if last is not None and last.ended is not None:
        # The longer full syncs take, the less often they come, so the time that this one took does not count.
        age_s = status.at - last.ended - (last.seconds or 0)
        yield limits.pass_age_s.judge(age_s), f"the last full sync ended {human_age(status.at - last.ended)} ago"
        if last.ended - status.at > _AHEAD_S:
            yield Level.WARNING, "the last full sync is dated ahead of this host's clock: when it ended is not known"
        took_s = last.seconds or 0
        text = f"a full sync took {human_age(took_s)}, longer than full_sync_interval: raise that"
        yield limits.pass_s.judge(took_s), text
    elif status.agent.started is not None:
        age_s = status.at - status.agent.started
        yield limits.pass_age_s.judge(age_s), f"no full sync has ended in {human_age(age_s)}"
    elif limits.allow_stopped:
        # A `sync` that ends before it works, such as for want of the key, leaves nothing else to judge by.
        yield Level.WARNING, "no full sync has ended yet"


def _repos(status: Status, limits: Limits) -> Iterator[Finding]:
    repos = status.repos
    if broken := [f"{repo.name} ({repo.error})" for repo in repos if repo.error]:
        yield Level.CRITICAL, f"{count_of(len(broken), 'repository', 'repositories')} can't be built: {_some(broken)}"
    if ahead := [f"{repo.name} ({repo.ahead})" for repo in repos if repo.ahead]:
        yield Level.CRITICAL, f"{count_of(len(ahead), 'repository', 'repositories')} dated ahead: {_some(ahead)}"
    if held := [f"{repo.name} ({repo.held})" for repo in repos if repo.held]:
        yield Level.WARNING, f"{count_of(len(held), 'repository', 'repositories')} held back: {_some(held)}"
    if status.troubles_total:
        files = [f"{trouble.repo}: {trouble.file} ({trouble.reason})" for trouble in status.troubles]
        text = f"left out {_some(files)}, {status.troubles_total} in all"
        yield limits.refused.judge(status.troubles_total), text
    # A finding for each level, so that one repository far behind doesn't hide in a long list of slightly late ones.
    for level in (Level.CRITICAL, Level.WARNING):
        late = [_behind(r) for r in repos if r.lag_s and limits.lag_s.judge(r.lag_s) is level]
        if late:
            yield level, f"behind the server: {_some(late)}"


def _behind(repo: RepoStatus) -> str:
    work = f" ({repo.work})" if repo.work is not None else ""
    return f"{repo.name} by {human_age(repo.lag_s or 0.0)}{work}"


def _keys(status: Status, limits: Limits) -> Iterator[Finding]:
    for name, key in status.named_keys():
        yield from ((Level.WARNING, text) for text in (key.stale, key.unused) if text is not None)
        if (trouble := explain_rotation_trouble(key, status.at)) is not None:
            yield Level.WARNING, f"{name}: {trouble}"
        for which, expires in (("next", key.next_expires), ("former", key.former_expires)):
            # One that has expired is told above.
            if expires is not None and expires > status.at:
                left_s = expires - status.at
                text = f"{name}: the {which} key expires in {human_age(left_s)}; see `packrat-agent key rotate`"
                yield limits.key_days.judge(left_s / _DAY_S, low=True), text
        if key.expires is None:
            continue
        left_s = key.expires - status.at
        if left_s <= 0:
            yield Level.CRITICAL, f"{name} expired {human_age(-left_s)} ago"
        else:
            yield limits.key_days.judge(left_s / _DAY_S, low=True), f"{name} expires in {human_age(left_s)}"


def judge_disk(disk: Disk, limits: Limits) -> Iterator[Finding]:
    """Judge the room on one filesystem."""
    text = f"the disk of {disk.holds} has {disk.left} left"
    yield limits.disk_percent.judge(disk.free_percent, low=True), text
    if not disk.writable:
        yield Level.CRITICAL, f"the disk of {disk.holds} is mounted read-only"


def _old_indexes(status: Status, limits: Limits) -> Iterator[Finding]:
    size_bytes = next((disk.size_bytes for disk in status.disks if disk.holds == "root_dir"), 0)
    if size_bytes:
        old_bytes = _old_index_bytes(status)
        percent = 100 * old_bytes / size_bytes
        text = f"earlier indexes hold {human_size(old_bytes)}, {percent:.1f} % of the disk: lower index_grace_period"
        yield limits.old_index_percent.judge(percent), text


def _old_index_bytes(status: Status) -> int:
    return sum(repo.old_index_bytes for repo in status.repos)


def _good(status: Status) -> str:
    last = status.full_pass.ended if status.full_pass else None
    parts = [
        count_of(len(status.repos), "repository", "repositories"),
        f"{sum(repo.live for repo in status.repos)} live",
        _server_said(status),
        f"last full sync {human_age(status.at - last)} ago" if last is not None else "no full sync yet",
    ]
    parts += [repo.work for repo in status.repos if repo.work is not None][:_NAMED]
    if status.agent.state is AgentState.ELSEWHERE:
        parts.append(f"held by {status.agent.host}")
    return ", ".join(parts)


def _server_said(status: Status) -> str:
    server = status.server
    if server.up is not False:
        return "server up" if server.up else "server not seen yet"
    since = "when last asked" if status.agent.state is AgentState.STOPPED else "for a moment"
    return f"server away {since}{_why_away(status)}"


def _why_away(status: Status) -> str:
    reason = status.server.reason
    # A server that refuses the login, for example, stops the agent, and is told with that.
    is_told = status.failure is not None and status.failure.reason == reason
    return f": {reason[:_LONGEST_REASON]}" if reason and not is_told else ""


def _figures(status: Status, limits: Limits) -> list[Figure]:
    shown = [
        Figure("live", sum(repo.live for repo in status.repos)),
        Figure("pending", sum(repo.pending for repo in status.repos)),
        Figure("refused", status.troubles_total, limits.refused),
        Figure("lag", max((repo.lag_s or 0.0 for repo in status.repos), default=0.0), limits.lag_s, "s"),
    ]
    if status.full_pass and status.full_pass.ended is not None:
        age_s = max(0.0, status.at - status.full_pass.ended)
        shown.append(Figure("pass_age", age_s, unit="s"))
    expiries = [key.expires for _, key in status.named_keys() if key.expires is not None]
    if expiries:
        shown.append(Figure("key_days", (min(expiries) - status.at) / _DAY_S))
    shown.append(Figure("old_indexes", _old_index_bytes(status), unit="B"))
    shown += [Figure(f"{disk.holds}_free", disk.free_percent, unit="%") for disk in status.disks]
    return shown


def _write_figure(figure: Figure) -> str:
    name, value, limit, unit = figure.name, figure.value, figure.limit, figure.unit
    shown = str(value) if isinstance(value, int) else f"{round(value, 1):.10g}"
    text = f"{name}={shown}{unit}"
    if limit is None:
        return text
    warning, critical = ("" if bound is None else f"{bound:.10g}" for bound in (limit.warning, limit.critical))
    return f"{text};{warning};{critical};0"


def _some(names: Sequence[str]) -> str:
    return ", ".join(name[:200] for name in names[:_NAMED]) + (" and more" if len(names) > _NAMED else "")
