"""The user that the agent runs as, and work that is done as that user.

    account = find_account("packrat")
    key = account.do(lambda: find_key(name, home, None, now))

Files that this process may read as root, the agent may not; what is tried as its user shows that.
"""

import grp
import io
import os
import pickle
import pwd
from collections.abc import Callable
from dataclasses import dataclass, is_dataclass
from datetime import date, timedelta, timezone
from enum import Enum
from pathlib import Path, PurePath
from typing import TypeVar

from packrat_core.errors import ConfigError, PackratError
from packrat_core.fs.disk_errors import explain_os_error

T = TypeVar("T")

_NO_GROUP = 65534
_MODULES_OF_VALUES = ("packrat_agent", "packrat_core", "datetime", "pathlib")
_VALUES = (PackratError, Enum, date, timedelta, timezone, PurePath)


class _Answer(pickle.Unpickler):
    """Reads what a process of the agent's user says: values alone, since that user must not rule this process."""

    def find_class(self, module: str, name: str) -> type:
        """Find the class of a value.

        Raises:
            pickle.UnpicklingError: It is not one of values, and might do something when it is made.
        """
        if module.partition(".")[0] in _MODULES_OF_VALUES:
            found = super().find_class(module, name)
            if isinstance(found, type) and (is_dataclass(found) or issubclass(found, _VALUES)):
                return found
        raise pickle.UnpicklingError(f"{module}.{name} is not a value")


@dataclass(frozen=True, slots=True)
class Account:
    """A user with its main group and its home directory."""

    name: str
    uid: int
    gid: int
    home: Path

    @property
    def group(self) -> str:
        """The name of the main group; its number where it has no name."""
        try:
            return grp.getgrgid(self.gid).gr_name
        except KeyError:
            return str(self.gid)

    @property
    def environment(self) -> dict[str, str]:
        """What a service of this user has in its environment."""
        path = os.environ.get("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        return {"PATH": path, "HOME": str(self.home), "USER": self.name, "LOGNAME": self.name, "LC_ALL": "C.UTF-8"}

    def do(self, work: Callable[[], T]) -> T:
        """Do something in a process of this user, and return what it returns.

        Args:
            work: What it returns, and the errors that it raises on purpose, have to be values that can be pickled.

        Raises:
            PackratError: The error that it raised.
            RuntimeError: It ended in another way; stderr says how.
        """
        if os.geteuid() == self.uid:
            return work()
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            self._answer(work, writing)
        os.close(writing)
        with os.fdopen(reading, "rb") as answers:
            answer = answers.read()
        _, status = os.waitpid(child, 0)
        if not answer:
            raise RuntimeError(f"a process of user {self.name} ended with {os.waitstatus_to_exitcode(status)}")
        is_error, value = _Answer(io.BytesIO(answer)).load()
        if is_error:
            raise value
        result: T = value
        return result

    def _answer(self, work: Callable[[], T], writing: int) -> None:
        """Become this user, do the work, write the answer to a pipe, and end without the parent's clean-up."""
        try:
            os.initgroups(self.name, self.gid)
            os.setgid(self.gid)
            os.setuid(self.uid)
            os.chdir("/")
            os.environ.clear()
            os.environ.update(self.environment)
            answer: tuple[bool, object]
            try:
                answer = (False, work())
            except PackratError as error:
                answer = (True, error)
            except OSError as error:
                answer = (True, _explain_or_raise(error))
            with os.fdopen(writing, "wb") as file:
                pickle.dump(answer, file)
            os._exit(0)
        except BaseException:  # Whatever it is, this copy of the program must not go on.
            import traceback

            traceback.print_exc()
            os._exit(1)


def _explain_or_raise(error: OSError) -> PackratError:
    """Say in a sentence what the system refused; one that is not of the disk is raised again."""
    disk_error = explain_os_error(error)
    if disk_error is None:
        raise error
    return disk_error


def find_account(name: str) -> Account | None:
    """Find a user of this machine; None if there is none of that name."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    return Account(found.pw_name, found.pw_uid, found.pw_gid, Path(found.pw_dir))


def account_of(uid: int) -> Account:
    """Give the user of a number, which need not have a name."""
    try:
        found = pwd.getpwuid(uid)
    except KeyError:
        return Account(str(uid), uid, _NO_GROUP, Path("/"))
    return Account(found.pw_name, found.pw_uid, found.pw_gid, Path(found.pw_dir))


def need_account(name: str) -> Account:
    """Find a user of this machine.

    Raises:
        ConfigError: There is no user of that name.
    """
    found = find_account(name)
    if found is None:
        raise ConfigError(f"there is no user {name} on this machine", hint="run `packrat-agent init`, which makes it")
    return found
