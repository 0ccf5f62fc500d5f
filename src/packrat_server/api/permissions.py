"""Says who may call what: one table, which the server checks at every request and SECURITY.md shows.

1. Every action, and every verb that a model takes, is in the table. What is not in it, nobody may call.
2. Which objects a mirror sees is decided by the queries (accounts/visibility.py): its own record, its repositories,
   their files. All others do not exist for it.

Usage:

    if not may_call(caller, "CALL", "Repo/Mirror(heartbeat)"):
        raise CinpError(403, "Not Authorized")
"""

from collections.abc import Mapping

from packrat_server.accounts.sessions import Caller, Role

_EVERYBODY = frozenset(Role)
_SESSIONS = frozenset({Role.MIRROR, Role.MANAGER, Role.ADMIN})
_USERS = frozenset({Role.MANAGER, Role.ADMIN})
_ADMINS = frozenset({Role.ADMIN})

PERMISSIONS: Mapping[str, frozenset[Role]] = {
    "DESCRIBE": _EVERYBODY,
    "OPTIONS": _EVERYBODY,
    "CALL Auth/User(login)": _EVERYBODY,
    "CALL Auth/User(whoami)": _EVERYBODY,
    "CALL Auth/User(logout)": _SESSIONS,
    "CALL Auth/User(change_password)": _USERS,
    "GET Attrib/Tag": _SESSIONS,
    "LIST Attrib/Tag": _SESSIONS,
    "CALL Attrib/Tag(tagMap)": _SESSIONS,
    "GET Attrib/DistroVersion": _SESSIONS,
    "LIST Attrib/DistroVersion": _SESSIONS,
    "GET Package/Package": _SESSIONS,
    "LIST Package/Package": _SESSIONS,
    "CREATE Package/Package": _USERS,
    "UPDATE Package/Package": _USERS,
    "GET Package/PackageFile": _SESSIONS,
    "LIST Package/PackageFile": _SESSIONS,
    # Deleting can't be undone, so managers may not.
    "DELETE Package/PackageFile": _ADMINS,
    "CALL Package/PackageFile(create)": _USERS,
    "CALL Package/PackageFile(distroversionOptions)": _USERS,
    "CALL Package/PackageFile(filenameInUse)": _USERS,
    "CALL Package/PackageFile(tag)": _USERS,
    "CALL Package/PackageFile(untag)": _USERS,
    "CALL Package/PackageFile(fail)": _USERS,
    "CALL Package/PackageFile(unfail)": _USERS,
    "CALL Package/PackageFile(deprocate)": _USERS,
    "CALL Package/PackageFile(undeprocate)": _USERS,
    "GET Package/PackageFileTag": _SESSIONS,
    "LIST Package/PackageFileTag": _SESSIONS,
    "GET Repo/Repo": _SESSIONS,
    "LIST Repo/Repo": _SESSIONS,
    "CALL Repo/Repo(poll)": _SESSIONS,
    "GET Repo/Mirror": _SESSIONS,
    "LIST Repo/Mirror": _SESSIONS,
    "CALL Repo/Mirror(heartbeat)": _SESSIONS,
    "CALL Repo/Mirror(changes)": _SESSIONS,
    "GET /files/NAME": _SESSIONS,
    "POST /api/upload": _USERS,
}
"""Verb and what it is called on → the roles that may call it."""


def may_call(caller: Caller, verb: str, called: str) -> bool:
    """Tell whether a caller may do something.

    Args:
        caller: The user or mirror.
        verb: The verb: `CALL`.
        called: The model, action or path, without the root: `Repo/Mirror(heartbeat)`.
    """
    return caller.role in PERMISSIONS.get(f"{verb} {called}", frozenset())
