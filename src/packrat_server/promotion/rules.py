"""The rules of promotion, as pure functions of what a file has.

1. A file that is failed or deprocated takes no tags.
2. A tag is put on once; every tag that it requires must be there before it.
3. Some tags need a change control id.
4. A tag stays as long as another tag of the file requires it.
5. A failed file can't be deprocated, nor a deprocated one failed; either mark can be taken off again.

Usage:

    rule = TagRule("prod", requires=("stage",), needs_change_control=True)
    check_tag(FileState(marks=(), tags=frozenset({"dev", "stage"})), rule, "CHG-1")
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

CHANGE_CONTROL_LIMIT = 50

Mark = Literal["failed", "deprocated"]
MARKS: tuple[Mark, ...] = ("failed", "deprocated")
MARKING: Mapping[Mark, str] = {"failed": "fail", "deprocated": "deprocate"}
"""Mark → the action that puts it on; the one that takes it off has `un` before it."""


class Rejected(Exception):
    """A request breaks a rule of the server; `code` is the API's name of the rule."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class FileState:
    """The tags that a package file has, and the marks that take it out."""

    marks: tuple[Mark, ...]
    tags: frozenset[str]


@dataclass(frozen=True, slots=True)
class TagRule:
    """The requirements of a tag on a file."""

    name: str
    requires: tuple[str, ...]
    needs_change_control: bool


def check_tag(file: FileState, tag: TagRule, change_control_id: str | None) -> None:
    """Check that a file may get a tag.

    Args:
        file: The file as it is.
        tag: The tag to put on.
        change_control_id: What the caller gave; None or empty where nothing.

    Raises:
        Rejected: A rule forbids it.
    """
    if file.marks:
        raise Rejected("DEPROCATED/FAILED", f"The file is {' and '.join(file.marks)}, it takes no tags")
    if tag.name in file.tags:
        raise Rejected("ALLREADY_TAGGED", f'Allready tagged with "{tag.name}"')
    for name in tag.requires:
        if name not in file.tags:
            raise Rejected("TAG_REQUIRED", f'Required tag "{name}" missing')
    if tag.needs_change_control and not change_control_id:
        raise Rejected("CHANGECONTROL_REQUIRED", f'Change Control required to tag with "{tag.name}"')
    if change_control_id and len(change_control_id) > CHANGE_CONTROL_LIMIT:
        raise Rejected("CHANGECONTROL_INVALID", f"Change Control Id has more than {CHANGE_CONTROL_LIMIT} characters")


def chain_to(tag: str, required: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """List the tags that a file needs for a tag, each after those that it requires; the last is the tag itself.

    Args:
        tag: The tag.
        required: Tag → the tags that it requires.
    """
    chain: dict[str, None] = {}
    waiting, entered = [(tag, False)], set[str]()
    # Not by recursion: a server that is read through the API may have any number of tags.
    while waiting:
        name, requirements_done = waiting.pop()
        if requirements_done:
            chain[name] = None
        elif name not in entered:
            entered.add(name)
            waiting.append((name, True))
            waiting.extend((each, False) for each in reversed(required.get(name, ())))
    return tuple(chain)


def check_untag(file: FileState, tag: str, dependents: Iterable[str]) -> None:
    """Check that a tag may be taken off a file.

    Args:
        file: The file as it is.
        tag: The tag to take off.
        dependents: All tags that require it.

    Raises:
        Rejected: The file does not have the tag, or has one that requires it.
    """
    if tag not in file.tags:
        raise Rejected("NOT_TAGGED", f'Not tagged with "{tag}"')
    for name in dependents:
        if name in file.tags:
            raise Rejected("TAG_REQUIRED", f'Tag "{name}" requires it; take that off first')


def check_mark(file: FileState, mark: Mark) -> None:
    """Check that a file may be marked.

    Raises:
        Rejected: It has another mark.
    """
    for other in file.marks:
        if other != mark:
            raise Rejected(other.upper(), f"The file is {other} already, it can't be {mark}")
