"""Checks the records of a packrat server and converts them to the agent's values; no field is used unchecked."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import unquote

from packrat_agent.model.key_places import MAIN_KEY, OWN_KEYS_DIR
from packrat_agent.model.paths import PAGE_DIR, are_nested
from packrat_agent.model.records import DistroVersion, PackageFile, Repo
from packrat_core.packages.repository_types import KIND_OF_OTHER_NAME

ROOT = "/api/v2/"
REPO = f"{ROOT}Repo/Repo"
MIRROR = f"{ROOT}Repo/Mirror"
PACKAGE = f"{ROOT}Package/Package"
PACKAGE_FILE = f"{ROOT}Package/PackageFile"
DISTRO_VERSION = f"{ROOT}Attrib/DistroVersion"
TAG = f"{ROOT}Attrib/Tag"
REPOS_LIMIT = 2000
"""Repositories of a mirror, and distribution versions."""

_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+~:@=,!^-]*")
_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+~-]*")
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SEGMENT_LIMIT = 200
_RESERVED = frozenset({"index.html", MAIN_KEY.armored, MAIN_KEY.binary, OWN_KEYS_DIR, PAGE_DIR})


class Unusable(ValueError):
    """A record that can't be used; the text says why."""


def read_id(uri: object, model: str) -> str:
    """Extract the id from a URI of the form `<model>:<id>:`.

    Raises:
        Unusable: It is not a URI of that model.
    """
    if not isinstance(uri, str) or not uri.startswith(f"{model}:") or not uri.endswith(":"):
        raise Unusable(f"{shown(uri)} is not a URI of {model}")
    found = uri[len(model) + 1 : -1]
    if len(found) > _SEGMENT_LIMIT or not _ID.fullmatch(found):
        raise Unusable(f"{shown(uri)} has an id that can't be used")
    return found


def read_ids(value: object, model: str, what: str) -> tuple[str, ...]:
    """Extract the ids from a list of URIs, without duplicates, in order.

    Args:
        value: The list, unchecked.
        model: The model that all URIs must be of.
        what: Name of the list in an error message.

    Raises:
        Unusable: It is not such a list.
    """
    if not isinstance(value, list):
        raise Unusable(f"its {what} is not a list")
    return tuple(dict.fromkeys(read_id(uri, model) for uri in value))


def read_distro_version(name: str, record: Mapping[str, Any]) -> DistroVersion:
    """Check the record of a distribution version.

    Raises:
        Unusable: A field can't be used.
    """
    if record.get("name") != name:
        raise Unusable(f"it calls itself {shown(record.get('name'))}")
    version = record.get("version")
    if version is not None:
        version = _segment(version, "version")
    return DistroVersion(name, _word(record, "distro"), version, _word(record, "file_type"))


def read_repo(name: str, record: Mapping[str, Any], distro_versions: Mapping[str, DistroVersion]) -> Repo:
    """Check the record of a repository.

    Args:
        name: Its name, from its URI.
        record: The record, unchecked.
        distro_versions: The usable distribution versions, by name.

    Raises:
        Unusable: A field, or one of its distribution versions, can't be used.
    """
    if record.get("name") != name:
        raise Unusable(f"it calls itself {shown(record.get('name'))}")
    kind = _word(record, "manager_type")
    names = read_ids(record.get("distroversion_list"), DISTRO_VERSION, "list of distribution versions")
    missing = [suite for suite in names if suite not in distro_versions]
    if missing:
        raise Unusable(f"its distribution version {missing[0]} can't be used")
    latest = record.get("show_only_latest", True)
    if not isinstance(latest, bool):
        raise Unusable(f"its show_only_latest is {shown(latest)}, neither true nor false")
    return Repo(
        name,
        read_text(record.get("description"), "description"),
        read_directory(record.get("filesystem_dir")),
        KIND_OF_OTHER_NAME.get(kind, kind),
        tuple(distro_versions[suite] for suite in names),
        latest,
        _tag(record.get("tag")),
    )


