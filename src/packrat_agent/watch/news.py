"""The news that the agent hears of the server, and how often it asks."""

from collections.abc import Mapping
from dataclasses import dataclass

from packrat_core.backoff import BackOff

_BACK_OFF = BackOff(first_s=1.0, longest_s=20.0)
_LOST = BackOff(first_s=1.0, longest_s=300.0)


@dataclass(frozen=True, slots=True)
class News:
    """The changes that may have happened since the last news.

    Attributes:
        repos: Repository name → package names; None for "list everything of it".
        mirror: The mirror's own record, or the record of one of its repositories, may have changed: view it again.
        history_lost: The server no longer knows what the agent heard last; it may have been restored from a backup.
        was_away: The server did not answer for a while, so it may have been restored, too.
    """

    repos: Mapping[str, frozenset[str] | None]
    mirror: bool = False
    history_lost: bool = False
    was_away: bool = False


@dataclass(frozen=True, slots=True)
class Pace:
    """The waits of an agent that listens, in seconds; pairs are (shortest, longest).

    Attributes:
        changes_s: How long one question for changes may stay open.
        pause_s: After a question that brought news.
        poll_s: How long one poll may stay open; the original server makes 10 of less.
        late_s: How much longer a poll may take before the server counts as strained.
        echo_s: After a poll's answer, until its repository is listed for what was lost in between.
        rest_s: After a poll that brought news.
        list_s: Between two listings of a repository.
        list_each_s: How much of that for each repository.
        mirror_s: Between two looks at the mirror.
        first_poll_s: Before the first poll, so that the work of the start is under way.
        back_off: After trouble.
        lost: After a server did not know what changed, until a whole question brings no news.
        strained_s: For how long only one poll is open after one was answered late.
    """

    changes_s: int = 12
    pause_s: float = 0.05
    poll_s: tuple[int, int] = (10, 13)
    late_s: float = 5.0
    echo_s: tuple[float, float] = (0.4, 1.0)
    rest_s: tuple[float, float] = (0.2, 0.4)
    list_s: tuple[float, float] = (3.0, 20.0)
    list_each_s: float = 1.0
    mirror_s: tuple[float, float] = (15.0, 20.0)
    first_poll_s: float = 3.0
    back_off: BackOff = _BACK_OFF
    lost: BackOff = _LOST
    strained_s: float = 300.0
