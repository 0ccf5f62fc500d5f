"""Reads the text of a value: a URL, a path, a number of bytes.

Each function takes the text, and gives the value or raises ValueError with a text that follows the name of the key:
"root_dir: must be an absolute path, beginning with /".
"""

import ipaddress
import os
import re
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

_SYSTEM = (
    *("/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt", "/proc", "/root"),
    *("/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/usr/bin", "/usr/lib", "/usr/local", "/usr/sbin"),  # noqa: S108 a name
    *("/usr/share", "/var", "/var/cache", "/var/lib", "/var/log", "/var/tmp", "/var/www"),  # noqa: S108 names alone
)
"""Directories that hold more than a mirror; a directory below them may be root_dir."""
_SYSTEM_TREES = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr/bin", "/usr/lib"),
)
"""Directories of which nothing may be root_dir."""

_NOTHING = (
    "none",
    "no",
    "off",
    "false",
    "disable",
    "disabled",
    "direct",
    "null",
    "nil",
    "noproxy",
    "no_proxy",
    "-",
    "0",
)
"""What operators write for no proxy."""


def read_line(text: str) -> str:
    """Read one line of printable characters."""
    if any(not c.isprintable() for c in text):
        raise ValueError("must be one line of printable characters")
    if len(text) > 1000:
        raise ValueError("is longer than 1,000 characters")
    return text


def read_sign_key(text: str) -> str:
    """Read the name of a key; `none` gives '', which says that nothing is to be signed."""
    return "" if text.lower() == "none" else read_line(text)


def read_mirror_name(text: str) -> str:
    """Read the name of a mirror."""
    if not re.fullmatch(r"[0-9A-Za-z_.-]{1,50}", text):
        raise ValueError("a mirror's name has up to 50 letters, digits, `-`, `_` and `.`")
    return text


def read_origin(text: str) -> str:
    """Read a host, an address or a URL without a path; http if no scheme is given."""
    if "://" not in text:
        text = f"http://[{text}]" if _is_ipv6(text) else f"http://{text}"
    url = _url(text, ("http", "https"))
    parts = urlsplit(url)
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError("give the server's host only, without a path: packrat.myco.com or https://packrat.myco.com")
    if parts.username or parts.password:
        raise ValueError("must not hold a password; the psk goes into psk")
    return urlunsplit((parts.scheme, parts.netloc, "", "", ""))


def _is_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def read_hosts(text: str) -> frozenset[str]:
    """Read hosts that need no proxy: names, addresses, networks or *."""
    found = read_words(text)
    for entry in found:
        try:
            ipaddress.ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            if entry != "*" and not re.fullmatch(r"\.?[0-9A-Za-z_-]+(\.[0-9A-Za-z_-]+)*", entry):
                raise ValueError(
                    f"{entry[:60]!r} is not a host; give names (example.com stands for all below it too), addresses, "
                    "networks (10.0.0.0/8) or *, without ports"
                ) from None
    return found


def bytes_up_to(what: str, high: int) -> Callable[[str], int]:
    """Make a reader of sizes such as 20M; `what` follows "a number of bytes" in its message."""

    def read(text: str) -> int:
        match = re.fullmatch(r"([0-9]{1,15})([kMG]?)", text)
        size = int(match[1]) * {"": 1, "k": 1000, "M": 1_000_000, "G": 1_000_000_000}[match[2]] if match else 0
        if not 1000 <= size <= high:
            raise ValueError(
                f"{text[:40]!r} is not a number of bytes{what}, such as 500k, 20M or 1G; the smallest is 1k"
            )
        return size

    return read


def read_proxy(text: str) -> str:
    """Read the URL of a proxy; http if no scheme is given."""
    if text.lower() in _NOTHING:
        raise ValueError(
            f"{text} would be a proxy of that name; leave this out to use no proxy, or give a URL: http://{text}:3128"
        )
    return _url(text if "://" in text else f"http://{text}", ("http", "https"))


def read_public_url(text: str) -> str:
    """Read the URL that clients have for the mirror, without a slash at its end.

    Users paste it into a shell, within lines of the landing page. What has a meaning there is percent-encoded, which
    means the same to a web server.
    """
    parts = urlsplit(_url(text, ("http", "https")).rstrip("/"))
    if "?" in text or "#" in text:
        raise ValueError("must have neither '?' nor '#', since the paths of files are added to it")
    netloc, path = quote(parts.netloc, safe="[]:@%+,=~"), quote(parts.path, safe="/:@%+,=~")
    return urlunsplit(parts._replace(netloc=netloc, path=path))


