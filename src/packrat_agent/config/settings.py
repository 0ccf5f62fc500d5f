"""The configuration: mirror.conf as frozen values, every one of them checked.

Takes: the path of mirror.conf.
Gives: a Config, its description with secrets masked, warnings.
Touches: the file; the paths that it names, only looking.
"""

import ipaddress
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from packrat_agent.config.ini import Value, parse, read_text
from packrat_core.errors import ConfigError

_SYSTEM = (
    *("/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/media", "/mnt", "/opt", "/proc", "/root"),
    *("/run", "/sbin", "/srv", "/sys", "/tmp", "/usr", "/usr/bin", "/usr/lib", "/usr/local", "/usr/sbin"),  # noqa: S108
    *("/usr/share", "/var", "/var/cache", "/var/lib", "/var/log", "/var/tmp", "/var/www"),  # noqa: S108
)
_SYSTEM_TREES = (
    *("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr/bin", "/usr/lib"),
)
_INDEX_GRACE_S = 3600
AGENT_DIR = ".packrat-agent"
"""The agent's own directory in root_dir: the mark, the lock and staging; mode 0700, so no web server shows it."""


@dataclass(frozen=True, slots=True)
class PackratSettings:
    """[packrat]: the server. `url` is an origin, `http://packrat.myco.com`."""

    url: str
    name: str
    psk: str | None = field(default=None, repr=False)
    proxy: str | None = field(default=None, repr=False)
    no_proxy: frozenset[str] = frozenset()
    ca_file: Path | None = None
    connect_timeout_s: int = 10
    stall_timeout_s: int = 60


@dataclass(frozen=True, slots=True)
class MirrorSettings:
    """[mirror]: what is built, and where."""

    description: str
    root_dir: Path
    state_db: Path
    gpg_sign_key: str | None = None
    gnupg_home: Path | None = None
    passphrase_file: Path | None = None
    full_sync_interval_s: int = 900
    keep_files: frozenset[Path] = frozenset()
    grace_period_s: int = 3 * 86400
    index_grace_period_s: int = _INDEX_GRACE_S
    keep_generations: int = 3
    max_removals_percent: int = 50
    parallel_downloads: int = 8
    download_bytes_per_s: int | None = None
    max_file_bytes: int = 20_000_000_000
    apt_origin: str = "Packrat"
    apt_label: str | None = None
    apt_valid_for_s: int | None = None
    confirm_release_change: frozenset[str] = frozenset()
    public_url: str | None = None
    metrics_file: Path | None = None
    metrics_listen: str | None = None


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, and the file that it came from."""

    packrat: PackratSettings
    mirror: MirrorSettings
    source: Path


def load(path: Path) -> Config:
    """Read and check the configuration.

    Raises: ConfigError that names each fault with its line and what to do.
    """
    known = {
        section: frozenset(row.key for row in _ROWS if row.section == section) for section in ("packrat", "mirror")
    }
    values, faults = parse(read_text(path), path, known, frozenset({"keep_file", "keep_file_list"}))
    # A key that is missing may be the one that is misspelled.
    is_whole = not faults
    read: dict[str, dict[str, object]] = {"packrat": {}, "mirror": {}}
    for row in _ROWS:
        given = values.get((row.section, row.key), [])
        if not given and row.required and is_whole:
            faults.append(f"{path}: [{row.section}] needs {row.key}: {row.required}")
        for value in given:
            try:
                checked = row.check(value.text)
            except ValueError as error:
                faults.append(f"{path}, line {value.line}: {row.key}: {error}")
                continue
            before = read[row.section].get(row.field)
            both = before | checked if isinstance(before, frozenset) and isinstance(checked, frozenset) else checked
            read[row.section][row.field] = both
    faults += _check_together(read["mirror"], values, path)
    if faults:
        raise ConfigError("\n".join(faults))
    mirror = {"description": read["packrat"]["name"], **read["mirror"]}
    if isinstance(grace_s := mirror.get("grace_period_s"), int):
        mirror.setdefault("index_grace_period_s", min(grace_s, _INDEX_GRACE_S))
    return Config(PackratSettings(**read["packrat"]), MirrorSettings(**mirror), path)  # type: ignore[arg-type]


def _check_together(
    mirror: Mapping[str, object], values: Mapping[tuple[str, str], list[Value]], path: Path
) -> list[str]:
    root, state_db, metrics = mirror.get("root_dir"), mirror.get("state_db"), mirror.get("metrics_file")
    faults: list[str] = []
    if not isinstance(root, Path):
        return faults
    if isinstance(metrics, Path) and _lies_in(metrics, root):
        line = values["mirror", "metrics_file"][0].line
        faults.append(
            f"{path}, line {line}: metrics_file: lies in root_dir {root}: the full sync would remove it; "
            "put it where node_exporter looks, such as /var/lib/prometheus/node-exporter/packrat.prom"
        )
    if isinstance(state_db, Path):
        directory = state_db.parent
        if _lies_in(directory, root) or _lies_in(root, directory):
            line = values["mirror", "state_db"][0].line
            faults.append(
                f"{path}, line {line}: state_db: its directory {directory} and root_dir {root} must not contain each "
                "other: the full sync would remove it; give each a directory of its own, such as /var/lib/packratAgent "
                "and /var/www/repo"
            )
    hazard = "lies in root_dir: the web server would show it, the full sync remove it; put it elsewhere"
    for key in ("gnupg_home", "passphrase_file"):
        secret = mirror.get(key)
        if isinstance(secret, Path) and _lies_in(secret, root):
            faults.append(f"{path}, line {values['mirror', key][0].line}: {key}: {secret} {hazard}")
    if _lies_in(path, root):
        faults.append(f"{path}: {path.name} {hazard}")
    return faults


def _lies_in(path: Path, directory: Path) -> bool:
    """Whether the one is or lies below the other, links resolved; both may be missing."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory))


