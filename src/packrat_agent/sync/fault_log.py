"""Tells a person once what is wrong, in the log and as an event, and not again until it changes."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

import structlog

from packrat_agent.model.entries import Refusal
from packrat_agent.model.records import Rejection
from packrat_agent.state.events import Events
from packrat_agent.state.fact_table import Facts
from packrat_agent.state.facts import LoginRefusal
from packrat_core.errors import DiskError
from packrat_core.text import name_some

log = structlog.get_logger()

_ANONYMOUS = (
    "the mirror is read without a login, which the server allows; correct psk in [packrat], or remove it if the server "
    "has no users for mirrors"
)
_BESIDE = "the repositories go on; it is tried again"
_LOGIN_AGAIN = "the login is not refused any more"

_Fault = tuple[str, str, str]
"""(word, what it is about, reason)"""


_LOGGED: Mapping[str, Callable[[str | None, Mapping[str, str], str], None]] = {
    "clock": lambda repo, what, reason: log.error("clock", repo=repo, **what, reason=reason),
    "failed": lambda repo, what, reason: log.error("failed", repo=repo, **what, reason=reason),
    "held": lambda repo, what, reason: log.error("held", repo=repo, **what, reason=reason),
    "metrics": lambda _repo, _what, reason: log.error("metrics", reason=reason, text=_BESIDE),
    "page": lambda _repo, _what, reason: log.error("page", reason=reason, text=_BESIDE),
    "refused": lambda repo, what, reason: log.error("refused", repo=repo, **what, reason=reason),
    "rejected": lambda repo, what, reason: log.error("rejected", repo=repo, **what, reason=reason),
    "server-clock": lambda _repo, _what, reason: log.warning("server-clock", reason=reason),
}


class _Result(Protocol):
    repo: str
    refused: list[Refusal]
    rejected: list[Rejection]
    failed: list[Refusal]
    held: str | None
    ahead: str | None
    publications: list[str]
    added: list[str]
    removed: list[str]
    yanked: list[str]
    unyanked: list[str]


class FaultLog:
    """Remembers, for each repository, which faults were told."""

    def __init__(self, facts: Facts, events: Events) -> None:
        self._facts = facts
        self._events = events
        self._faults: dict[str, set[_Fault]] = {}
        self._login_refused: str | None = None
        self._beside: dict[str, str | None] = {}

    def result(self, result: _Result, *, whole: bool) -> None:
        """Tell what is new in the result of a sync; `whole`: faults that are not in it are gone."""
        faults = [("refused", refusal.file.file_name, refusal.reason) for refusal in result.refused]
        faults += [("rejected", rejection.record, rejection.reason) for rejection in result.rejected]
        faults += [("failed", failure.file.file_name, failure.reason) for failure in result.failed]
        if result.held:
            faults.append(("held", "", result.held))
        if result.ahead:
            faults.append(("clock", "", result.ahead))
        self._tell(result.repo, faults, whole=whole)
        if result.publications or result.added or result.removed:
            marks = [(len(result.yanked), "yanked"), (len(result.unyanked), "no longer yanked")]
            counts = [
                (len(result.added), "added"),
                (len(result.removed), "removed"),
                *(mark for mark in marks if mark[0]),
            ]
            told = ", ".join(f"{count} {word}" for count, word in counts)
            text = f"{name_some(result.publications) or 'files'}: {told}"
            self._events.add(time.time(), "published", result.repo, text)

    def error(self, repo: str, reason: str) -> None:
        """Tell why a repository's sync stopped."""
        self._tell(repo, [("failed", "", reason)], whole=False)

    def beside(self, word: str, what: str, reason: str | None) -> None:
        """Tell why something beside the repositories fails, or that it does not (None); `check` shows it meanwhile.

        Args:
            word: The log word.
            what: What fails, such as `the landing page`.
            reason: A sentence that says what fails and why.
        """
        if reason is None and what not in self._beside:
            return
        now, is_new = time.time(), self._beside.get(what) != reason
        self._beside[what] = reason
        if reason is not None and is_new:
            _LOGGED[word](None, {}, reason)
        # The disk is told of elsewhere; nothing beside the repositories may stop for it.
        with suppress(DiskError):
            self._facts.note_side_fault(what, reason, now)
            if reason is None:
                del self._beside[what]
            elif is_new:
                self._events.add(now, word, None, reason)

    def rejected(self, repo: str, rejections: Iterable[Rejection]) -> None:
        """Tell which records can't be used; `repo` '' for those of the mirror itself."""
        self._tell(repo, [("rejected", rejection.record, rejection.reason) for rejection in rejections], whole=True)

    def login(self, refused: str | None) -> None:
        """Tell that the psk is refused and the mirror is read without a login, or that this is over (None).

        `status` and `check` show it for as long as it lasts; the log has it once after each start.
        """
        known = self._facts.read(LoginRefusal)
        before = known.refused if known is not None else None
        if refused is not None and refused != self._login_refused:
            log.warning("anonymous", reason=refused, text=_ANONYMOUS)
        self._login_refused = refused
        if refused == before:
            return
        now = time.time()
        self._facts.write(LoginRefusal(refused, now))
        self._events.add(now, "anonymous" if refused else "login", None, refused or _LOGIN_AGAIN)
        if refused is None:
            log.info("login", text=_LOGIN_AGAIN)

    def _tell(self, repo: str, faults: Sequence[_Fault], *, whole: bool) -> None:
        before = self._faults.get(repo, set())
        for word, about, reason in faults:
            if (word, about, reason) not in before:
                what = {"record" if word == "rejected" else "file": about} if about else {}
                _LOGGED[word](repo or None, what, reason)
                self._events.add(time.time(), word, repo or None, f"{about}: {reason}" if about else reason)
        self._faults[repo] = set(faults) if whole else before | set(faults)
