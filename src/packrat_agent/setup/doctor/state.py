"""Looks at how the mirror stands, by the judgement of `check`, and at the service that keeps it."""

from collections.abc import Iterator
from dataclasses import replace
from shlex import quote

from packrat_agent.config.settings import Config
from packrat_agent.setup import service
from packrat_agent.setup.commands import has_systemd, read_unit_setting
from packrat_agent.setup.doctor.findings import Finding, Level, fault, fault_of, ok, warning
from packrat_agent.setup.sandbox import SETTINGS, list_denials
from packrat_agent.status import nagios
from packrat_agent.status.reading import read_disks, read_status
from packrat_agent.status.values import Disk
from packrat_core.errors import PackratError
from packrat_core.text import count_of

_SEE = "see `packrat-agent status`, and docs/operations.md for what to do"
# These are looked at as they are now: the server and the key. Whether the agent runs, systemd says better.
_LIMITS = nagios.Limits(away_s=nagios.Limit(), key_days=nagios.Limit(), allow_plain_http=True)
_LEVELS = {nagios.Level.WARNING: Level.WARNING, nagios.Level.CRITICAL: Level.FAULT, nagios.Level.UNKNOWN: Level.FAULT}


def look_at_disks(config: Config) -> Iterator[Finding]:
    """Look whether there is room, in bytes and in inodes, by the limits of `check`."""
    for disk in read_disks(config):
        yield from judge_disk(disk)


def judge_disk(disk: Disk) -> Iterator[Finding]:
    """Say what is wrong with a filesystem, and what to do."""
    found = [(level, text) for level, text in nagios.judge_disk(disk, _LIMITS) if level is not nagios.Level.OK]
    for level, text in found:
        hint = f"free space below {disk.path}, or give it a filesystem of its own"
        if disk.scarce == "inodes":
            hint = f"remove files from the filesystem of {disk.path}, or make one with more inodes; `df -i` counts them"
        if text.endswith("read-only"):
            mount = f"`findmnt -T {quote(disk.path)}`"
            hint = f"check in `dmesg` whether the disk failed, then remount it writable: {mount}"
        yield Finding("disk", _LEVELS[level], text, hint)
    if not found:
        yield ok("disk", f"the disk of {disk.holds} has {disk.free_percent:g} % left, of bytes and of inodes")


def look_at_state(config: Config) -> Iterator[Finding]:
    """Look at what the state database says, by the rules and limits of `check`."""
    if not config.mirror.state_db.exists():
        yield warning("state", "no full sync was done yet", "run `packrat-agent init`, or `packrat-agent sync`")
        return
    try:
        status = read_status(config)
    except PackratError as error:
        yield fault_of("state", error)
        return
    interval_s = float(config.mirror.full_sync_interval_s)
    limits = replace(
        _LIMITS,
        pass_age_s=nagios.pass_age_limit(interval_s),
        pass_s=nagios.Limit(interval_s),
        allow_stopped=service.has_own_unit(config.source),
    )
    found = [
        Finding("state", _LEVELS[level], text, _SEE)
        for level, text in nagios.list_findings(status, limits)
        if level is not nagios.Level.OK and not text.startswith("the disk of")
    ]
    yield from found
    if not found:
        live = sum(repo.live for repo in status.repos)
        repositories = count_of(len(status.repos), "repository", "repositories")
        are = "is as the server wants it" if len(status.repos) == 1 else "are as the server wants them"
        yield ok("state", f"{repositories} with {count_of(live, 'package file')} {are}")


def look_at_service(config: Config) -> Iterator[Finding]:
    """Look whether systemd keeps the agent running, now and after a restart of the machine."""
    if not has_systemd():
        return
    if service.find_unit() is None:
        hint = "run `packrat-agent init`, or have `packrat-agent sync` started by a timer"
        yield warning("service", f"there is no unit {service.UNIT}", hint)
        return
    if (other := service.find_other_mirror(config.source)) is not None:
        hint = 'see that this one has a unit of its own, too: "Two mirrors on one host" in docs/operations.md'
        yield warning("service", f"{service.UNIT} runs another mirror, that of {other}", hint)
        return
    found = list(_look_at_unit(config))
    yield from found
    if not found:
        yield ok("service", f"{service.UNIT} runs, and starts with the machine")


def _look_at_unit(config: Config) -> Iterator[Finding]:
    if not service.is_active():
        hint = f"`journalctl -u {service.UNIT} -e` says why; start it: `systemctl start {service.UNIT}`"
        yield fault("service", f"{service.UNIT} does not run", hint)
    if (hidden := service.describe_hidden_unit()) is not None:
        hint = f"if it is left from before, remove it, and `systemctl daemon-reload; systemctl restart {service.UNIT}`"
        yield warning("service", hidden, hint)
    if not service.is_enabled():
        yield warning("service", "it does not start with the machine", f"`systemctl enable {service.UNIT}`")
    settings = {name: read_unit_setting(service.UNIT, name) for name in SETTINGS}
    for denial in list_denials(config, settings):
        change = f"`systemctl edit {service.UNIT}`: {denial.remedy} in [Service]"
        yield fault("service", denial.text, change if denial.remedy else "move it elsewhere, and change mirror.conf")