def _text(text: str) -> str:
    if any(not c.isprintable() for c in text):
        raise ValueError("must be one line of printable characters")
    if len(text) > 1000:
        raise ValueError("is longer than 1,000 characters")
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[0-9A-Za-z_.-]{1,50}", text):
        raise ValueError("a mirror's name has up to 50 letters, digits, `-`, `_` and `.`")
    return text


def _origin(text: str) -> str:
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


def _hosts(text: str) -> frozenset[str]:
    found = _names(text)
    for entry in found:
        try:
            ipaddress.ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            if entry != "*" and not re.fullmatch(r"\.?[0-9A-Za-z_-]+(\.[0-9A-Za-z_-]+)*", entry):
                raise ValueError(
                    f"{entry[:60]!r} is no host; give names (example.com stands for all below it too), addresses, "
                    "networks (10.0.0.0/8) or *, without ports"
                ) from None
    return found


def _bytes(what: str, high: int) -> Callable[[str], int]:
    def check(text: str) -> int:
        match = re.fullmatch(r"([0-9]{1,15})([kMG]?)", text)
        size = int(match[1]) * {"": 1, "k": 1000, "M": 1_000_000, "G": 1_000_000_000}[match[2]] if match else 0
        if not 1000 <= size <= high:
            raise ValueError(f"{text[:40]!r} is no number of bytes{what}, such as 500k, 20M or 1G; 1k is the least")
        return size

    return check


def _proxy(text: str) -> str:
    return _url(text if "://" in text else f"http://{text}", ("http", "https"))


def _public_url(text: str) -> str:
    return _url(text, ("http", "https")).rstrip("/")


def _url(text: str, schemes: tuple[str, ...]) -> str:
    _text(text)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("is no URL") from None
    if parts.scheme not in schemes:
        raise ValueError(f"must begin with {' or '.join(scheme + '://' for scheme in schemes)}")
    if not _is_host(parts.hostname or "") or parts.netloc.startswith("@") or port == 0:
        raise ValueError("is no URL of a host, such as http://packrat.myco.com:8888")
    return text


def _is_host(name: str) -> bool:
    if ":" in name:
        try:
            return bool(ipaddress.IPv6Address(name))
        except ValueError:
            return False
    labels = name.removesuffix(".").split(".")
    return len(name) <= 253 and all(re.fullmatch(r"[0-9A-Za-z_-]{1,63}", label) for label in labels)


def _path(text: str) -> Path:
    _text(text)
    if not text.startswith("/"):
        raise ValueError("must be an absolute path, beginning with /")
    return Path(os.path.normpath(text))


def _root(text: str) -> Path:
    path = _path(text)
    path = Path("/" + str(path).lstrip("/"))
    for shown in (path, Path(os.path.realpath(path))):
        if str(shown) in _SYSTEM or any(shown.is_relative_to(tree) for tree in _SYSTEM_TREES):
            raise ValueError(
                f"{shown} is a directory of the system: the full sync would remove what is in it; "
                "give a directory of its own, such as /var/www/repo"
            )
    return path


def _file(text: str) -> Path:
    path = _path(text)
    if text.endswith("/") or path == Path("/"):
        raise ValueError("must be a file, not a directory")
    return path


def _metrics_file(text: str) -> Path:
    path = _file(text)
    if path.suffix != ".prom":
        raise ValueError("must end with .prom: Prometheus' node_exporter reads no other files")
    return path


def _loopback(text: str) -> str:
    match = re.fullmatch(r"(?:(localhost|127(?:\.\d{1,3}){3}|\[::1\]):)?(\d{1,5})", text)
    if match is None or not 0 < int(match[2]) <= 65535:
        raise ValueError("must be a port of this machine: 127.0.0.1:9273, [::1]:9273 or 9273")
    return f"{match[1] or '127.0.0.1'}:{match[2]}"


def _files(text: str) -> frozenset[Path]:
    return frozenset(_path(part.strip()) for part in re.split(r"[,\n]", text) if part.strip())


def _names(text: str) -> frozenset[str]:
    return frozenset(_text(part.strip()) for part in re.split(r"[,\n]", text) if part.strip())


