"""Says in which phase the rotation of a signing key is, since when, and what comes next."""

from datetime import UTC, datetime

from packrat_agent.config.rotation_phase import Phase
from packrat_agent.state.facts import KeyInUse
from packrat_core.text import count_of


def describe_phase(key: KeyInUse, now: float) -> str | None:
    """Describe the phase of a rotation in one line; None where none is under way.

    Args:
        key: What is noted of the key.
        now: In epoch seconds.
    """
    match key.phase:
        case Phase.OFFERED:
            return f"1 of 3 {_since(key.offered_at, now)}: {key.next} is offered to clients"
        case Phase.SWITCHED:
            beside = "does not sign any more" if key.silent is not None else "signs beside it"
            return f"2 of 3 {_since(key.switched_at, now)}: the new key signs; {key.former} {beside}"
        case Phase.RETIRED:
            kept = count_of(key.kept_packages or 0, "package stands", "packages stand", grouped=True)
            return f"3 of 3 {_since(key.retired_at, now)}: {key.retired} no longer signs; {kept} with its signature"
        case _:
            return None


def explain_rotation_trouble(key: KeyInUse, now: float) -> str | None:
    """Say what is wrong with the other keys of a rotation; None if nothing is.

    Args:
        key: What is noted of the key.
        now: In epoch seconds.
    """
    if key.silent is not None:
        return (
            f"the former key {key.former} does not sign any more, so apt and image clients without the new key refuse "
            f"the mirror: {key.silent}; go on with `packrat-agent key rotate --finish`"
        )
    for what, name, expires in (
        ("next", key.next, key.next_expires),
        ("former", key.former, key.former_expires),
    ):
        if expires is not None and expires <= now:
            return f"the {what} key {name} of the rotation expired on {_day(expires)}; see `packrat-agent key rotate`"
    return None


def _since(at: float | None, now: float) -> str:
    if at is None:
        return "from the next full sync on"
    days = int((now - at) // 86400)
    return f"since {_day(at)}" + (f" ({count_of(days, 'day')})" if days > 0 else "")


def _day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}"
