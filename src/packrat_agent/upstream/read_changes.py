"""Checks what a server says of changes, and what else its `changes` can give."""

from collections.abc import Collection, Mapping
from typing import Any

from packrat_agent.model.changes import Changes
from packrat_agent.upstream.records import REPO, REPOS_LIMIT, Unusable, read_id
from packrat_core.errors import ServerBroken

RECORDS = "records"
"""The argument of `changes` for the records of the files that changed, and where the answer has them."""
TOUCHED = "touched"
"""The argument of `changes` for records of these files alone, and where a package has the URIs of all that changed."""
STREAM = "stream"
"""The argument of `changes` for an answer that stays open, with a line for each change."""
_ENTRIES_LIMIT = 2 * REPOS_LIMIT
"""Repositories that one answer may name, and the mirror; some may be no longer on it."""


def takes(described: Mapping[str, Any], name: str) -> bool:
    """Say whether an action, by its description, takes an argument of this name."""
    # CInP 2.0 corrects the word.
    parameters = described.get("paramaters", described.get("parameters"))
    listed = parameters if isinstance(parameters, list) else []
    return name in [parameter.get("name") for parameter in listed if isinstance(parameter, dict)]


def read_changes(value: object, mirror: str, known: Collection[str]) -> Changes:
    """Check an answer to `changes`.

    Args:
        value: The answer, unchecked.
        mirror: The URI of the mirror.
        known: The names of the repositories that the mirror had when it was viewed last.

    Raises:
        ServerBroken: It can't be used.
    """
    if not isinstance(value, dict) or not isinstance(value.get("changes"), dict):
        raise ServerBroken("changes answered with something that is not an object of changes")
    where = value.get("position")
    if not isinstance(where, str) or not 1 <= len(where) <= 200 or not where.isprintable():
        raise ServerBroken("changes answered without a usable position")
    if len(value["changes"]) > _ENTRIES_LIMIT:
        raise ServerBroken(f"changes answered with more than {_ENTRIES_LIMIT} repositories")
    repos: dict[str, frozenset[str] | None] = {}
    mirror_changed = False
    for uri, names in value["changes"].items():
        if uri == mirror:
            mirror_changed = True
            continue
        try:
            name = read_id(uri, REPO)
        except Unusable as error:
            raise ServerBroken(f"changes: {error}") from None
        # A repository that is new to the mirror: only another view tells what it is.
        mirror_changed = mirror_changed or name not in known
        repos[name] = None if names is None else read_names(names, "changes")
    return Changes(where, repos, mirror_changed)


def read_names(value: object, what: str) -> frozenset[str]:
    """Check a list of names of packages.

    Raises:
        ServerBroken: It is something else.
    """
    names = value if isinstance(value, list) else [None]
    if not all(isinstance(name, str) and len(name) <= 500 and name.isprintable() for name in names):
        raise ServerBroken(f"{what} answered with something that is not a list of names")
    return frozenset(names)
