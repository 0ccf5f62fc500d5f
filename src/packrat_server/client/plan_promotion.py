"""Plans a promotion: which tags a package file needs, in which order, and what stands in the way.

Usage:

    plan = plan_promotion(record, "prod", tag_map, change_control_id=None)
    plan.tags      # ("stage", "prod")
    plan.missing   # ("prod needs a change control id: give --change-control",)
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from packrat_server.promotion.rules import MARKS, chain_to

Tags = Mapping[str, Mapping[str, Any]]
_UNDONE_BY = {"failed": "unfail", "deprocated": "undeprocate"}


@dataclass(frozen=True, slots=True)
class PromotionPlan:
    """The steps of a promotion.

    Attributes:
        tags: The tags to put on, each after those that it requires.
        missing: What must be done first, a sentence each; nothing where the file can be promoted.
    """

    tags: tuple[str, ...]
    missing: tuple[str, ...]


def plan_promotion(record: Mapping[str, Any], tag: str, tags: Tags, change_control_id: str | None) -> PromotionPlan:
    """Plan how a package file gets a tag.

    Args:
        record: The record of the file.
        tag: The tag that it is promoted to.
        tags: All tags of the server, as `tagMap` gives them.
        change_control_id: What permits the change; None or empty where nothing does.

    Returns:
        The plan; without tags where the file has them all already.
    """
    if tag not in tags:
        return PromotionPlan((), (f"the server has no tag {tag}; there are {', '.join(sorted(tags)) or 'none'}",))
    has = set(record.get("tags") or ())
    if tag in has:
        return PromotionPlan((), ())
    chain = chain_to(tag, {name: tuple(each.get("required") or ()) for name, each in tags.items()})
    needed = tuple(name for name in chain if name not in has)
    missing = [
        f"it is {mark}, so it takes no tags; `{_UNDONE_BY[mark]}` undoes that"
        for mark in MARKS
        if record.get(f"{mark}_at") is not None
    ]
    controlled = [name for name in needed if tags.get(name, {}).get("change_control")]
    if controlled and not change_control_id:
        verb = "needs" if len(controlled) == 1 else "need"
        missing.append(f"{' and '.join(controlled)} {verb} a change control id: give --change-control")
    return PromotionPlan(needed, tuple(missing))
