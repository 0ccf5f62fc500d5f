"""The errors that the programs raise on purpose: one class, with its exit code, for each way someone must act.

    raise ConfigError(f"there is no configuration file {path}", hint="write one, or name another with --config")

1. The message says what happened and where; the hint says what to do next.
2. As text, an error is `<message>; <hint>`. Commands and the log show that, and nothing else puts the two together.
3. A command that ends with an error exits with its `exit_code`.
"""


class PackratError(Exception):
    """Any error that is raised on purpose.

    Attributes:
        exit_code: the exit code of a command that ends with it.
        default_hint: the hint where none is given.
        message: what happened, and where.
        hint: what to do next; '' where nobody has to do anything, or the message says it.
    """

    exit_code = 1
    default_hint = ""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint or self.default_hint

    def __str__(self) -> str:
        return f"{self.message}; {self.hint}" if self.hint else self.message


class ConfigError(PackratError):
    """The operator must correct mirror.conf or the command line."""

    exit_code = 2


class ServerUnavailable(PackratError):
    """The server can't be reached, or answers with an internal error: waiting may help.

    `wait_s` is the number of seconds that the server asks its clients to wait; 0 if it does not say.
    """

    exit_code = 3

    def __init__(self, message: str, wait_s: float = 0.0, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.wait_s = wait_s


class ServerRefused(PackratError):
    """The server refused the request (login, permission, a missing object): repeating it does not help.

    `code` is the server's own name for the rule, if it gave one. `by_api` is True if the refusal came from the packrat
    API itself, not from a proxy or web server in front of it. `api_message` has the server's own words then, without
    request and status; '' where it gave none.
    """

    exit_code = 4

    def __init__(
        self, message: str, code: str | None = None, *, by_api: bool = False, api_message: str = "", hint: str = ""
    ) -> None:
        super().__init__(message, hint=hint)
        self.code = code
        self.by_api = by_api
        self.api_message = api_message


class ServerBroken(PackratError):
    """The server's answer has the wrong shape, size or type: its administrator must act."""

    exit_code = 5
    default_hint = "report this to whoever runs the server: it, or a proxy in front of it, answers wrongly"


class TooLarge(ServerBroken):
    """A file is endless, or larger than the operator allows."""


class WrongRange(ServerBroken):
    """A part of a file was asked for, and the answer is another part, or doesn't say which one it is."""


OF_SERVER = (ServerUnavailable, ServerRefused, ServerBroken)
"""What the server, or the way to it, is to blame for."""


class SigningError(PackratError):
    """The operator must correct the signing key, its keyring or its passphrase."""

    exit_code = 6


class NotYetValid(SigningError):
    """The signing key was made later than this machine's clock says: it can sign once that clock is right."""


class Expired(SigningError):
    """The signing key is expired, or this machine's clock is ahead."""


class DiskError(PackratError):
    """The operator must free space or correct permissions; work then continues by itself.

    `path` is what alone the system refused, such as for its owner or what stands there; '' where the whole disk fails.
    """

    exit_code = 7

    def __init__(self, message: str, *, hint: str = "", path: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path


class Busy(PackratError):
    """Another agent holds the mirror directory or the state database.

    `runner` is the process id of a `packrat-agent run` on this host that can be asked instead.
    """

    exit_code = 8

    def __init__(self, message: str, runner: int | None = None, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.runner = runner


class NotOurs(PackratError):
    """`root_dir` holds unmanaged files: the operator must decide, with `sync --adopt`."""

    exit_code = 9


class Held(PackratError):
    """A change is held back until the operator confirms it; the current publication stays."""

    exit_code = 10


class Refused(PackratError):
    """One package file can't be in this repository; the packager must act, and all other files are processed."""

    exit_code = 11


class Damaged(Refused):
    """A package file ends early, or its parts contradict each other: the packager must build or upload it again."""


class Incomplete(PackratError):
    """The sync finished, but something in it failed or was refused; the log and the summary say what."""

    exit_code = 12


class Unsound(PackratError):
    """An audit found faults in a tree; the next full sync of its agent repairs them."""

    exit_code = 13
