"""Writes the texts of the lists of a json repository: a manifest for programs, and checksums for sha256sum.

Source: docs/MANIFEST_all.schema.json; sha256sum(1).
"""

from collections.abc import Mapping, Sequence
from json.encoder import encode_basestring_ascii as quoted

from packrat_agent.model.entries import Entry


def write_package(package: str, entries: Sequence[Entry]) -> bytes:
    """Write a package of the manifest with its files, in the order of their paths.

    The result is that of `json.dumps(…, sort_keys=True, indent=2)`, which takes five times as long.
    """
    listed = ",\n".join(_object(_describe(entry)) for entry in entries)
    return f"  {quoted(package)}: [\n{listed}\n  ]".encode()


def join_manifest(packages: Sequence[bytes]) -> bytes:
    """Join the packages, in the order of their names, to a JSON object with an indent of two blanks."""
    if not packages:
        return b"{}\n"
    # Each further copy of the whole takes longer than to join it.
    parts = list(packages)
    parts[0] = b"{\n" + parts[0]
    parts[-1] += b"\n}\n"
    return b",\n".join(parts)


def write_line(entry: Entry) -> bytes:
    """Write the line of a file in SHA256SUMS."""
    return f"{entry.sha256}  {entry.path}\n".encode()


def _describe(entry: Entry) -> Mapping[str, str]:
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
