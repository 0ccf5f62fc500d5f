"""`packrat-agent check`: judges the mirror as a monitoring plugin does, with the exit codes of such a plugin."""

import re
from collections.abc import Callable
from typing import Any, TypeVar

import click

from packrat_agent.cli.config_option import config_option
from packrat_agent.status.nagios import Level, Limit, Limits, judge, pass_age_limit, tell_unknown
from packrat_agent.status.reading import load_and_read
from packrat_core.errors import PackratError
from packrat_core.fs.in_time import in_time

F = TypeVar("F", bound=Callable[..., Any])

_NUMBER = r"(\d{1,9}(?:\.\d{1,3})?)?"


class _Unknown(click.UsageError):
    """A monitoring system takes 2 for CRITICAL: what is wrong with the command line is UNKNOWN."""

    exit_code = Level.UNKNOWN


class _Plugin(click.Command):
    """A command whose exit codes are those of a monitoring plugin."""

    def make_context(self, *args: Any, **more: Any) -> click.Context:
        try:
            return super().make_context(*args, **more)
        except click.UsageError as error:
            raise _Unknown(error.format_message(), error.ctx) from None


def _read_limit(_ctx: click.Context, _param: click.Parameter, text: str | None) -> Limit | None:
    if text is None:
        return None
    match = re.fullmatch(rf"{_NUMBER}(?::{_NUMBER})?", text)
    if match is None:
        raise click.BadParameter(f"{text[:40]!r} is not WARN[:CRIT], such as 60:600, 60 or :600")
    return Limit(*(None if seconds is None else float(seconds) for seconds in match.groups()))


def _limit(name: str, field: str, default: Limit | None, text: str) -> Callable[[F], F]:
    """Make an option that is a field of Limits: WARNING[:CRITICAL]; either may be left out to switch it off."""
    parts = () if default is None else (default.warning, default.critical)
    shown = ":".join("" if part is None else f"{part:g}" for part in parts).rstrip(":") or None
    return click.option(
        name, field, metavar="WARN[:CRIT]", callback=_read_limit, default=shown, show_default=True, help=text
    )


@click.command("check", cls=_Plugin)
@_limit("--max-lag", "lag_s", Limits().lag_s, "Seconds by which a repository may be behind the server.")
@_limit("--max-away", "away_s", Limits().away_s, "Seconds for which the server may be away.")
@_limit(
    "--max-pass-age", "pass_age_s", None, "Seconds since the last full sync; default: 3 and 10 full_sync_intervals."
)
@_limit("--max-refused", "refused", Limits().refused, "How many files may be left out: refused, or failed so far.")
@_limit("--key-days", "key_days", Limits().key_days, "Days for which the signing key must still be valid.")
@_limit("--disk-free", "disk_percent", Limits().disk_percent, "Percent that must be free below root_dir and state_db.")
@_limit(
    "--max-old-indexes",
    "old_index_percent",
    Limits().old_index_percent,
    "Percent of the disk that earlier indexes may take.",
)
@click.option("--allow-stopped", is_flag=True, help="Don't expect a running agent: a timer starts `sync`.")
@click.option("--allow-plain-http", is_flag=True, help="Accept plain http: the network to the server is safe.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object in place of the line.")
@config_option
@click.pass_context
def check_command(ctx: click.Context, /, as_json: bool, **given: Any) -> None:
    """Check the mirror, as a monitoring plugin.

    Each limit is WARNING or WARNING:CRITICAL. Exit codes: 0 OK; 1 WARNING; 2 CRITICAL; 3 UNKNOWN.
    """
    try:
        config, status = in_time(lambda: load_and_read(ctx.obj), ctx.obj)
        interval_s = float(config.mirror.full_sync_interval_s)
        limits = Limits(
            **{**given, "pass_age_s": given["pass_age_s"] or pass_age_limit(interval_s), "pass_s": Limit(interval_s)}
        )
        verdict = judge(status, limits)
    except PackratError as error:
        verdict = tell_unknown(str(error))
    except OSError as error:
        from packrat_core.fs.disk_errors import explain_os_error

        verdict = tell_unknown(str(explain_os_error(error) or error))
    except Exception as error:  # An error of ours says nothing about the mirror.
        verdict = tell_unknown(f"internal error: {type(error).__name__}: {error}")
    click.echo(verdict.as_json() if as_json else verdict.line, nl=not as_json)
    ctx.exit(verdict.level)
