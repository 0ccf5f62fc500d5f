"""Names the steps at which a crash must do no harm, so that tests can kill the process at each of them.

With PACKRAT_AGENT_DIE_AT=STEP in the environment, the process kills itself at that step, as if it crashed; with
STEP:COUNT, when it reaches the step for the COUNT-th time.
"""

import os
import signal

STEPS = (
    "wanted-remembered",
    "download-part",
    "download-done",
    "download-renamed",
    "packages-made",
    "publish-noted",
    "packages-flushed",
    "package-placed",
    "content-written",
    "pointers-staged",
    "content-flushed",
    "pointers-ready",
    "pointer-renamed",
    "pointers-flushed",
    "published-noted",
    "live-noted",
    "file-collected",
    "indexes-collected",
    "garbage-noted",
    "seal-written",
    "seal-renamed",
)
"""All steps, in the order of a sync."""

_STEP, _, _COUNT = os.environ.get("PACKRAT_AGENT_DIE_AT", "").partition(":")
_left = int(_COUNT) if _COUNT.isdigit() else 1


def done(step: str) -> None:
    """Mark a step as done; the process ends here if the environment says so."""
    if step == _STEP:
        _count_down()


def _count_down() -> None:
    global _left  # noqa: PLW0603 one process, one death
    _left -= 1
    if _left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)
