"""Checks what no single key shows: how the values fit together, and what is allowed but not wise."""

import ipaddress
import os
import re
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from packrat_agent.config.ini import Value
from packrat_agent.config.settings import Config, PackratSettings
from packrat_core.cinp.route import bypasses


def check_together(
    mirror: Mapping[str, object], given: Mapping[tuple[str, str], Sequence[Value]], path: Path
) -> list[str]:
    """Check the paths against each other: the full sync removes from root_dir what is not published.

    Args:
        mirror: The fields of [mirror] that could be read.
        given: (section, key) → the values with their lines.
        path: The configuration file.

    Returns:
        What is wrong, each with its line and what to do.
    """
    root, state_db, metrics = mirror.get("root_dir"), mirror.get("state_db"), mirror.get("metrics_file")
    faults: list[str] = []
    if not isinstance(root, Path):
        # It has a fault of its own, which is told already.
        return faults
    if isinstance(metrics, Path) and _lies_in(metrics, root):
        line = given["mirror", "metrics_file"][0].line
        faults.append(
            f"{path}, line {line}: metrics_file: lies in root_dir {root}: the full sync would remove it; "
            "put it where node_exporter looks, such as /var/lib/prometheus/node-exporter/packrat.prom"
        )
    if isinstance(state_db, Path):
        # Its directory counts, since SQLite keeps the WAL beside the database.
        directory = state_db.parent
        if _lies_in(directory, root) or _lies_in(root, directory):
            line = given["mirror", "state_db"][0].line
            faults.append(
                f"{path}, line {line}: state_db: its directory {directory} and root_dir {root} must not contain each "
                "other: the full sync would remove it; give each a directory of its own, such as /var/lib/packratAgent "
                "and /var/www/repo"
            )
    hazard = "lies in root_dir: the web server would show it, the full sync remove it; put it elsewhere"
    for key in ("gnupg_home", "passphrase_file"):
        secret = mirror.get(key)
        if isinstance(secret, Path) and _lies_in(secret, root):
            faults.append(f"{path}, line {given['mirror', key][0].line}: {key}: {secret} {hazard}")
    if _lies_in(path, root):
        faults.append(f"{path}: {path.name} {hazard}")
    return faults


def _lies_in(path: Path, directory: Path) -> bool:
    """Tell whether a path is a directory or lies below it, links resolved; neither has to exist."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory))


def warn(config: Config) -> tuple[str, ...]:
    """Warn of what is allowed but not wise."""
    found: list[str] = []
    if config.mirror.passphrase_file is not None and _is_open_to_all(config.mirror.passphrase_file):
        path = config.mirror.passphrase_file
        found.append(f"{path} holds the passphrase and everyone can read it; `chmod 0600 {path}`")
    if config.packrat.psk:
        if _is_open_to_all(config.source):
            found.append(f"{config.source} holds the psk and everyone can read it; `chmod 0640 {config.source}`")
    else:
        found.append("psk is not set: the agent asks the server anonymously")
    root = config.mirror.root_dir
    found += [
        f"keep_file {path} does not lie in root_dir {root}: it has no effect"
        for path in sorted(config.mirror.keep_files)
        if not path.is_relative_to(root)
    ]
    return tuple(found)


def warn_of_plain_http(packrat: PackratSettings) -> str | None:
    """Say what others on the way to the server can do; None if it is reached by https, or on this machine."""
    url = urlsplit(packrat.url)
    host = url.hostname or ""
    proxy = packrat.proxy if packrat.proxy is not None and not bypasses(host, packrat.no_proxy) else None
    # Behind a proxy elsewhere, "localhost" is the proxy's own machine.
    stays_here = _is_loopback(host) and (proxy is None or _is_loopback(urlsplit(proxy).hostname or ""))
    if url.scheme != "http" or stays_here:
        return None
    secret = ", and reads the psk" if packrat.psk else ""
    return (
        f"the agent reaches {packrat.url} unencrypted: whoever is on the way decides what this mirror publishes and "
        f"signs{secret}; set host to https://… where the server offers it"
    )


def _is_loopback(host: str) -> bool:
    if re.fullmatch(r"localhost\.?|127\.[0-9.]+", host, re.IGNORECASE):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_open_to_all(path: Path) -> bool:
    try:
        return bool(path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH))
    except OSError:
        return False
