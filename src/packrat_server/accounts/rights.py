"""Says what a role may do: one right for each action or few that belong together, and one for each tag.

1. A role is a set of rights. A user has one role, and may have further rights.
2. Putting a tag on, or taking it off, needs the right to this tag: `tag_prod`. TAG_ALL stands for every tag, also those
   that are made later.
3. A mark takes a file out of all its repositories, so it needs the right to mark and the right to each tag of the file.

Usage:

    caller = Caller("ci", Role.UPLOADER, frozenset({"tag_dev"}))
    may_tag(caller.rights, "prod")  # False
"""

from collections.abc import Mapping
from enum import StrEnum


class Role(StrEnum):
    """The role of a caller: NOBODY has no session, MIRROR is a mirror, the others are users.

    Where the server is public, PUBLIC takes the place of NOBODY.
    """

    NOBODY = "nobody"
    PUBLIC = "public"
    MIRROR = "mirror"
    READER = "reader"
    UPLOADER = "uploader"
    PROMOTER = "promoter"
    MANAGER = "manager"
    ADMIN = "admin"


class Right(StrEnum):
    """What a call needs."""

    CALL = "call"
    """What everybody may do."""
    SESSION = "session"
    ACCOUNT = "account"
    """Change one's own password."""
    READ = "read"
    """Read records, download files, and wait for changes."""
    LOOK_UP = "look_up"
    """Read what no mirror needs: the history, and which file names are in use."""
    HEARTBEAT = "heartbeat"
    REPORT = "report"
    """Say what a mirror has published, which the mirror alone knows."""
    UPLOAD = "upload"
    CREATE_PACKAGE = "create_package"
    UPDATE_PACKAGE = "update_package"
    TAG = "tag"
    """The right to any tag."""
    FAIL = "fail"
    UNFAIL = "unfail"
    DEPROCATE = "deprocate"
    UNDEPROCATE = "undeprocate"
    DELETE_FILE = "delete_file"


TAG_ALL = "tag_*"

_EVERYBODY = frozenset({Right.CALL})
_READER = _EVERYBODY | {Right.SESSION, Right.ACCOUNT, Right.READ, Right.LOOK_UP}
_UPLOADER = _READER | {Right.UPLOAD, Right.CREATE_PACKAGE}
_PROMOTER = _READER | {Right.FAIL, Right.UNFAIL, Right.DEPROCATE, Right.UNDEPROCATE}
_MANAGER = _UPLOADER | _PROMOTER | {Right.HEARTBEAT, TAG_ALL}

ROLES: Mapping[Role, frozenset[str]] = {
    Role.NOBODY: _EVERYBODY,
    Role.PUBLIC: _EVERYBODY | {Right.READ, Right.HEARTBEAT},
    Role.MIRROR: _EVERYBODY | {Right.SESSION, Right.READ, Right.HEARTBEAT, Right.REPORT},
    Role.READER: _READER,
    Role.UPLOADER: _UPLOADER,
    Role.PROMOTER: _PROMOTER,
    Role.MANAGER: _MANAGER,
    # Deleting can't be undone, so managers may not, nor say how many marked files stay.
    Role.ADMIN: _MANAGER | {Right.UPDATE_PACKAGE, Right.DELETE_FILE},
}
USER_ROLES = (Role.READER, Role.UPLOADER, Role.PROMOTER, Role.MANAGER, Role.ADMIN)

GRANTABLE = frozenset(Right) - _READER - {Right.TAG, Right.REPORT}
"""Rights that a user may have beyond the role, besides those to tags."""


def tag_right(tag: str) -> str:
    """Name the right to put a tag on and take it off."""
    return f"tag_{tag}"


def may_tag(rights: frozenset[str], tag: str) -> bool:
    """Tell whether rights include that to a tag."""
    return TAG_ALL in rights or tag_right(tag) in rights


def has_right(rights: frozenset[str], right: Right) -> bool:
    """Tell whether rights include one; TAG is there with the right to any tag."""
    if right is Right.TAG:
        return any(held.startswith("tag_") for held in rights)
    return right in rights
