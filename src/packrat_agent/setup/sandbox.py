"""Knows the places that a mirror.conf names, and which of them a unit of systemd keeps from its service.

Source: systemd.exec(5), "Sandboxing".
"""

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from packrat_agent.config.settings import Config
from packrat_agent.setup.unit_text import quote_word

_DIRECTORIES: Mapping[str, str] = {
    "StateDirectory": "/var/lib",
    "CacheDirectory": "/var/cache",
    "LogsDirectory": "/var/log",
    "RuntimeDirectory": "/run",
    "ConfigurationDirectory": "/etc",
}
"""Settings that name directories of the unit's own, and where those stand."""
SETTINGS = (
    "ProtectSystem",
    "ReadWritePaths",
    "BindPaths",
    "BindReadOnlyPaths",
    "ProtectHome",
    "PrivateTmp",
    *_DIRECTORIES,
)
"""The settings of a unit that count."""
_ALWAYS_WRITABLE = ("/dev", "/proc", "/sys")
"""ProtectSystem=strict leaves these as they are."""
_BOUND = re.compile(r":(/[^:]*?)(?::\w+)?(?= -?/|$)")
"""Where a mount of BindPaths stands, in source:place:rbind; a path may have spaces in it."""
HOMES = tuple(map(Path, ("/home", "/root", "/run/user")))
_TEMPORARY = tuple(map(Path, ("/tmp", "/var/tmp")))  # noqa: S108 named, not used


@dataclass(frozen=True, slots=True)
class Place:
    """A file or directory that the agent reads, or a directory that it writes into; `name`: what it is there for."""

    name: str
    path: Path
    is_written: bool = False


@dataclass(frozen=True, slots=True)
class Denial:
    """What a unit keeps from the agent, and the lines of [Service] that change that; '' where another place must do."""

    text: str
    remedy: str


def list_places(config: Config) -> Iterator[Place]:
    """List the files and directories that a mirror needs, `root_dir` first."""
    mirror = config.mirror
    yield Place("root_dir", mirror.root_dir, is_written=True)
    yield Place("the directory of state_db,", mirror.state_db.parent, is_written=True)
    if mirror.gnupg_home is not None and (mirror.keys is not None or config.section_keys):
        yield Place("gnupg_home", mirror.gnupg_home, is_written=True)
    if mirror.metrics_file is not None:
        yield Place("the directory of metrics_file,", mirror.metrics_file.parent, is_written=True)
    yield Place("the configuration", config.source.absolute())
    for name, path in (("passphrase_file", mirror.passphrase_file), ("ca_file", config.packrat.ca_file)):
        if path is not None:
            yield Place(name, path)


def list_denials(config: Config, settings: Mapping[str, str]) -> Iterator[Denial]:
    """List what a unit keeps from its agent of all that mirror.conf names.

    Args:
        config: The configuration.
        settings: Those of SETTINGS as `systemctl show` prints them, drop-ins included.
    """
    writable = _list_writable(settings)
    shown = _list_bound(settings, "BindPaths", "BindReadOnlyPaths")
    for place in list_places(config):
        real = Path(os.path.realpath(place.path))
        hiding = _find_hiding(real, settings, shown)
        if hiding == "ProtectHome":
            remedy = "ProtectHome=no"
            if place.is_written and not _lies_in(real, writable):
                remedy += f" and ReadWritePaths={quote_word(str(place.path))}"
            yield Denial(f"the unit hides {place.name} {place.path} from the agent (ProtectHome)", remedy)
        elif hiding is not None:
            yield Denial(f"the unit hides {place.name} {place.path} from the agent ({hiding})", "")
        elif place.is_written and settings["ProtectSystem"] == "strict" and not _lies_in(real, writable):
            remedy = f"ReadWritePaths={quote_word(str(place.path))}"
            yield Denial(f"the unit does not let the agent write to {place.name} {place.path}", remedy)


def _find_hiding(real: Path, settings: Mapping[str, str], shown: tuple[Path, ...]) -> str | None:
    """Name the setting that hides a place; None if none does.

    Args:
        real: The place, without symbolic links.
        settings: Those of the unit.
        shown: Where BindPaths and BindReadOnlyPaths show what else would be hidden.
    """
    # Below a home that is inaccessible, systemd mounts nothing.
    if _lies_in(real, HOMES) and (
        settings["ProtectHome"] == "yes" or (settings["ProtectHome"] == "tmpfs" and not _lies_in(real, shown))
    ):
        return "ProtectHome"
    # From systemd 257 on, it can also be `disconnected`.
    is_private = settings["PrivateTmp"] in ("yes", "disconnected")
    return "PrivateTmp" if is_private and _lies_in(real, _TEMPORARY) and not _lies_in(real, shown) else None


def _list_writable(settings: Mapping[str, str]) -> tuple[Path, ...]:
    try:
        words = shlex.split(settings["ReadWritePaths"])
    except ValueError:
        words = settings["ReadWritePaths"].split()
    own = [
        f"{top}/{name.partition(':')[0]}" for setting, top in _DIRECTORIES.items() for name in settings[setting].split()
    ]
    named = [*(word.lstrip("-+") for word in words), *own, *_ALWAYS_WRITABLE]
    return (*(Path(os.path.realpath(path)) for path in named), *_list_bound(settings, "BindPaths"))


def _list_bound(settings: Mapping[str, str], *names: str) -> tuple[Path, ...]:
    return tuple(Path(os.path.realpath(path)) for name in names for path in _BOUND.findall(settings[name]))


def _lies_in(path: Path, directories: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(directory) for directory in directories)
