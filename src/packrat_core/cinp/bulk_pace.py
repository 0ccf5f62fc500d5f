"""Decides how much bulk work a server is given at once, by how fast it answers.

A small server has a few workers, and a client that keeps all of them busy makes all others wait. Their number can't be
asked, but answers that get slower show it.

1. Bulk work begins with one request at a time. Each answer in good time allows one more request at once, up to a limit.
2. The measure is the quiet time: the shortest answer of the last ten minutes that came while no other request of the
   bulk work was open. Where there is none, the work goes back to one request at a time to find out.
3. An answer is slow if it takes half as long again as the quiet time, and a margin more. It halves the number of
   requests at once, as do several slow answers to requests that were open together.
4. After a slow answer the number rises more carefully: by one for as many answers in good time as there are requests.
5. Where one request at a time is still slow, the next one waits for as long as the last one took, at most ten seconds.

    pace = Pace(most=2)
    pace = pace.after(Answered(began_s, ended_s, alone=True))
    pace.at_once, pace.rest_s
"""

from dataclasses import dataclass, replace

_MEMORY_S = 600.0
_BUCKET_S = 60.0
_SLOW_FACTOR = 1.5
_LONGEST_REST_S = 10.0


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer: when it was asked for and when it came, in seconds of a clock that never goes back.

    alone: no other request of the bulk work was open at the same time.
    """

    began_s: float
    ended_s: float
    alone: bool

    @property
    def took_s(self) -> float:
        """Seconds that the server took."""
        return self.ended_s - self.began_s


@dataclass(frozen=True, slots=True)
class Pace:
    """The pace that follows from all answers so far.

    most: The largest number of requests at once.
    margin_s: By how much an answer must be late to count as slow; a trifle says nothing.
    at_once: How many requests may be open.
    rest_s: How long to wait before the next one.
    """

    most: int
    margin_s: float = 0.1
    at_once: int = 1
    rest_s: float = 0.0
    _quiet: tuple[tuple[float, float], ...] = ()
    """(start of a minute, the shortest answer in it), the oldest first."""
    _was_slow: bool = False
    _good: int = 0
    """Answers in good time since the last change of `at_once`."""
    _changed_s: float = float("-inf")
    """When `at_once` was last lowered."""

    def after(self, answer: Answered) -> "Pace":
        """Take one more answer into account."""
        quiet = _remember(self._quiet, answer)
        if not quiet:
            return replace(self, at_once=1, rest_s=0.0, _quiet=(), _good=0)
        quiet_s = min(shortest_s for _, shortest_s in quiet)
        if answer.took_s > quiet_s * _SLOW_FACTOR + self.margin_s:
            return self._slower(answer, quiet)
        if self.at_once >= self.most and not self.rest_s and quiet is self._quiet:
            # At the limit: after a decrease, the answers that came in time are counted from zero.
            return self
        good = self._good + 1
        if self.at_once < self.most and (not self._was_slow or good >= self.at_once):
            return replace(self, at_once=self.at_once + 1, rest_s=0.0, _quiet=quiet, _good=0)
        return replace(self, rest_s=0.0, _quiet=quiet, _good=good)

    def _slower(self, answer: Answered, quiet: tuple[tuple[float, float], ...]) -> "Pace":
        rest_s = min(answer.took_s, _LONGEST_REST_S) if self.at_once == 1 else 0.0
        if answer.began_s < self._changed_s:
            # It was asked for before the number was lowered, and says nothing of the pace since.
            return replace(self, _quiet=quiet, _good=0)
        return replace(
            self,
            at_once=max(1, self.at_once // 2),
            rest_s=rest_s,
            _quiet=quiet,
            _was_slow=True,
            _good=0,
            _changed_s=answer.ended_s,
        )


def _remember(quiet: tuple[tuple[float, float], ...], answer: Answered) -> tuple[tuple[float, float], ...]:
    if not answer.alone and quiet and answer.ended_s - quiet[0][0] < _MEMORY_S:
        return quiet
    kept = {start_s: shortest_s for start_s, shortest_s in quiet if answer.ended_s - start_s < _MEMORY_S}
    if answer.alone:
        start_s = answer.ended_s // _BUCKET_S * _BUCKET_S
        kept[start_s] = min(kept.get(start_s, answer.took_s), answer.took_s)
    return tuple(sorted(kept.items()))
