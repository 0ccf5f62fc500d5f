"""Audits a repository of arbitrary files: signatures → SHA256SUMS and the manifest, which must agree → every file.

The audit only reads the repository, and runs gpgv to verify signatures.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from html import unescape
from typing import Any

from packrat_agent.verify.findings import (
    Fault,
    Finding,
    Named,
    Subject,
    check_bytes,
    check_clear_signed,
    check_detached,
    is_plain,
    parse_json,
    read_index,
    read_pointer,
)
from packrat_agent.verify.names import LANDING_PAGE, MANIFEST, SIGNED_SUMS, SUMS

_LINE = re.compile(r"([0-9a-f]{64})  (.+)")
_PAGE_LIMIT = 16 * 1024 * 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")


def audit_files(subject: Subject, directory: str) -> Iterator[Finding]:
    """Audit both lists, then the files that they name."""
    sums_path, manifest_path = f"{directory}/{SUMS}", f"{directory}/{MANIFEST}"
    found: list[Finding] = []
    sums = read_pointer(subject, sums_path, found)
    if sums is not None:
        for end in (".gpg", ".asc"):
            found += check_detached(subject, sums_path, sums, f"{sums_path}{end}")
        if _is_announced(subject, f"{directory}/{SIGNED_SUMS}"):
            found += check_clear_signed(subject, sums_path, sums, f"{directory}/{SIGNED_SUMS}")
    manifest = read_pointer(subject, manifest_path, found)
    if manifest is not None:
        found += check_detached(subject, manifest_path, manifest, f"{manifest_path}.gpg")
    by_sums = _read_sums(sums_path, sums, found)
    listed = parse_json(manifest_path, manifest, found)
    by_manifest = _read_manifest(manifest_path, listed, found)
    if manifest is not None and isinstance(listed, dict):
        # Other whitespace in the JSON has the same meaning, but shows that the file was changed.
        wanted = json.dumps(listed, indent=2, sort_keys=True).encode() + b"\n"
        found += check_bytes(manifest_path, manifest, wanted)
    for path, (sha256, size) in by_manifest.items():
        found.append(Named(f"{directory}/{path}", sha256, size, manifest_path))
    for path, sha256 in by_sums.items():
        found.append(Named(f"{directory}/{path}", sha256, None, sums_path))
    if sums is not None and manifest is not None:
        for path in sorted(by_sums.keys() ^ by_manifest.keys()):
            lacking = sums_path if path in by_manifest else manifest_path
            found.append(Fault(lacking, f"does not name {path}, which the other list names"))
    yield from found


def _is_announced(subject: Subject, path: str) -> bool:
    """Return whether a file is there, or the landing page leads to it; trees of older agents have it not."""
    if os.path.lexists(subject.top / path):
        return True
    with suppress(OSError):
        return f"/{path}" in unescape(read_index(subject.top, LANDING_PAGE, _PAGE_LIMIT).decode("utf-8", "replace"))
    return False


def _read_sums(path: str, content: bytes | None, found: list[Finding]) -> Mapping[str, str]:
    sums: dict[str, str] = {}
    for number, line in enumerate((content or b"").decode("utf-8", "replace").splitlines(), start=1):
        match = _LINE.fullmatch(line)
        if match is None or not is_plain(match[2]) or match[2] in sums:
            found.append(Fault(path, f"line {number} names no file, or one twice"))
        else:
            sums[match[2]] = match[1]
    return sums


def _read_manifest(path: str, value: Any, found: list[Finding]) -> Mapping[str, tuple[str, int]]:
    listed: dict[str, tuple[str, int]] = {}
    packages = value.values() if isinstance(value, dict) else None
    if packages is None or not all(isinstance(files, list) for files in packages):
        if value is not None:
            found.append(Fault(path, "does not map packages to files"))
        return listed
    # Each check reports its own fault and goes on, so that one audit shows all of them.
    for package, files in value.items():
        if any(not isinstance(file, dict) or str(file.get("path")).partition("/")[0] != package for file in files):
            found.append(Fault(path, f"has files of {package[:100]!r} that are not in its directory"))
    for file in (file for files in packages for file in files):
        match file:
            case {"path": str(name), "sha256": str(sha256), "size": int(size)} if (
                is_plain(name) and _SHA256.fullmatch(sha256) and name not in listed
            ):
                listed[name] = (sha256, size)
            case _:
                found.append(Fault(path, f"names no file, or one twice: {repr(file)[:100]}"))
    return listed
