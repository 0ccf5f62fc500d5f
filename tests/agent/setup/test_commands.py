"""Programs of the system that print without end while the mirror is set up."""

import pytest

from packrat_agent.setup.commands import run_command
from packrat_core.errors import ConfigError


def test_set_up_says_which_program_printed_without_end() -> None:
    with pytest.raises(ConfigError, match=r"`yes it` was ended after it had printed \d+ bytes: .*it / it"):
        run_command("yes", "it")