def _url(text: str, schemes: tuple[str, ...]) -> str:
    read_line(text)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("is not a URL") from None
    if parts.scheme not in schemes:
        raise ValueError(f"must begin with {' or '.join(scheme + '://' for scheme in schemes)}")
    _refuse_international(parts.hostname or "")
    if not _is_host(parts.hostname or "") or parts.netloc.startswith("@") or port == 0:
        raise ValueError("is not a URL of a host, such as http://packrat.myco.com:8888")
    return text


def _refuse_international(name: str) -> None:
    """Refuse a host name that is not ASCII, with what to write instead."""
    if name.isascii():
        return
    try:
        written = name.encode("idna").decode("ascii")
    except UnicodeError:
        return
    raise ValueError(f"{name[:60]!r} is not a host name as DNS has it: write {written[:253]}")


def _is_host(name: str) -> bool:
    if ":" in name:
        try:
            return bool(ipaddress.IPv6Address(name))
        except ValueError:
            return False
    labels = name.removesuffix(".").split(".")
    return len(name) <= 253 and all(re.fullmatch(r"[0-9A-Za-z_-]{1,63}", label) for label in labels)


def read_path(text: str) -> Path:
    """Read an absolute path."""
    read_line(text)
    if not text.startswith("/"):
        raise ValueError("must be an absolute path, beginning with /")
    return Path(os.path.normpath(text))


def read_root(text: str) -> Path:
    """Read a directory that the agent may clean up: none that belongs to the operating system."""
    path = read_path(text)
    path = Path("/" + str(path).lstrip("/"))
    for shown in (path, Path(os.path.realpath(path))):
        if str(shown) in _SYSTEM or any(shown.is_relative_to(tree) for tree in _SYSTEM_TREES):
            raise ValueError(
                f"{shown} is a system directory: the full sync would remove what is in it; "
                "give a directory of its own, such as /var/www/repo"
            )
    return path


def read_file(text: str) -> Path:
    """Read the absolute path of a file."""
    path = read_path(text)
    if text.endswith("/") or path == Path("/"):
        raise ValueError("must be a file, not a directory")
    return path


def read_metrics_file(text: str) -> Path:
    """Read the path of a file for node_exporter."""
    path = read_file(text)
    if path.suffix != ".prom":
        raise ValueError("must end with .prom: Prometheus' node_exporter reads no other files")
    return path


def read_loopback(text: str) -> str:
    """Read a port of this machine, with or without its loopback address."""
    match = re.fullmatch(r"(?:(localhost|127(?:\.\d{1,3}){3}|\[::1\]):)?(\d{1,5})", text)
    if match is None or not 0 < int(match[2]) <= 65535:
        raise ValueError("must be a port of this machine: 127.0.0.1:9273, [::1]:9273 or 9273")
    return f"{match[1] or '127.0.0.1'}:{match[2]}"


def read_paths(text: str) -> frozenset[Path]:
    """Read absolute paths, separated by commas or lines."""
    return frozenset(read_path(part.strip()) for part in re.split(r"[,\n]", text) if part.strip())


def read_words(text: str) -> frozenset[str]:
    """Read words, separated by commas or lines."""
    return frozenset(read_line(part.strip()) for part in re.split(r"[,\n]", text) if part.strip())


def read_switch(text: str) -> bool:
    """Read yes or no."""
    if text.lower() not in ("yes", "no"):
        raise ValueError(f"{text[:40]!r} is neither yes nor no")
    return text.lower() == "yes"


def integer_between(low: int, high: int) -> Callable[[str], int]:
    """Make a reader of integers."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"{text[:40]!r} is not an integer between {low} and {high}")
        return int(text)

    return read


def one_of(words: type[StrEnum]) -> Callable[[str], StrEnum]:
    """Read one of a few words."""

    def read(text: str) -> StrEnum:
        try:
            return words(text.lower())
        except ValueError:
            raise ValueError(f"{text[:60]!r} is not one of: {', '.join(words)}") from None

    return read
