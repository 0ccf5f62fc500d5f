"""Checks what no single key shows: how the values fit together, and what is allowed but not wise."""

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from shlex import quote

from packrat_agent.config.ini import Value, find_foreign_syntax, find_unreplaced
from packrat_agent.config.settings import Config

_FILES = {"state_db": "state.db", "metrics_file": "packrat.prom", "passphrase_file": "passphrase"}
"""Keys that name a file, and a name for one."""
_ROTATION = ("gpg_next_key", "gpg_former_key", "gpg_retired_keys")


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
    faults = _find_wrong_kinds(mirror, given, path)
    if not isinstance(root, Path):
        # It has a fault of its own, which is reported already.
        return faults
    if isinstance(metrics, Path) and _lies_in(metrics, root):
        faults.append(
            f"{_place('metrics_file', given, path)}: lies in root_dir {root}: the full sync would remove it; "
            "put it where node_exporter looks, such as /var/lib/prometheus/node-exporter/packrat.prom"
        )
    if isinstance(state_db, Path):
        # Its directory counts, since SQLite keeps the WAL beside the database.
        directory = state_db.parent
        if _lies_in(directory, root) or _lies_in(root, directory):
            faults.append(
                f"{_place('state_db', given, path)}: its directory {directory} and root_dir {root} must not contain "
                "each other: the full sync would remove it; give each a directory of its own, such as "
                "/var/lib/packratAgent and /var/www/repo"
            )
    hazard = "lies in root_dir: the web server would show it, the full sync remove it; put it elsewhere"
    for key in ("gnupg_home", "passphrase_file"):
        secret = mirror.get(key)
        if isinstance(secret, Path) and _lies_in(secret, root):
            faults.append(f"{_place(key, given, path)}: {secret} {hazard}")
    if _lies_in(path, root):
        faults.append(f"{path}: {path.name} {hazard}")
    for key in ("keep_file", "keep_file_list"):
        faults += [
            f"{path}, line {value.line}: {key}: {root} is root_dir itself, so nothing could be published; name what is "
            "yours below it"
            for value in given.get(("mirror", key), ())
            if str(root) in (os.path.normpath(part.strip()) for part in re.split(r"[,\n]", value.text))
        ]
    return faults


def _find_wrong_kinds(
    mirror: Mapping[str, object], given: Mapping[tuple[str, str], Sequence[Value]], path: Path
) -> list[str]:
    """Find files where directories should be, and the reverse.

    Args:
        mirror: The fields of [mirror] that could be read.
        given: (section, key) → the values with their lines.
        path: The configuration file.
    """
    faults = []
    for key, example in _FILES.items():
        named = mirror.get(key)
        if isinstance(named, Path) and _mode(named, stat.S_ISDIR):
            example_path = named / example
            faults.append(f"{_place(key, given, path)}: {named} is a directory; name a file, such as {example_path}")
    home = mirror.get("gnupg_home")
    if isinstance(home, Path) and _mode(home, stat.S_ISREG):
        faults.append(f"{_place('gnupg_home', given, path)}: {home} is a file; name the directory that holds the keys")
    return faults


def _place(key: str, given: Mapping[tuple[str, str], Sequence[Value]], path: Path) -> str:
    """Name the line of a key of [mirror] as faults begin with it.

    Args:
        key: The key, which is given.
        given: (section, key) → the values with their lines.
        path: The configuration file.
    """
    return f"{path}, line {given['mirror', key][0].line}: {key}"


def check_keys(given: Mapping[tuple[str, str], Sequence[Value]], path: Path) -> list[str]:
    """Check of each section that the keys of a rotation fit together.

    Args:
        given: (section, key) → the values with their lines.
        path: The configuration file.

    Returns:
        What is wrong, each with its line and what to do.
    """
    faults: list[str] = []
    for section in sorted({section for section, _ in given}):
        lines = {key: given[section, key][0].line for key in _ROTATION if (section, key) in given}
        if lines and (section, "gpg_sign_key") not in given:
            key = min(lines, key=lambda key: lines[key])
            faults.append(
                f"{path}, line {lines[key]}: {key}: [{section}] has no gpg_sign_key; name the key that signs, too"
            )
        faults += _check_none(section, given, lines, path)
        if {"gpg_next_key", "gpg_former_key"} <= lines.keys():
            faults.append(
                f"{path}, line {lines['gpg_next_key']}: gpg_next_key: [{section}] has a gpg_former_key, so its last "
                "rotation is not over; end that one first, see `packrat-agent key rotate`"
            )
    return faults


def _check_none(
    section: str, given: Mapping[tuple[str, str], Sequence[Value]], lines: Mapping[str, int], path: Path
) -> Iterator[str]:
    """Check that `gpg_sign_key: none` stands in [mirror], and beside no other key.

    Args:
        section: The section.
        given: (section, key) → the values with their lines.
        lines: The keys of a rotation that the section has, with their lines.
        path: The configuration file.
    """
    if "none" not in [value.text.lower() for value in given.get((section, "gpg_sign_key"), ())]:
        return
    if section != "mirror":
        place = given[section, "gpg_sign_key"][0].line
        yield (
            f"{path}, line {place}: gpg_sign_key: `none` can stand in [mirror] only; take [{section}] out if its "
            "repositories need no key of their own"
        )
    for key, line in lines.items():
        yield f"{path}, line {line}: {key}: [{section}] has `gpg_sign_key: none`, so take {key} out or name the key"


