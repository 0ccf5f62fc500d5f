"""Runs the agent with a clock that shows another time."""

import subprocess

from support.stage import DEADLINE_S, Stage


def sync_at(lab: Stage, moment: str) -> str:
    """Run a sync whose clock, and gpg's, shows another time, such as `-365d`; gives what it said."""
    done = subprocess.run(
        ["faketime", "-f", moment, *lab.command("sync")],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
