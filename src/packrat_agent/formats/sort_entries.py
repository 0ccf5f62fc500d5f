"""Sorts the entries of an index, and picks the newest if several records are of the same package.

1. Entries stand in the order of name, version and architecture, as text: the order has to be the same in each render,
   and no client asks for another.
2. Of several records of the same package, that of the newest record stays. The log names it where their files differ.
"""

from collections.abc import Iterable

import structlog

from packrat_agent.model.entries import Entry

log = structlog.get_logger()


def sort_entries(entries: Iterable[Entry]) -> list[Entry]:
    """Sort the entries for the index, keeping that of the newest record for each name, version and architecture."""
    newest: dict[tuple[str, str, str], Entry] = {}
    for entry in entries:
        key = (entry.fragment.name, entry.fragment.version, entry.fragment.arch)
        other = newest.setdefault(key, entry)
        if other is entry:
            continue
        newest[key] = max(other, entry, key=lambda entry: entry.file.record_order)
        if other.file.sha256 != entry.file.sha256:
            log.warning("duplicate", package=key[0], version=key[1], arch=key[2], kept=newest[key].file.file_name)
    return [newest[key] for key in sorted(newest)]
