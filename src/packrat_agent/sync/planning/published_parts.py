"""Tells what is published of a package file, and at which paths."""

from pathlib import Path

from packrat_agent.formats.interface import Format
from packrat_agent.formats.record_names import published_name
from packrat_agent.model.entries import Fragment, Parts, Placement, Product
from packrat_core.errors import Refused


def parts_of(path: str, sha256: str, fragment: Fragment) -> Parts:
    """Tell what is published of a package file with that place and SHA-256.

    Args:
        path: The place of the package file, below root_dir.
        sha256: Its SHA-256.
        fragment: What was read of it.
    """
    if not fragment.products:
        return {path: sha256}
    directory, slash, file_name = path.rpartition("/")
    # What a renamed file lacks in its place stands where clients find it.
    found = f"{directory}{slash}{published_name(file_name, fragment)}"
    parts: dict[str, str] = {}
    if all(product.beside for product in fragment.products):
        parts |= {path: sha256, found: sha256}
    return parts | {_path_of(found, product): product.sha256 for product in fragment.products if product.sha256}


def read_parts(path: Path, placement: Placement, form: Format) -> Parts | None:
    """Read what is published of and beside the package file at `path`, and keep nothing; None if it can't be read.

    Args:
        path: Where it can be read.
        placement: Where it goes.
        form: The repository type.
    """
    try:
        return parts_of(placement.path, placement.file.sha256, form.read(path, {}))
    except (Refused, OSError):
        return None


def _path_of(path: str, product: Product) -> str:
    if product.beside:
        return path + product.name
    return f"{path}/{product.name}" if product.name else path
