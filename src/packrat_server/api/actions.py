"""The table of all actions that can be called: path of the action → its function."""

from collections.abc import Awaitable, Callable
from typing import Any

from packrat_server.api import (
    bundle,
    change_actions,
    event_actions,
    file_actions,
    look_actions,
    report_actions,
    user_actions,
)
from packrat_server.api.call import Call

ACTIONS: dict[str, Callable[[Call], Awaitable[Any]]] = {
    "Auth/User(login)": user_actions.login,
    "Auth/User(logout)": user_actions.logout,
    "Auth/User(whoami)": user_actions.whoami,
    "Auth/User(change_password)": user_actions.set_password,
    "Attrib/Tag(tagMap)": file_actions.tag_map,
    "Package/PackageFile(tag)": file_actions.tag,
    "Package/PackageFile(untag)": file_actions.untag,
    "Package/PackageFile(fail)": file_actions.marking("failed"),
    "Package/PackageFile(unfail)": file_actions.unmarking("failed"),
    "Package/PackageFile(deprocate)": file_actions.marking("deprocated"),
    "Package/PackageFile(undeprocate)": file_actions.unmarking("deprocated"),
    "Package/PackageFile(create)": file_actions.create,
    "Package/PackageFile(distroversionOptions)": file_actions.distro_versions_for,
    "Package/PackageFile(filenameInUse)": file_actions.file_name_in_use,
    "Package/PackageFile(bundle)": bundle.bundle,
    "Package/PackageFile(history)": event_actions.history,
    "Package/PackageFile(find)": look_actions.find,
    "Package/PackageFile(show)": look_actions.show,
    "Package/PackageFile(findPackages)": look_actions.find_packages,
    "Package/PackageFile(compare)": look_actions.compare_sides,
    "Package/PackageFile(where)": report_actions.where,
    "Repo/Repo(poll)": change_actions.poll,
    "Repo/Mirror(heartbeat)": change_actions.heartbeat,
    "Repo/Mirror(report)": report_actions.report,
    "Repo/Mirror(changes)": change_actions.changes,
}
