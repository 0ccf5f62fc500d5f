"""Keeps fragment backups in the tree, in case the state database is lost.

If a package file is published signed or unpacked, its own bytes are not in the tree, so without its fragment backup it
would have to be downloaded again. The backups are below root_dir/.packrat-agent/made:

    made/<format>-<version>-<signer or none>/<SHA-256 of the package file>.json

1. Anybody who can write there can write a backup, so one is believed only if a list that the agent has sealed has its
   SHA-256 (`sync/sealed_list.py`).
2. What goes into that list comes from the state database, never from a backup that was found.
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.model.entries import Fragment, Product
from packrat_agent.state.fragments import Fragments, FragmentSource, list_products, needs_backup
from packrat_core.fs.atomic import replace as rename
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.flush import flush_directories
from packrat_core.fs.links import ensure_directory, open_directory
from packrat_core.fs.open import open_new, read_regular

log = structlog.get_logger()

MADE_DIR = f"{AGENT_DIR}/made"

_SIZE_LIMIT = 256 * 1024 * 1024
"""Bytes of a fragment backup; the largest fragment in base64 has fewer."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ENDING = ".json"

Sealed = Callable[[FragmentSource], Mapping[str, str]]
"""The source of fragments → SHA-256 of each package file → that of its backup, as the agent has sealed it."""


def keep(root: Path, source: FragmentSource, fragments: Fragments, read: Mapping[str, Fragment]) -> None:
    """Back up the fragments of package files that are not published as they are.

    Args:
        root: root_dir.
        source: the source of the fragments.
        fragments: where the state database has them, and notes the SHA-256s of the backups.
        read: SHA-256 of a package file → its fragment.

    Raises:
        DiskError: a backup can't be written.
    """
    # If a fragment needs none, the state database knows that from the moment it has the fragment.
    _back_up(root, source, fragments, [(sha256, made) for sha256, made in read.items() if needs_backup(made)])


def _back_up(root: Path, source: FragmentSource, fragments: Fragments, items: Iterable[tuple[str, Fragment]]) -> None:
    backups: dict[str, str | None] = {}
    changed: set[Path] = set()
    for sha256, fragment in items:
        if not needs_backup(fragment):
            backups[sha256] = ""
            continue
        directory = ensure_directory(root, _directory(source))
        data = _write(sha256, fragment)
        backups[sha256] = hashlib.sha256(data).hexdigest()
        if not _holds(directory / f"{sha256}{_ENDING}", data):
            _put(directory / f"{sha256}{_ENDING}", data)
            changed.add(directory)
    flush_directories(changed)
    fragments.note_backups(source, backups)


def _holds(path: Path, data: bytes) -> bool:
    """Tell whether a backup is there; one that says something else is logged."""
    try:
        if read_regular(path, len(data)) == data:
            return True
    except FileNotFoundError:
        return False
    except OSError:
        pass
    log.warning("fragment-backup", path=str(path), text="does not agree with the state database; replaced")
    return False


def _put(path: Path, data: bytes) -> None:
    spare = path.with_suffix(".new")
    # The hash reveals a file that a crash tore, so only the directory entry has to be durable.
    with as_disk_error("write", spare), open_new(spare) as file:
        file.write(data)
    rename(spare, path)


def recall(
    root: Path, source: FragmentSource, fragments: Fragments, lacking: Collection[str], sealed: Sealed
) -> dict[str, Fragment]:
    """Read the backups of fragments that the state database lacked.

    Args:
        root: root_dir.
        source: the source of the fragments.
        fragments: where the state database has them; another repository may have added some a moment ago.
        lacking: the SHA-256s of their package files.
        sealed: which backups may be believed; it is asked only if there are some.

    Returns:
        SHA-256 → fragment of those that have a sealed backup, or are in the state database now.
    """
    directory = root / _directory(source)
    found: dict[str, Fragment] = {}
    # Types that are published as they are have no backups, so there is nothing to look for file by file.
    if not directory.is_dir():
        return found
    paths = {sha256: path for sha256 in lacking if (path := directory / f"{sha256}{_ENDING}").exists()}
    if paths:
        digests = sealed(source)
        for sha256, path in paths.items():
            # A backup that was made a moment ago is not sealed yet; its fragment was remembered before.
            new = fragments.read(source, sha256) if sha256 not in digests else None
            fragment = new or _read(path, sha256, digests.get(sha256))
            if fragment is not None:
                found[sha256] = fragment
    if found:
        log.info("recalled", format=source.kind, fragments=len(found))
    return found


