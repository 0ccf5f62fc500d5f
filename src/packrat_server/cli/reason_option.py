"""The option --reason, which every command takes that changes something; the reason is in the event of the change."""

import click

from packrat_core.errors import ConfigError
from packrat_core.text import quote
from packrat_server.store.text import REASON_LIMIT, is_storable


def _check(_ctx: click.Context, _param: click.Parameter, reason: str) -> str:
    if len(reason) > REASON_LIMIT:
        raise ConfigError(f"--reason: it has {len(reason)} characters", hint=f"give up to {REASON_LIMIT}")
    if not is_storable(reason):
        raise ConfigError(f"--reason: {quote(reason)} is not text in UTF-8", hint="check the encoding of the terminal")
    return reason


reason_option = click.option("--reason", default="", callback=_check, help="The reason, which the history keeps.")
