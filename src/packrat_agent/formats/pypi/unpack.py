"""Takes out of a Python distribution what the index needs: Requires-Python, and the metadata file of a wheel."""

import hashlib
import os
from pathlib import Path
from sys import intern

from packrat_agent.formats.pypi.layout import METADATA
from packrat_agent.model.entries import Fragment, Product
from packrat_core.fs.atomic import write_all
from packrat_core.fs.disk_errors import as_disk_error
from packrat_core.fs.links import remove_any
from packrat_core.packages.python.inspect import Kind, read_distribution

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW


def unpack_distribution(path: Path, into: Path | dict[str, bytes] | None, content: bytes | None) -> Fragment:
    """Read a distribution, and write a wheel's METADATA to a directory, named by its SHA-256, or keep it in a mapping.

    Args:
        path: The file.
        into: The directory, or the mapping: SHA-256 → bytes; None to write nothing.
        content: All bytes of the file, where they are in memory anyway.

    Returns:
        A fragment whose body is the kind of the distribution and its Requires-Python, a line each.

    Raises:
        Refused: the file is damaged, not a distribution, or malicious.
        DiskError: the metadata can't be written.
    """
    found = read_distribution(path, content)
    products: tuple[Product, ...] = ()
    if found.kind is Kind.WHEEL:
        digest = hashlib.sha256(found.content).hexdigest()
        if isinstance(into, Path):
            _write(f"{into}/{digest}", found.content)
        elif into is not None:
            into[digest] = found.content
        products = (Product(METADATA, digest, len(found.content), beside=True),)
    size = os.stat(path).st_size if content is None else len(content)
    if found.file_name:
        products = (*products, Product(found.file_name, "", size, beside=True))
    body = f"{found.kind}\n{found.core.requires_python}".encode()
    # One text for all files of a project, since those of 100,000 files may be held in memory.
    return Fragment(body, intern(found.core.name), found.core.version, "all", products, size=size)


def _write(path: str, content: bytes) -> None:
    """Write a product; all are flushed together before one is published.

    If a crash or a loss of power leaves an incomplete file of this name, its hash tells, as with any staged file.
    """
    # As text and by single calls, since a repository may have 100,000 wheels with some hundred bytes of METADATA each.
    with as_disk_error("write", path):
        try:
            descriptor = os.open(path, _NEW, 0o644)
        except FileExistsError:
            # It belongs to another wheel with the same METADATA, or was left there.
            remove_any(Path(path))
            descriptor = os.open(path, _NEW, 0o644)
        try:
            write_all(descriptor, content)
            os.fchmod(descriptor, 0o644)
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(descriptor)


def kind_of(fragment: Fragment) -> str:
    """Give the kind of the distribution that a fragment was read from."""
    return fragment.body.partition(b"\n")[0].decode()


def requires_python_of(fragment: Fragment) -> str:
    """Give the Requires-Python of the distribution that a fragment was read from; '' if it has none."""
    return fragment.body.partition(b"\n")[2].decode()