def tidy(
    root: Path, fragments: Fragments, sources: Iterable[FragmentSource], *, removes: bool
) -> dict[FragmentSource, list[str]]:
    """Remove the backups that the state database needs no longer.

    Args:
        root: root_dir.
        fragments: where the state database has them; what it says decides, also of backups of earlier versions.
        sources: the current sources of fragments; backups of other sources, such as a former key, are removed.
        removes: whether all that is wanted is known, so that other backups may go.

    Returns:
        The SHA-256s of the package files whose backups are missing, or were never compared, for `write_missing`.

    Raises:
        DiskError: the backups can't be listed.
    """
    needed = fragments.backups(sources)
    expected = {source.label: backups for source, backups in needed.items() if backups}
    present: dict[str, set[str]] = {}
    for name in _list(root, MADE_DIR, directories=True):
        there = _list(root, f"{MADE_DIR}/{name}", directories=False)
        wanted = {f"{sha256}{_ENDING}" for sha256 in expected.get(name, ())}
        present[name] = {found.removesuffix(_ENDING) for found in there if found in wanted}
        if removes:
            _remove(root, f"{MADE_DIR}/{name}", [found for found in there if found not in wanted])
    return {
        source: [
            sha256
            for sha256, digest in backups.items()
            if digest is None or sha256 not in present.get(source.label, ())
        ]
        for source, backups in needed.items()
    }


def write_missing(root: Path, source: FragmentSource, fragments: Fragments, sha256s: Iterable[str]) -> None:
    """Write backups from the state database, or find that what is there says the same.

    Args:
        root: root_dir.
        source: the source of the fragments.
        fragments: where the state database has them.
        sha256s: those of the package files.

    Raises:
        DiskError: a backup can't be written.
    """
    known = ((sha256, read) for sha256 in sha256s if (read := fragments.read(source, sha256)) is not None)
    _back_up(root, source, fragments, known)


def _remove(root: Path, directory: str, names: Iterable[str]) -> None:
    """Remove files from a directory, and the directory if it is empty then."""
    with suppress(FileNotFoundError), open_directory(root, directory) as descriptor:
        for name in names:
            with suppress(OSError):
                os.unlink(name, dir_fd=descriptor)
    with suppress(OSError), open_directory(root, MADE_DIR) as descriptor:
        os.rmdir(Path(directory).name, dir_fd=descriptor)


def _list(root: Path, directory: str, *, directories: bool) -> list[str]:
    """List the directories, or the regular files and all else, in a directory; nothing if that is a link."""
    with (
        as_disk_error("read", root / directory),
        suppress(FileNotFoundError, NotADirectoryError),
        open_directory(root, directory) as descriptor,
        os.scandir(descriptor) as entries,
    ):
        return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False) is directories]
    return []


def _directory(source: FragmentSource) -> str:
    return f"{MADE_DIR}/{source.label}"


def _write(sha256: str, fragment: Fragment) -> bytes:
    record = {
        "sha256": sha256,
        "size": fragment.size,
        "name": fragment.name,
        "version": fragment.version,
        "arch": fragment.arch,
        "products": list_products(fragment),
        "body": base64.b64encode(fragment.body).decode(),
    }
    if fragment.made_by:
        record["made_by"] = fragment.made_by
    # Earlier versions believe this checksum.
    checksum = hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()
    return json.dumps({**record, "checksum": checksum}).encode() + b"\n"


def _read(path: Path, sha256: str, sealed: str | None) -> Fragment | None:
    """Read a backup; None if it is not sealed, incomplete or invalid."""
    try:
        data = read_regular(path, _SIZE_LIMIT)
        if sealed is None or hashlib.sha256(data).hexdigest() != sealed:
            raise ValueError("the sealed list doesn't have it, or with other bytes")
        return _parse(data, sha256)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        text = "not believed; the package file is downloaded again"
        log.warning("fragment-backup", path=str(path), reason=f"{error!r:.80}", text=text)
        return None


def _parse(data: bytes, sha256: str) -> Fragment:
    record = json.loads(data)
    if record["sha256"] != sha256:
        raise ValueError("it is that of another package file")
    name, version, arch = (_text(record[field]) for field in ("name", "version", "arch"))
    products = tuple(_product(product) for product in record["products"])
    body = base64.b64decode(record["body"], validate=True)
    return Fragment(
        body, name, version, arch, products, size=_size(record["size"]), made_by=_text(record.get("made_by", ""))
    )


def _product(value: Any) -> Product:
    """Read a product; its name must not lead out of the directory in which it is published.

    Raises:
        ValueError: the name does, or a field is invalid.
    """
    name, sha256, size, beside = value
    if not _SHA256.fullmatch(_text(sha256)) or not isinstance(beside, bool):
        raise ValueError("a product without its SHA-256")
    parts = _text(name).split("/")
    # An empty name stands for the path of the package file itself.
    is_own_place = not name and not beside
    if "\0" in name or (not is_own_place and any(part in ("", ".", "..") for part in parts)):
        raise ValueError("a product's name leads elsewhere")
    if beside and len(parts) > 1:
        raise ValueError("a product beside its package file is named as a path")
    return Product(name, sha256, _size(size), beside)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("a field is not text")
    return value


def _size(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError("a size is not a whole number")
    return value
