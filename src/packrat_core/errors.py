"""What can go wrong, sorted by who must act.

Takes: nothing.
Gives: one root type that carries an exit code; a child for each person who must act.
Touches: nothing.
"""


class PackratError(Exception):
    """Everything that this program raises on purpose; the text names what, where and what to do next."""

    exit_code = 1


class ConfigError(PackratError):
    """The operator must mend mirror.conf or the command line."""

    exit_code = 2


class ServerUnavailable(PackratError):
    """The server can't be reached, or answers with a fault of its own: waiting may help."""

    exit_code = 3


class ServerRefused(PackratError):
    """The server understood and said no (login, permission, a missing object): asking again says no again."""

    exit_code = 4


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
    """`root_dir` holds files of somebody else: the operator decides with `sync --adopt`."""

    exit_code = 9


class Held(PackratError):
    """A change was held back until the operator confirms it; what is published stays."""

    exit_code = 10


class Refused(PackratError):
    """One package file can't be in this repository; the packager must act, all other files go on."""

    exit_code = 11


class Incomplete(PackratError):
    """The pass ended, but something in it failed or was refused; the log and the summary name it."""

    exit_code = 12


class Unsound(PackratError):
    """An audit found faults in a tree; the next full pass of its agent mends them."""

    exit_code = 13
