"""Reads mirror.conf into a Config, and reports every fault in it at once."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from packrat_agent.config.checks import check_keys, check_together
from packrat_agent.config.fields import FIELDS, NAMED_SECTIONS, Field
from packrat_agent.config.ini import Value, find_foreign_syntax, parse, read_text
from packrat_agent.config.settings import INDEX_GRACE_S, Config, KeyNames, MirrorSettings, PackratSettings
from packrat_core.errors import ConfigError

_SECTIONS = ("packrat", "mirror")


def load(path: Path) -> Config:
    """Read and check the configuration.

    Raises:
        ConfigError: Names each fault with its line, and what to do.
    """
    sections = (*_SECTIONS, *NAMED_SECTIONS)
    keys = {section: frozenset(row.key for row in FIELDS if row.section == section) for section in sections}
    repeatable = frozenset(row.key for row in FIELDS if row.repeatable)
    text = read_text(path)
    given, faults = parse(text, path, keys, repeatable)
    # Where a key is misspelled, don't also say that the right one is missing.
    asks_for_missing = not faults
    read: dict[str, dict[str, object]] = {section: {} for section in _SECTIONS}
    for row in FIELDS:
        if row.section in NAMED_SECTIONS:
            continue
        values = given.get((row.section, row.key), [])
        if not values and row.required and asks_for_missing:
            faults.append(f"{path}: [{row.section}] needs {row.key}: {row.required}")
        faults += _read_field(row, values, read[row.section], path)
    section_keys = _read_section_keys(given, faults, path)
    faults += check_keys(given, path)
    faults += check_together(read["mirror"], given, path)
    if faults:
        raise ConfigError("\n".join(faults))
    return replace(_with_defaults(read["packrat"], read["mirror"], path, section_keys), text=text)


def _read_section_keys(
    given: Mapping[tuple[str, str], Sequence[Value]], faults: list[str], path: Path
) -> dict[str, KeyNames]:
    """Read the signing keys of repositories and tags.

    Args:
        given: (section, key) → the values with their lines.
        faults: What is wrong is appended to it.
        path: The configuration file.

    Returns:
        Section → its keys.
    """
    read: dict[str, dict[str, object]] = {}
    for row in FIELDS:
        if row.section not in NAMED_SECTIONS:
            continue
        for (section, key), values in given.items():
            if key == row.key and section.startswith(row.section.removesuffix("NAME")):
                faults += _read_field(row, values, read.setdefault(section, {}), path)
    return {
        section: KeyNames(**{field.removeprefix("gpg_"): value for field, value in own.items()})  # type: ignore[arg-type] # FIELDS has the types
        for section, own in sorted(read.items())
        if "gpg_sign_key" in own
    }


def _read_field(row: Field, values: Sequence[Value], read: dict[str, object], path: Path) -> list[str]:
    """Read the values of one key into `read`; returns what is wrong with them."""
    faults: list[str] = []
    for value in values:
        try:
            new = row.read(value.text)
        except ValueError as error:
            faults.append(f"{path}, line {value.line}: {row.key}: {error}{_explain_foreign(value.text)}")
            continue
        old = read.get(row.field)
        # Two keys may set one field (keep_file, keep_file_list), and keep_file may stand several times.
        read[row.field] = old | new if isinstance(old, frozenset) and isinstance(new, frozenset) else new
    return faults


def _explain_foreign(text: str) -> str:
    """Name the syntax of other programs that a wrong value has, if it has any."""
    # Only a wrong path is meant to have a home directory there; a psk may begin so.
    foreign = "~ is not replaced by a home directory: write that out" if text.startswith("~") else ""
    foreign = foreign or find_foreign_syntax(text)
    return f"; {foreign}" if foreign else ""


def _with_defaults(
    packrat: dict[str, object], mirror: dict[str, object], path: Path, section_keys: Mapping[str, KeyNames]
) -> Config:
    """Add the defaults that depend on other keys; all others stand in `settings`."""
    mirror = {"description": packrat["name"], **mirror}
    grace_s = mirror.get("grace_period_s")
    if isinstance(grace_s, int):
        mirror.setdefault("index_grace_period_s", min(grace_s, INDEX_GRACE_S))
    return Config(PackratSettings(**packrat), MirrorSettings(**mirror), path, section_keys)  # type: ignore[arg-type] # as above
