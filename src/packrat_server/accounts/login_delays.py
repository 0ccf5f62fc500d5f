"""Slows down those who guess a password or psk, without locking out its owner.

1. Failed logins are counted for each pair of a name and an address. So a stranger who guesses doesn't delay the owner
   of the name, who logs in from elsewhere.
2. After FREE_FAILURES failures, each further attempt of the pair must wait: 1 s, then twice as long each time, at most
   DELAY_LIMIT_S. A pair is forgotten FORGOTTEN_S after its last failure, and when it logs in.
3. A secret that was wrong a moment ago is refused at once, and not counted again: an agent with an old psk, or a
   program that repeats itself, neither takes time nor delays the pair.
4. A mirror that gives the psk it logged in with before is never delayed, and comes first in the queue. The proof of
   that is in the database, so this holds after a restart, too. A psk is random, so nobody guesses it; a user's password
   may be guessable, and is delayed in any case.

Secrets are remembered as a hash with a key, those of users in memory only. Unknown names are treated as known ones.
"""

import hashlib
import hmac
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

K = TypeVar("K")
V = TypeVar("V")

FREE_FAILURES = 5
DELAY_LIMIT_S = 300.0
FORGOTTEN_S = 900.0
_PAIRS = 10_000
_WRONG_SECRETS = 32


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login.

    Attributes:
        name: The name that it gives.
        address: Where it comes from.
        proof: A keyed hash of the name, the given secret and the stored one.
    """

    name: str
    address: str
    proof: bytes


@dataclass(slots=True)
class _Failures:
    count: int = 0
    last: float = 0.0
    until: float = 0.0
    wrong: OrderedDict[bytes, None] = field(default_factory=OrderedDict)


class LoginDelays:
    """What one server process remembers of logins; call its methods from one event loop only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, key: bytes | None = None) -> None:
        """Take the clock, and the key of proofs that outlive this process; None for a key of its own."""
        self._clock = clock
        self._key = key or secrets.token_bytes(32)
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()
        self._proven: OrderedDict[tuple[str, str], bytes] = OrderedDict()

    def attempt(self, name: str, address: str, secret: str, stored: bytes) -> Attempt:
        """Describe a login.

        Args:
            name: The name that it gives.
            address: Where it comes from.
            secret: The secret that it gives.
            stored: The stored hash of the name's secret, so that nothing is remembered beyond a change of the secret.
        """
        given = b"\0".join(text.encode("utf-8", "surrogatepass") for text in (name, secret))
        return Attempt(name, address, hmac.digest(self._key, stored + given, hashlib.sha256))

    def is_known_wrong(self, attempt: Attempt) -> bool:
        """Whether the pair has tried this secret a moment ago, and it was wrong."""
        failures = self._find(attempt)
        return failures is not None and attempt.proof in failures.wrong

    def has_logged_in(self, attempt: Attempt) -> bool:
        """Whether the name logged in from this address before."""
        return (attempt.name, attempt.address) in self._proven

    def wait_s(self, attempt: Attempt, *, is_mirror: bool) -> float:
        """How long the pair must wait before it may try; 0 where it may.

        Args:
            attempt: The login.
            is_mirror: Whether the name is that of a mirror.
        """
        proven = self._proven.get((attempt.name, attempt.address), b"")
        failures = self._find(attempt)
        if failures is None or (is_mirror and hmac.compare_digest(proven, attempt.proof)):
            return 0.0
        return max(0.0, failures.until - self._clock())

    def failed(self, attempt: Attempt) -> None:
        """Count a failed login."""
        pair = (attempt.name, attempt.address)
        failures = self._find(attempt) or _Failures()
        if attempt.proof in failures.wrong:
            # Two logins with the same secret at the same time: one mistake.
            return
        failures.count += 1
        failures.last = self._clock()
        if failures.count > FREE_FAILURES:
            # The exponent is bounded, since 2.0 ** 1024 is an error.
            exponent = min(failures.count - FREE_FAILURES - 1, 16)
            failures.until = failures.last + min(2.0**exponent, DELAY_LIMIT_S)
        _remember(failures.wrong, attempt.proof, None, _WRONG_SECRETS)
        _remember(self._failures, pair, failures, _PAIRS)

    def succeeded(self, attempt: Attempt) -> None:
        """Forget the failures of a pair that has logged in, and remember that it has."""
        pair = (attempt.name, attempt.address)
        self._failures.pop(pair, None)
        _remember(self._proven, pair, attempt.proof, _PAIRS)

    def _find(self, attempt: Attempt) -> _Failures | None:
        pair = (attempt.name, attempt.address)
        failures = self._failures.get(pair)
        if failures is not None and failures.last + FORGOTTEN_S < self._clock():
            del self._failures[pair]
            return None
        return failures


def _remember(table: OrderedDict[K, V], key: K, value: V, limit: int) -> None:
    """Put an entry at the end of a table, and drop the oldest ones beyond the limit."""
    table[key] = value
    table.move_to_end(key)
    while len(table) > limit:
        table.popitem(last=False)