def warn(config: Config) -> tuple[str, ...]:
    """Warn of what is allowed but not wise."""
    found: list[str] = []
    if config.mirror.passphrase_file is not None and _is_open_to_all(config.mirror.passphrase_file):
        path = config.mirror.passphrase_file
        found.append(f"{path} holds the passphrase and everyone can read it; `chmod 0600 {quote(str(path))}`")
    if config.packrat.psk:
        if _is_open_to_all(config.source):
            found.append(
                f"{config.source} holds the psk and everyone can read it; `chmod 0640 {quote(str(config.source))}`"
            )
    else:
        found.append("psk is not set: the agent asks the server anonymously")
    found += _warn_of_foreign_syntax(config)
    found += _warn_of_writers(config)
    metrics = config.mirror.metrics_file
    if metrics is not None and not _mode(metrics.parent, stat.S_ISDIR):
        found.append(
            f"metrics_file {metrics}: there is no directory {metrics.parent}, so no figures are written; make it, for "
            "the agent's user to write to, or name a file in another one"
        )
    root = config.mirror.root_dir
    found += [
        f"keep_file {path} does not lie in root_dir {root}: it has no effect"
        for path in sorted(config.mirror.keep_files)
        if not path.is_relative_to(root)
    ]
    found += _warn_of_lists(config.mirror.keep_files)
    return tuple(found)


def _warn_of_lists(keep_files: Iterable[Path]) -> Iterator[str]:
    """Warn of paths that stand for several: a full sync would remove the files that are meant."""
    for path in sorted(keep_files):
        text = str(path)
        if os.path.lexists(path):
            continue
        if re.search(r"[ ;:]+/", text):
            yield f"keep_file {text} is one path, and does not exist: separate several by commas, or give each a line"
        elif any(character in text for character in "*?["):
            yield f"keep_file {text} does not exist, and there are no wildcards: name each file, or the directory"


def _warn_of_foreign_syntax(config: Config) -> Iterator[str]:
    """Warn of values that may be meant otherwise: those with quotes around them, or a comment behind them."""
    packrat, mirror = config.packrat, config.mirror
    # Quotes may be meant in a description, which is free text: it comes below, with URLs.
    values = [
        ("psk", packrat.psk),
        ("ca_file", packrat.ca_file),
        ("root_dir", mirror.root_dir),
        ("state_db", mirror.state_db),
        ("gnupg_home", mirror.gnupg_home),
        ("passphrase_file", mirror.passphrase_file),
        ("apt_origin", mirror.apt_origin),
        ("apt_label", mirror.apt_label),
        *(("keep_file_list", path) for path in sorted(mirror.keep_files)),
        *(("confirm_release_change", name) for name in sorted(mirror.confirm_release_change)),
    ]
    for section, names in config.all_keys.items():
        place = "" if section == "mirror" else f"[{section}] "
        values += [
            (f"{place}gpg_sign_key", names.sign_key),
            (f"{place}gpg_next_key", names.next_key),
            (f"{place}gpg_former_key", names.former_key),
            *((f"{place}gpg_retired_keys", name) for name in sorted(names.retired_keys)),
        ]
    for key, value in values:
        if value is not None and (foreign := find_foreign_syntax(str(value))):
            yield f"{key}: {foreign}"
    free = (("proxy", packrat.proxy), ("description", mirror.description), ("public_url", mirror.public_url))
    for key, text in free:
        if text is not None and (unreplaced := find_unreplaced(text)):
            yield f"{key}: {unreplaced}"


def _warn_of_writers(config: Config) -> Iterator[str]:
    """Warn of what others may write to, though the agent believes all that stands there."""
    home, state_db = config.mirror.gnupg_home, config.mirror.state_db
    if home is not None and _has_mode(home, stat.S_IWGRP | stat.S_IWOTH):
        yield f"others can write to gnupg_home {home}, and exchange the keys there; `chmod 0700 {quote(str(home))}`"
    for path in (state_db, state_db.parent):
        # In a directory such as /tmp, only the owner of a file may take it away.
        if _has_mode(path, stat.S_IWOTH) and not _has_mode(path, stat.S_ISVTX):
            yield (
                f"everyone can write to {path}, and the agent believes what the state database says; "
                f"`chmod o-w {quote(str(path))}`"
            )
    if not config.packrat.psk and _has_mode(config.source, stat.S_IWOTH):
        yield f"everyone can write to {config.source}; `chmod o-w {quote(str(config.source))}`"


def _lies_in(path: Path, directory: Path) -> bool:
    """Tell whether a path is a directory or lies below it, links resolved; neither has to exist."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(directory))


def _mode(path: Path, is_kind: Callable[[int], bool]) -> bool:
    """Tell whether something of a kind stands there, as far as this user can see."""
    try:
        return is_kind(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def _is_open_to_all(path: Path) -> bool:
    return _has_mode(path, stat.S_IROTH | stat.S_IWOTH)


def _has_mode(path: Path, bits: int) -> bool:
    """Tell whether something stands there with any of these bits, as far as this user can see."""
    try:
        return bool(path.stat().st_mode & bits)
    except OSError:
        return False
