"""Reads what the agent has noted of a key, for the commands that show or replace it."""

from contextlib import suppress

from packrat_agent.config.settings import Config
from packrat_agent.state.facts import KeyInUse
from packrat_agent.status.reading import read_status
from packrat_core.errors import ConfigError


def read_key_status(config: Config, section: str) -> KeyInUse | None:
    """Read what is noted of the key of a section; None where no agent has worked yet, or not with that section.

    Raises:
        DiskError: The state database can't be read.
    """
    with suppress(ConfigError):
        status = read_status(config)
        if section == "mirror":
            return status.key
        return next((found.key for found in status.section_keys if found.section == section), None)
    return None