def _whole(low: int, high: int) -> Callable[[str], int]:
    def check(text: str) -> int:
        if not re.fullmatch(r"[0-9]{1,12}", text) or not low <= int(text) <= high:
            raise ValueError(f"{text[:40]!r} is no whole number from {low} to {high}")
        return int(text)

    return check


@dataclass(frozen=True, slots=True)
class _Row:
    section: str
    key: str
    field: str
    check: Callable[[str], object]
    required: str = ""


_ROWS = (
    _Row("packrat", "host", "url", _origin, "the packrat server's host name"),
    _Row("packrat", "name", "name", _name, "this mirror's name on the packrat server"),
    _Row("packrat", "psk", "psk", _text),
    _Row("packrat", "proxy", "proxy", _proxy),
    _Row("packrat", "no_proxy", "no_proxy", _hosts),
    _Row("packrat", "ca_file", "ca_file", _file),
    _Row("packrat", "connect_timeout", "connect_timeout_s", _whole(1, 600)),
    _Row("packrat", "stall_timeout", "stall_timeout_s", _whole(5, 3600)),
    _Row("mirror", "description", "description", _text),
    _Row("mirror", "root_dir", "root_dir", _root, "the directory to build the repositories in"),
    _Row("mirror", "gpg_sign_key", "gpg_sign_key", _text),
    _Row("mirror", "gnupg_home", "gnupg_home", _path),
    _Row("mirror", "passphrase_file", "passphrase_file", _file),
    _Row("mirror", "state_db", "state_db", _file, "the path of the state database"),
    _Row("mirror", "full_sync_interval", "full_sync_interval_s", _whole(10, 31 * 86400)),
    _Row("mirror", "keep_file_list", "keep_files", _files),
    _Row("mirror", "keep_file", "keep_files", _files),
    _Row("mirror", "grace_period", "grace_period_s", _whole(0, 366 * 86400)),
    _Row("mirror", "index_grace_period", "index_grace_period_s", _whole(0, 366 * 86400)),
    _Row("mirror", "keep_generations", "keep_generations", _whole(0, 1000)),
    _Row("mirror", "max_removals", "max_removals_percent", _whole(0, 100)),
    _Row("mirror", "parallel_downloads", "parallel_downloads", _whole(1, 64)),
    _Row("mirror", "download_rate_limit", "download_bytes_per_s", _bytes(" a second", 10**12)),
    _Row("mirror", "max_file_size", "max_file_bytes", _bytes("", 10**15)),
    _Row("mirror", "apt_origin", "apt_origin", _text),
    _Row("mirror", "apt_label", "apt_label", _text),
    _Row("mirror", "apt_valid_for", "apt_valid_for_s", _whole(3600, 10 * 366 * 86400)),
    _Row("mirror", "confirm_release_change", "confirm_release_change", _names),
    _Row("mirror", "public_url", "public_url", _public_url),
    _Row("mirror", "metrics_file", "metrics_file", _metrics_file),
    _Row("mirror", "metrics_listen", "metrics_listen", _loopback),
)


def describe(config: Config) -> str:
    """Write what is in force as INI text, defaults included, the psk and a proxy's password masked."""
    lines = [f"# in force, from {config.source}"]
    shown = {"psk": "***" if config.packrat.psk else "", "proxy": _mask(config.packrat.proxy or "")}
    for section, settings in (("packrat", config.packrat), ("mirror", config.mirror)):
        lines.append(f"[{section}]")
        by_field = {row.field: row.key for row in reversed(_ROWS) if row.section == section}
        for item in fields(settings):
            key = by_field[item.name]
            value = getattr(settings, item.name)
            if isinstance(value, frozenset):
                value = ", ".join(sorted(str(part) for part in value))
            lines.append(f"{key}: {shown.get(key, '' if value is None else value)}".rstrip())
    return "\n".join(lines) + "\n"


def _mask(proxy: str) -> str:
    parts = urlsplit(proxy)
    if parts.password is None:
        return proxy
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, f"{parts.username}:***@{host}", parts.path, parts.query, parts.fragment))


def warn(config: Config) -> tuple[str, ...]:
    """Tell what is allowed but not wise."""
    found = []
    if config.mirror.passphrase_file is not None and _is_open_to_all(config.mirror.passphrase_file):
        path = config.mirror.passphrase_file
        found.append(f"{path} holds the passphrase and everyone can read it; `chmod 0600 {path}`")
    if config.packrat.psk:
        if _is_open_to_all(config.source):
            found.append(f"{config.source} holds the psk and everyone can read it; `chmod 0640 {config.source}`")
        parts = urlsplit(config.packrat.url)
        if parts.scheme == "http" and not re.fullmatch(r"localhost|127\.[0-9.]+|::1", parts.hostname or ""):
            found.append("the psk travels to the server unencrypted; set host to https://… where the server offers it")
    else:
        found.append("psk is not set: the agent asks the server anonymously")
    root = config.mirror.root_dir
    found += [
        f"keep_file {path} does not lie in root_dir {root}: it has no effect"
        for path in sorted(config.mirror.keep_files)
        if not path.is_relative_to(root)
    ]
    return tuple(found)


def _is_open_to_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH))
    except OSError:
        return False
