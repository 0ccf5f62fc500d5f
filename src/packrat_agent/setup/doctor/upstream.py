"""Looks at the packrat server: whether it answers, knows this mirror and its psk, and what time it says it is."""

import asyncio
import os
from collections.abc import Iterator
from datetime import UTC, datetime

from packrat_agent.config.plain_http import warn_of_plain_http
from packrat_agent.config.settings import Config
from packrat_agent.model.records import MirrorView
from packrat_agent.setup.account import Account
from packrat_agent.setup.doctor.findings import Finding, fault, fault_of, ok, warning
from packrat_agent.setup.new_mirror import ask_server, wait_briefly
from packrat_agent.upstream.server_clock import read_server_date
from packrat_core.errors import PackratError, ServerUnavailable
from packrat_core.text import count_of, hide_login

_CLOCK_WARNING_S = 5
_CLOCK_FAULT_S = 60
_SET_CLOCK = "set this machine's clock, by NTP, or that of the server: apt refuses what is dated ahead"
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy")


def look_at_server(config: Config, account: Account) -> Iterator[Finding]:
    """Log in to the packrat server as the agent does."""
    packrat = config.packrat
    try:
        view = account.do(lambda: ask_server(config))
    except PackratError as error:
        yield fault_of("server", error)
        if isinstance(error, ServerUnavailable):
            yield from _look_at_proxy(config)
        return
    yield from _look_at_repos(config, view)
    unencrypted = warn_of_plain_http(packrat)
    if unencrypted is not None:
        yield warning("server", unencrypted)
    yield from _look_at_clock(config, account)


def _look_at_repos(config: Config, view: MirrorView) -> Iterator[Finding]:
    yield from (
        fault("server", f"the server's record {rejected.record} can't be used: {rejected.reason}", "correct it there")
        for rejected in view.rejected
    )
    packrat = config.packrat
    names = ", ".join(repo.name for repo in view.repos)
    if names:
        yield ok("server", f"{packrat.url} offers mirror {packrat.name}: {names}")
    elif not view.rejected:
        hint = f"add some on the server (`packrat-server mirror set {packrat.name} --repo …`)"
        yield warning("server", f"{packrat.url} offers mirror {packrat.name} no repositories", hint)


def _look_at_proxy(config: Config) -> Iterator[Finding]:
    """A machine that reaches others by a proxy has it in variables, which the agent does not use."""
    found = [name for name in os.environ if name.lower() in _PROXY_VARIABLES and os.environ[name]]
    if found and config.packrat.proxy is None:
        text = f"{', '.join(sorted(found))} of this environment is not used by the agent, and [packrat] names no proxy"
        yield warning("proxy", text, f"if the server is reached by it, set `proxy: {hide_login(os.environ[found[0]])}`")


def _look_at_clock(config: Config, account: Account) -> Iterator[Finding]:
    try:
        date = account.do(lambda: asyncio.run(read_server_date(wait_briefly(config).packrat)))
    except PackratError:
        # That the server does not answer is a finding of its own.
        return
    if date is None:
        return
    ahead_s = (datetime.now(UTC) - date).total_seconds()
    where = f"{count_of(round(abs(ahead_s)), 'second')} {'ahead of' if ahead_s > 0 else 'behind'} that of the server"
    # The header has whole seconds, and the answer took its time.
    if abs(ahead_s) > _CLOCK_FAULT_S:
        yield fault("clock", f"this machine's clock is {where}", _SET_CLOCK)
    elif abs(ahead_s) > _CLOCK_WARNING_S:
        yield warning("clock", f"this machine's clock is {where}", _SET_CLOCK)
    else:
        yield ok("clock", "this machine's clock agrees with that of the server")
