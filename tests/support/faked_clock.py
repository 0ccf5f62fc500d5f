"""Runs the agent, and other programs, with a clock that shows another time.

The library is loaded without the program `faketime`. That one starts the command as a child, which goes on when a test
kills it, and it refuses to start where another run of it, with the same process id, was killed.
"""

import os
import subprocess
from pathlib import Path

from support.stage import DEADLINE_S, Stage


def at_moment(moment: str) -> dict[str, str]:
    """Give the variables with which a program's clock shows another time.

    moment: how far off, such as `-365d`, or when the program starts, such as `@2031-01-01 00:00:00`.
    """
    library = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
    return {"LD_PRELOAD": str(library), "FAKETIME": moment}


def sync_at(lab: Stage, moment: str) -> str:
    """Run a sync whose clock, and gpg's, shows another time, such as `-365d`; gives what it said."""
    done = subprocess.run(
        lab.command("sync"),
        env=os.environ | at_moment(moment),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
