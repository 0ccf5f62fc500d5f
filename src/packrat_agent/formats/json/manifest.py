"""Writes the lists of a json repository: a manifest for programs, and checksums for sha256sum.

Each path must occur once among the entries.

Source: docs/MANIFEST_all.schema.json; sha256sum(1).
"""

from collections.abc import Iterable, Mapping
from itertools import groupby
from json.encoder import encode_basestring_ascii as quoted

from packrat_agent.model.entries import Entry


def write_manifest(entries: Iterable[Entry]) -> bytes:
    """Write a JSON object that maps each package to its files, with sorted keys and an indent of two blanks.

    The result is that of `json.dumps(…, sort_keys=True, indent=2)`, which takes five times as long.
    """
    by_package = sorted(entries, key=lambda entry: (entry.file.package, entry.path))
    packages = []
    for package, files in groupby(by_package, key=lambda entry: entry.file.package):
        listed = ",\n".join(_object(_told(entry)) for entry in files)
        packages.append(f"  {quoted(package)}: [\n{listed}\n  ]")
    body = ",\n".join(packages)
    return (f"{{\n{body}\n}}\n" if packages else "{}\n").encode()


def write_sums(entries: Iterable[Entry]) -> bytes:
    """List SHA-256 and path of each file, for `sha256sum -c` in the repository's directory."""
    return "".join(f"{entry.sha256}  {entry.path}\n" for entry in sorted(entries, key=lambda e: e.path)).encode()


def _told(entry: Entry) -> Mapping[str, str]:
    return {
        "path": quoted(entry.path),
        "sha256": quoted(entry.sha256),
        "size": str(entry.size),
        "type": quoted(entry.file.kind),
        "version": quoted(entry.file.version),
    }


def _object(values: Mapping[str, str]) -> str:
    lines = ",\n".join(f'      "{name}": {value}' for name, value in values.items())
    return f"    {{\n{lines}\n    }}"