def read_directory(value: object) -> str:
    """Check a repository's directory: one to four safe path segments.

    Raises:
        Unusable: It is not such a path, or the mirror needs the name for a file of its own.
    """
    if not isinstance(value, str):
        raise Unusable("its directory is not text")
    parts = value.split("/")
    if len(parts) > 4:
        raise Unusable(f"its directory {shown(value)} is more than four levels deep")
    for part in parts:
        _segment(part, "directory")
    if parts[0] in _RESERVED:
        raise Unusable(f"its directory {shown(value)} is the name of one of the mirror's own files")
    return value


def read_file(uri: str, record: Mapping[str, Any]) -> PackageFile:
    """Check the record of a package file.

    Raises:
        Unusable: A field can't be used.
    """
    read_id(uri, PACKAGE_FILE)
    if not record:
        raise Unusable("the server does not show it")
    sha256 = record.get("sha256")
    if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256.lower()):
        raise Unusable(f"its sha256 {shown(sha256)} is not a SHA-256")
    url = record.get("file")
    if not isinstance(url, str) or not url.startswith("/files/"):
        raise Unusable(f"its file {shown(url)} is not a path below /files/")
    return PackageFile(
        uri=uri,
        package=read_id(record.get("package"), PACKAGE),
        distro_version=read_id(record.get("distroversion"), DISTRO_VERSION),
        version=_version(record.get("version")),
        kind=_word(record, "type"),
        arch=_word(record, "arch"),
        url=url,
        file_name=_segment(unquote(url.removeprefix("/files/"), errors="strict"), "file name"),
        sha256=sha256.lower(),
        created=_moment(record.get("created")),
    )


def is_marked(record: Mapping[str, Any], *, deprecated_too: bool) -> bool:
    """Say whether the record of a package file says that it failed, or is deprecated: it has the moment."""
    marks = ("failed_at", "deprocated_at") if deprecated_too else ("failed_at",)
    return any(isinstance(record.get(mark), str) and record[mark] for mark in marks)


def read_text(value: object, what: str) -> str:
    """Check a line of printable text; None becomes ''.

    Raises:
        Unusable: The value is something else, or too long.
    """
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > 1000 or not value.isprintable():
        raise Unusable(f"its {what} {shown(value)} is not one line of printable text")
    return value


def find_overlaps(repos: Sequence[Repo]) -> dict[str, str]:
    """Find repositories whose directory equals, contains or lies in that of an earlier one; return name → reason."""
    overlaps: dict[str, str] = {}
    for at, repo in enumerate(repos):
        for other in repos[:at]:
            if other.name not in overlaps and are_nested(repo.directory, other.directory):
                overlaps[repo.name] = (
                    f"its directory {repo.directory} and {other.directory} of {other.name} contain each other; "
                    "give it another filesystem_dir on the server"
                )
    return overlaps


def _segment(value: object, what: str) -> str:
    if not isinstance(value, str) or len(value) > _SEGMENT_LIMIT or not _SEGMENT.fullmatch(value):
        raise Unusable(f"its {what} {shown(value)} can't be used in a path")
    return value


def _word(record: Mapping[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or len(value) > 50 or not _WORD.fullmatch(value):
        raise Unusable(f"its {key} {shown(value)} can't be used")
    return value


def _version(value: object) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= _SEGMENT_LIMIT or not value.isprintable() or " " in value:
        raise Unusable(f"its version {shown(value)} can't be used")
    return value


def _tag(value: object) -> str:
    """Extract the name of a tag; '' for anything else: then only a section of the repository itself names its key."""
    try:
        return read_id(value, TAG)
    except Unusable:
        return ""


def _moment(value: object) -> str:
    """Convert a time to UTC in ISO 8601; anything else becomes '', since nothing depends on it."""
    if not isinstance(value, str) or len(value) > 40:
        return ""
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        return ""
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def shown(value: object) -> str:
    """Shorten and quote a value from the server, so that it is safe in messages and on terminals."""
    return repr(value)[:80] if isinstance(value, str | int | float | bool | None) else type(value).__name__


def present(records: Mapping[str, Mapping[str, Any]], uri: str) -> Mapping[str, Any]:
    """Give the record of a URI.

    Raises:
        Unusable: The server did not give it.
    """
    record = records.get(uri)
    if not record:
        raise Unusable("the server does not show it")
    return record
