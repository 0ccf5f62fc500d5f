"""Prints the configuration that is in force."""

from dataclasses import fields

from packrat_agent.config.fields import FIELDS
from packrat_agent.config.settings import Config
from packrat_core.text import hide_login


def describe(config: Config) -> str:
    """Write the whole configuration as INI text, with defaults; the psk, and the login at the proxy, are masked."""
    lines = [f"# in force, from {config.source}"]
    shown = {"psk": "***" if config.packrat.psk else "", "proxy": hide_login(config.packrat.proxy or "")}
    if config.mirror.gpg_sign_key == "":
        shown["gpg_sign_key"] = "none"
    for section, settings in (("packrat", config.packrat), ("mirror", config.mirror)):
        lines.append(f"[{section}]")
        # The first key of a field is shown if several set it.
        by_field = {row.field: row.key for row in reversed(FIELDS) if row.section == section}
        for item in fields(settings):
            key = by_field[item.name]
            value = getattr(settings, item.name)
            if isinstance(value, frozenset):
                value = ", ".join(sorted(str(part) for part in value))
            elif isinstance(value, bool):
                value = "yes" if value else "no"
            lines.append(f"{key}: {shown.get(key, '' if value is None else value)}".rstrip())
    for section, keys in config.section_keys.items():
        others = {"gpg_next_key": keys.next_key, "gpg_former_key": keys.former_key}
        others["gpg_retired_keys"] = ", ".join(sorted(keys.retired_keys))
        lines += [f"[{section}]", f"gpg_sign_key: {keys.sign_key}"]
        lines += [f"{key}: {value}" for key, value in others.items() if value]
    return "\n".join(lines) + "\n"
