"""Says who may call what: one table, which the server checks at every request and SECURITY.md shows.

1. Every action, and every verb that a model takes, is in the table. What is not in it, nobody may call.
2. Which rights a role has is in accounts/rights.py. Tags and marks also need the right to the tags of the file
   (file_actions.py).
3. Which objects a mirror sees is decided by the queries (accounts/visibility.py): its own record, its repositories,
   their files. All others do not exist for it.

Usage:

    if not may_call(caller, "CALL", "Repo/Mirror(heartbeat)"):
        raise CinpError(403, "Not Authorized")
"""

from collections.abc import Mapping

from packrat_server.accounts.rights import Right, has_right
from packrat_server.accounts.sessions import Caller

PERMISSIONS: Mapping[str, Right] = {
    "DESCRIBE": Right.CALL,
    "OPTIONS": Right.CALL,
    "CALL Auth/User(login)": Right.CALL,
    "CALL Auth/User(whoami)": Right.CALL,
    "CALL Auth/User(logout)": Right.SESSION,
    "CALL Auth/User(change_password)": Right.ACCOUNT,
    "GET Attrib/Tag": Right.READ,
    "LIST Attrib/Tag": Right.READ,
    "CALL Attrib/Tag(tagMap)": Right.READ,
    "GET Attrib/DistroVersion": Right.READ,
    "LIST Attrib/DistroVersion": Right.READ,
    "GET Package/Package": Right.READ,
    "LIST Package/Package": Right.READ,
    "CREATE Package/Package": Right.CREATE_PACKAGE,
    "UPDATE Package/Package": Right.UPDATE_PACKAGE,
    "GET Package/PackageFile": Right.READ,
    "LIST Package/PackageFile": Right.READ,
    "DELETE Package/PackageFile": Right.DELETE_FILE,
    "CALL Package/PackageFile(bundle)": Right.READ,
    "CALL Package/PackageFile(create)": Right.UPLOAD,
    "CALL Package/PackageFile(distroversionOptions)": Right.UPLOAD,
    "CALL Package/PackageFile(filenameInUse)": Right.LOOK_UP,
    "CALL Package/PackageFile(history)": Right.LOOK_UP,
    "CALL Package/PackageFile(find)": Right.LOOK_UP,
    "CALL Package/PackageFile(show)": Right.LOOK_UP,
    "CALL Package/PackageFile(findPackages)": Right.LOOK_UP,
    "CALL Package/PackageFile(compare)": Right.LOOK_UP,
    "CALL Package/PackageFile(where)": Right.LOOK_UP,
    "CALL Package/PackageFile(tag)": Right.TAG,
    "CALL Package/PackageFile(untag)": Right.TAG,
    "CALL Package/PackageFile(fail)": Right.FAIL,
    "CALL Package/PackageFile(unfail)": Right.UNFAIL,
    "CALL Package/PackageFile(deprocate)": Right.DEPROCATE,
    "CALL Package/PackageFile(undeprocate)": Right.UNDEPROCATE,
    "GET Package/PackageFileTag": Right.READ,
    "LIST Package/PackageFileTag": Right.READ,
    "GET Repo/Repo": Right.READ,
    "LIST Repo/Repo": Right.READ,
    "CALL Repo/Repo(poll)": Right.READ,
    "GET Repo/Mirror": Right.READ,
    "LIST Repo/Mirror": Right.READ,
    "CALL Repo/Mirror(heartbeat)": Right.HEARTBEAT,
    "CALL Repo/Mirror(report)": Right.REPORT,
    "CALL Repo/Mirror(changes)": Right.READ,
    "GET /files/NAME": Right.READ,
    "POST /api/upload": Right.UPLOAD,
}
"""Verb and what it is called on → the right that it needs."""


def may_call(caller: Caller, verb: str, called: str) -> bool:
    """Tell whether a caller may do something.

    Args:
        caller: The user or mirror.
        verb: The verb: `CALL`.
        called: The model, action or path, without the root: `Repo/Mirror(heartbeat)`.
    """
    right = PERMISSIONS.get(f"{verb} {called}")
    return right is not None and has_right(caller.rights, right)
