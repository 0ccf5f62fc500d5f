"""The errors that the programs raise on purpose, one class for each person who must act, with its exit code."""


class PackratError(Exception):
    """Any error that is raised on purpose; the text names what, where and what to do next."""

    exit_code = 1


class ConfigError(PackratError):
    """The operator must mend mirror.conf or the command line."""

    exit_code = 2


class ServerUnavailable(PackratError):
    """The server can't be reached, or answers with a fault of its own: waiting may help.

    `wait_s`: for how many seconds the server asks its clients to wait; 0 where it does not say.
    """

    exit_code = 3

    def __init__(self, message: str, wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.wait_s = wait_s


class ServerRefused(PackratError):
    """The server refused the request (login, permission, a missing object): repeating it does not help.

    `code` is the server's own name for the rule, where it gave one. `by_api`: the packrat API itself said so, not a
    proxy or web server in front of it.
    """

    exit_code = 4

    def __init__(self, message: str, code: str | None = None, *, by_api: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.by_api = by_api


class ServerBroken(PackratError):
    """The server's answer has the wrong shape, size or type: its administrator must look."""

    exit_code = 5


class TooLarge(ServerBroken):
    """A file has no end, or one that is further away than the operator allows."""


class SigningError(PackratError):
    """The operator must mend the signing key, its keyring or its passphrase."""

    exit_code = 6


class DiskError(PackratError):
    """The operator must make room or mend permissions; work goes on by itself once it is mended."""

    exit_code = 7


class Busy(PackratError):
    """Another agent holds the mirror directory or the state database.

    `runner` is the process id of a `packrat-agent run` on this host that can be asked instead.
    """

    exit_code = 8

    def __init__(self, message: str, runner: int | None = None) -> None:
        super().__init__(message)
        self.runner = runner


class NotOurs(PackratError):
    """`root_dir` holds unmanaged files: the operator decides with `sync --adopt`."""

    exit_code = 9


class Held(PackratError):
    """A change was held back until the operator confirms it; what is published stays."""

    exit_code = 10


class Refused(PackratError):
    """One package file can't be in this repository; the packager must act, all other files go on."""

    exit_code = 11


class Incomplete(PackratError):
    """The sync ended, but something in it failed or was refused; the log and the summary name it."""

    exit_code = 12


class Unsound(PackratError):
    """An audit found faults in a tree; the next full sync of its agent mends them."""

    exit_code = 13
