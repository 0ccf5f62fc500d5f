"""Writes the Release files of a suite, following the rules that apt holds a repository to.

- apt rejects a Release dated in the future or older than the one it has, so the date only rises.
- apt asks its user before it accepts another Origin, Label or Codename. So a change of them waits until the operator
  confirms it; until then, packages are published under the old ones.
- So that no repository can be served in place of another, Release names its repository: in Label, which clients hold it
  to, and in the field Repository, which only `verify` reads. Suites that were published before it did so stay as they
  are.

Source: Debian wiki, DebianRepository/Format, "Release" files.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from packrat_agent.formats.interface import HELD, MOMENT, REPOSITORY, RenderRequest, RenderSettings, is_named
from packrat_agent.model.dates import rising
from packrat_agent.model.records import Repo

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


@dataclass(frozen=True, slots=True)
class Listed:
    """One index file as Release lists it; `path` is relative to the suite's directory."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Release:
    """A Release file: its bytes, its identity (a hash that leaves out the dates), and the facts to remember."""

    content: bytes
    identity: str
    facts: Mapping[str, str]


def write_release(
    request: RenderRequest, suite: str, architectures: Sequence[str], listed: Sequence[Listed]
) -> Release:
    """Write the Release of one suite.

    Args:
        request: what the repository is rendered from; the date follows from its `now`.
        suite: the name of the suite.
        architectures: Debian's names, in the order in which they are listed.
        listed: the index files of the suite, in any order.
    """
    settings = request.settings
    names, held = _hold_names(request, suite)
    named = {REPOSITORY: request.repo.name} if is_named(request.facts) else {}
    remembered = request.facts.get(suite, {})
    date_s = next_date(request.now, remembered, clock_confirmed=settings.clock_confirmed)
    # After `--trust-clock`, the date may go back; a new identity makes sure that this Release is published.
    set_back = str(date_s) if date_s < _last(remembered) else remembered.get("SetBack")
    fixed = [
        f"Origin: {names['Origin']}",
        f"Label: {names['Label']}",
        f"Suite: {suite}",
        f"Codename: {names['Codename']}",
    ]
    rest = [
        f"Architectures: {' '.join(architectures)}",
        "Components: main",
        f"Description: {one_line(settings.mirror_description) or names['Label']}",
        "Acquire-By-Hash: yes",
        *(f"{name}: {value}" for name, value in named.items()),
        "SHA256:",
        *(f" {file.sha256} {file.size:>16} {file.path}" for file in sorted(listed, key=lambda file: file.path)),
    ]
    # The identity leaves out the dates, so that an unchanged suite is not published again just for a new date.
    dates = [f"Date: {format_date(date_s)}"]
    identity = hashlib.sha256("\n".join([*fixed, *rest, f"signed: {settings.signed}"]).encode())
    if settings.apt_valid_for_s:
        dates.append(f"Valid-Until: {format_date(date_s + settings.apt_valid_for_s)}")
        # The identity changes when half of the validity is over, so that Release is written again in time.
        identity.update(f"valid {settings.apt_valid_for_s} {date_s // max(1, settings.apt_valid_for_s // 2)}".encode())
    facts = {**names, **named, MOMENT: str(date_s)}
    if held is not None:
        facts[HELD] = held
    if set_back:
        identity.update(f"set back to {set_back}".encode())
        facts["SetBack"] = set_back
    content = "\n".join([*fixed, *dates, *rest]) + "\n"
    return Release(content.encode(), identity.hexdigest(), facts)


def client_names(repo: Repo, settings: RenderSettings, suite: str, *, named: bool) -> dict[str, str]:
    """Give what apt lets change only with its user's consent: Origin, Label and Codename of a suite.

    Args:
        repo: the repository.
        settings: Origin and Label, where the operator has set them.
        suite: the name of the suite.
        named: the Label is to name the repository; else it describes it.
    """
    label = one_line(settings.apt_label or (repo.name if named else repo.description) or repo.name)
    return {"Origin": one_line(settings.apt_origin), "Label": label, "Codename": suite}


def write_arch_release(request: RenderRequest, suite: str, architecture: str) -> bytes:
    """Write the short Release file that lies beside the Packages file of one architecture.

    Args:
        request: What to render.
        suite: The suite that it is in.
        architecture: The architecture.
    """
    names, _ = _hold_names(request, suite)
    lines = [
        f"Archive: {suite}",
        f"Origin: {names['Origin']}",
        f"Label: {names['Label']}",
        "Component: main",
        f"Architecture: {architecture}",
    ]
    return ("\n".join(lines) + "\n").encode()


def _hold_names(request: RenderRequest, suite: str) -> tuple[Mapping[str, str], str | None]:
    """Choose Origin, Label and Codename: those that clients know, until the operator confirms others.

    Returns:
        The names to publish, and what is held back, for the operator; None where nothing is.
    """
    settings, repo = request.settings, request.repo
    wanted = client_names(repo, settings, suite, named=is_named(request.facts))
    remembered = request.facts.get(suite, {})
    changed = [name for name, value in wanted.items() if remembered.get(name, value) != value]
    if not changed or repo.name in settings.confirmed_repos:
        return wanted, None
    names = ", ".join(f"{name} from {remembered[name]!r} to {wanted[name]!r}" for name in changed)
    return {**wanted, **{name: remembered[name] for name in changed}}, (
        f"would change {names}; `apt-get update` would fail on every client that uses it until its user accepts that. "
        "Packages are published under the old one. Change it back, or confirm with "
        f"`confirm_release_change: {repo.name}` in [mirror]"
    )


def next_date(now: datetime, remembered: Mapping[str, str], *, clock_confirmed: bool) -> int:
    """Give the Date: now, or just after the last one if the clock has stepped back.

    Args:
        now: the date of the publication, aware, in UTC.
        remembered: the facts of the last publication.
        clock_confirmed: trust the clock: ignore the last Date, which may lie in the future.

    Returns:
        Epoch seconds.
    """
    return rising(int(now.timestamp()), None if clock_confirmed else _last(remembered))


def _last(remembered: Mapping[str, str]) -> int:
    last = remembered.get(MOMENT, "")
    return int(last) if last.isdigit() else -1


def format_date(epoch_s: int) -> str:
    """Format a date as Release has it: in UTC, with English names whatever the locale is."""
    at = datetime.fromtimestamp(epoch_s, UTC)
    return f"{_DAYS[at.weekday()]}, {at.day:02} {_MONTHS[at.month - 1]} {at.year} {at:%H:%M:%S} UTC"


def one_line(text: str) -> str:
    """Join the lines of a value, so that it can't add fields of its own."""
    return " ".join(text.split())
