"""Defines tags: which tags each requires, and whether it needs a change control id.

1. Values that are not given stay as they are. A new tag requires nothing and needs no change control id.
2. Tags never require each other in a circle.
3. Files keep the tags that they have: a stricter rule applies to files that are tagged from now on.
4. A tag that is in use can't be removed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from packrat_core.errors import ConfigError
from packrat_core.text import count_of
from packrat_server.accounts.rights import tag_right
from packrat_server.admin.checks import check_name, need
from packrat_server.admin.record_change import APPROVED, Approval, Fields, RecordChange
from packrat_server.admin.submit_change import submit_change
from packrat_server.store.database import writing
from packrat_server.store.tables import package_file_tags, repos, required_tags, tags, user_rights
from packrat_server.store.text import join_names

NAME_LIMIT = 10
"""Characters of the name of a tag, as the API describes it."""


@dataclass(frozen=True, slots=True)
class TagType:
    """The values that a command line gives for a tag; None where it gives none."""

    name: str
    requires: tuple[str, ...] | None = None
    needs_change_control: bool | None = None


def save_tag_type(engine: Engine, tag: TagType, approval: Approval = APPROVED) -> RecordChange:
    """Make a tag, or change what is given of the one of that name.

    Args:
        engine: The database.
        tag: What is given.
        approval: Who lets it be committed, and why it is made.

    Returns:
        What changed.

    Raises:
        ConfigError: A value is wrong, names a tag that does not exist, or makes tags require each other.
    """
    check_name(tag.name, "tag", NAME_LIMIT)
    with writing(engine) as connection:
        for name in tag.requires or ():
            if name != tag.name:
                need(connection, tags, name, "tag", "--requires")
        before = _read_fields(connection, tag.name)
        now = datetime.now(UTC)
        if before is None:
            needed = bool(tag.needs_change_control)
            connection.execute(
                insert(tags).values(name=tag.name, change_control_required=needed, created=now, updated=now)
            )
        elif tag.needs_change_control is not None:
            connection.execute(
                update(tags).where(tags.c.name == tag.name).values(change_control_required=tag.needs_change_control)
            )
        if tag.requires is not None:
            _replace_required(connection, tag.name, tag.requires)
        after = _read_fields(connection, tag.name) or {}
        if after != before:
            connection.execute(update(tags).where(tags.c.name == tag.name).values(updated=now))
        change = RecordChange(before, after)
        submit_change(connection, "Attrib/Tag", tag.name, change, approval)
    return change


def remove_tag_type(engine: Engine, name: str, approval: Approval = APPROVED) -> RecordChange:
    """Remove a tag that nothing uses.

    Args:
        engine: The database.
        name: The name of the tag.
        approval: Who lets it be committed, and why it is made.

    Returns:
        What was removed.

    Raises:
        ConfigError: There is no such tag, or it is in use.
    """
    with writing(engine) as connection:
        need(connection, tags, name, "tag")
        if uses := _uses(connection, name):
            raise ConfigError(
                f"tag {name} is in use: {'; '.join(uses)}",
                hint="take it off first: `tag --off`, `repo set --tag`, `tag-type set --requires`, `user set --right`",
            )
        change = RecordChange(_read_fields(connection, name), None)
        connection.execute(delete(required_tags).where(required_tags.c.tag == name))
        connection.execute(delete(tags).where(tags.c.name == name))
        submit_change(connection, "Attrib/Tag", name, change, approval)
    return change


def _uses(connection: Connection, name: str) -> list[str]:
    """Say who uses a tag, a phrase each; nothing where nobody does."""
    in_repos = connection.execute(select(repos.c.name).where(repos.c.tag == name).order_by(repos.c.name))
    repo_names = in_repos.scalars().all()
    of_tags = connection.execute(
        select(required_tags.c.tag).where(required_tags.c.required == name).order_by(required_tags.c.tag)
    )
    tag_names = of_tags.scalars().all()
    tagged = select(func.count()).select_from(package_file_tags).where(package_file_tags.c.tag == name)
    files = connection.execute(tagged).scalar_one()
    uses = []
    if files:
        uses.append(f"on {count_of(files, 'file')}")
    if repo_names:
        uses.append(f"taken by repository {join_names(repo_names)}")
    holders = connection.execute(
        select(user_rights.c.user).where(user_rights.c.right == tag_right(name)).order_by(user_rights.c.user)
    )
    if user_names := holders.scalars().all():
        # Otherwise the right to a removed tag would be a right to a later one of that name.
        uses.append(f"a right of user {join_names(user_names)}")
    if tag_names:
        uses.append(f"required by tag {join_names(tag_names)}")
    return uses


def _replace_required(connection: Connection, tag: str, names: Iterable[str]) -> None:
    required = read_requirements(connection)
    required[tag] = tuple(dict.fromkeys(names))
    if circle := _circle(tag, required):
        raise ConfigError(
            f"--requires: tag {tag} would require itself: {' → '.join(circle)}",
            hint="no file could ever get one of these tags; leave one requirement out",
        )
    connection.execute(delete(required_tags).where(required_tags.c.tag == tag))
    for name in required[tag]:
        connection.execute(insert(required_tags).values(tag=tag, required=name))


def read_requirements(connection: Connection) -> dict[str, tuple[str, ...]]:
    """Read which tags each tag requires, without what these require in turn."""
    required: dict[str, tuple[str, ...]] = {}
    for row in connection.execute(select(required_tags).order_by(required_tags.c.tag, required_tags.c.required)):
        required[row.tag] = (*required.get(row.tag, ()), row.required)
    return required


def _circle(tag: str, required: Mapping[str, Sequence[str]]) -> list[str]:
    """Find how a tag requires itself: the tags from one to the next; nothing where it does not."""
    waiting, seen = [[tag]], {tag}
    while waiting:
        path = waiting.pop()
        for name in required.get(path[-1], ()):
            if name == tag:
                return [*path, tag]
            if name not in seen:
                seen.add(name)
                waiting.append([*path, name])
    return []


def _read_fields(connection: Connection, name: str) -> Fields | None:
    row = connection.execute(select(tags).where(tags.c.name == name)).first()
    if row is None:
        return None
    return {
        "required tags": ", ".join(read_requirements(connection).get(name, ())),
        "change control": "needed" if row.change_control_required else "not needed",
    }
