"""Keeps fragment backups in the tree, in case the state database is lost.

If a package file is published signed or unpacked, its own bytes are not in the tree, so without its fragment backup it
would have to be downloaded again. The backups are below root_dir/.packrat-agent/made.
"""

import base64
import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import structlog

from packrat_agent.config.settings import AGENT_DIR
from packrat_agent.model.entries import Fragment, Product
from packrat_agent.state.fragments import FragmentSource, list_products
from packrat_core.fs.atomic import replace as rename
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.flush import flush_directories
from packrat_core.fs.links import ensure_directory
from packrat_core.fs.open import read_regular

log = structlog.get_logger()

MADE_DIR = f"{AGENT_DIR}/made"

_SIZE_LIMIT = 256 * 1024 * 1024
"""Bytes of a fragment backup; the largest fragment in base64 has fewer."""
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ENDING = ".json"


def keep(root: Path, source: FragmentSource, fragments: Mapping[str, Fragment]) -> None:
    """Back up the fragments of package files that are not published as they are.

    Args:
        root: root_dir.
        source: the source of the fragments.
        fragments: SHA-256 of a package file → its fragment.

    Raises:
        DiskError: a backup can't be written.
    """
    directory: Path | None = None
    for sha256, fragment in fragments.items():
        # If all products lie beside the package file, that file is published itself and can be read again.
        if all(product.beside for product in fragment.products):
            continue
        # root_dir/.packrat-agent/made/<format>-<version>-<signer or none>/<SHA-256 of the package file>.json
        target = root / _directory(source) / f"{sha256}{_ENDING}"
        if target.exists():
            continue
        directory = directory or ensure_directory(root, _directory(source))
        spare = target.with_suffix(".new")
        with as_disk_error("write", spare):
            # The checksum reveals a file that a crash tore, so only the directory entry has to be durable.
            spare.write_bytes(_write(sha256, fragment))
        rename(spare, target)
    if directory is not None:
        flush_directories([directory])


def recall(root: Path, source: FragmentSource, lacking: Collection[str]) -> dict[str, Fragment]:
    """Read the backups of fragments that the state database lacks.

    Args:
        root: root_dir.
        source: the source of the fragments.
        lacking: the SHA-256s of their package files.

    Returns:
        SHA-256 → fragment of those that have a valid backup.
    """
    directory = root / _directory(source)
    found: dict[str, Fragment] = {}
    if directory.is_dir():
        for sha256 in lacking:
            fragment = _read(directory / f"{sha256}{_ENDING}", sha256)
            if fragment is not None:
                found[sha256] = fragment
    if found:
        log.info("recalled", format=source.kind, fragments=len(found))
    return found


def drop(root: Path, wanted: Collection[str], sources: Iterable[FragmentSource]) -> None:
    """Remove the backups that are no longer needed.

    Args:
        root: root_dir.
        wanted: the SHA-256s of the package files whose backups stay.
        sources: the current sources of fragments; backups of other sources, such as a former key, are removed.

    Raises:
        DiskError: the directory can't be read.
    """
    present = {Path(_directory(source)).name for source in sources}
    made = root / MADE_DIR
    if not made.is_dir():
        return
    with as_disk_error("clean", made):
        for directory in (entry for entry in os.scandir(made) if entry.is_dir(follow_symlinks=False)):
            for entry in os.scandir(directory.path):
                stem, dot, ending = entry.name.partition(".")
                if dot + ending != _ENDING or stem not in wanted or directory.name not in present:
                    with suppress(IsADirectoryError, PermissionError):
                        Path(entry.path).unlink()
            with suppress(OSError):
                Path(directory.path).rmdir()


def _directory(source: FragmentSource) -> str:
    return f"{MADE_DIR}/{source.kind}-{source.version}-{source.signer or 'none'}"


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
    return json.dumps({**record, "checksum": _checksum(record)}).encode() + b"\n"


def _checksum(record: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def _read(path: Path, sha256: str) -> Fragment | None:
    """Read a backup; None if it is missing, torn or invalid."""
    try:
        return _parse(read_regular(path, _SIZE_LIMIT), sha256)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        text = "ignored; the package file is downloaded again"
        log.warning("fragment-backup", path=str(path), reason=f"{error!r:.80}", text=text)
        return None


def _parse(data: bytes, sha256: str) -> Fragment:
    record = json.loads(data)
    checksum = record.pop("checksum")
    if record["sha256"] != sha256 or checksum != _checksum(record):
        raise ValueError("its checksum is wrong")
    name, version, arch = (_text(record[field]) for field in ("name", "version", "arch"))
    products = tuple(_product(product) for product in record["products"])
    body = base64.b64decode(record["body"], validate=True)
    return Fragment(body, name, version, arch, products, size=_size(record["size"]))


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
