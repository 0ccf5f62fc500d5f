"""Builds small, valid Python distributions, with the same bytes each time.

Source: Binary distribution format (PEP 427), Source distribution format (PEP 643), PEP 517.
"""

import base64
import gzip
import hashlib
import io
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

_MOMENT = 1_700_000_000
_ZIP_MOMENT = (2023, 11, 14, 22, 13, 20)

# A build backend of its own in the source distribution: installing it needs no other package.
_PYPROJECT = b'[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
_BACKEND = '''\
"""Puts the wheel together that belongs to this source distribution."""
import pathlib
import zipfile

NAME = {stem!r}


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    file_name = NAME + "-py3-none-any.whl"
    here = pathlib.Path(__file__).parent
    info = NAME + ".dist-info/"
    with zipfile.ZipFile(pathlib.Path(wheel_directory) / file_name, "w") as archive:
        for module in sorted(here.glob("src/*.py")):
            archive.write(module, module.name)
        archive.write(here / "PKG-INFO", info + "METADATA")
        archive.writestr(info + "WHEEL", {wheel!r})
        archive.writestr(info + "RECORD", "")
    return file_name
'''


@dataclass(frozen=True, slots=True)
class Python:
    """A distribution to build; files: path of a module → content; fields: additional metadata."""

    name: str
    version: str
    requires: tuple[str, ...] = ()
    requires_python: str = ">=3.8"
    files: tuple[tuple[str, bytes], ...] = ()
    fields: tuple[tuple[str, str], ...] = ()
    tag: str = "py3-none-any"

    @property
    def stem(self) -> str:
        """Name and version, as the names of its files begin."""
        return f"{self.name.replace('-', '_')}-{self.version}"

    @property
    def wheel_name(self) -> str:
        """The usual name of its wheel."""
        return f"{self.stem}-{self.tag}.whl"

    @property
    def sdist_name(self) -> str:
        """The usual name of its source distribution."""
        return f"{self.stem}.tar.gz"


def build_wheel(python: Python) -> bytes:
    """Make the wheel."""
    info = f"{python.stem}.dist-info"
    files = [*python.files, (f"{info}/METADATA", write_metadata(python)), (f"{info}/WHEEL", _wheel_file(python))]
    record = "".join(f"{path},sha256={_digest(data)},{len(data)}\n" for path, data in files)
    return pack_zip([*files, (f"{info}/RECORD", f"{record}{info}/RECORD,,\n".encode())])


def build_sdist(python: Python) -> bytes:
    """Make the source distribution as .tar.gz; it installs without a network."""
    output = io.BytesIO()
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=output, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        for path, data in sdist_files(python):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mtime = len(data), _MOMENT
            archive.addfile(entry, io.BytesIO(data))
    return output.getvalue()


def build_sdist_zip(python: Python) -> bytes:
    """Make the source distribution as .zip."""
    return pack_zip(sdist_files(python))


def sdist_files(python: Python) -> list[tuple[str, bytes]]:
    """List the files of the source distribution: path → content."""
    backend = _BACKEND.format(stem=python.stem, wheel=_wheel_file(python).decode())
    return [
        (f"{python.stem}/PKG-INFO", write_metadata(python)),
        (f"{python.stem}/pyproject.toml", _PYPROJECT),
        (f"{python.stem}/backend.py", backend.encode()),
        *((f"{python.stem}/src/{path}", data) for path, data in python.files),
    ]


def write_wheel(python: Python, directory: Path) -> Path:
    """Write the wheel under its usual name."""
    path = directory / python.wheel_name
    path.write_bytes(build_wheel(python))
    return path


def write_sdist(python: Python, directory: Path) -> Path:
    """Write the source distribution under its usual name."""
    path = directory / python.sdist_name
    path.write_bytes(build_sdist(python))
    return path


def write_metadata(python: Python) -> bytes:
    """Make METADATA, which has the same content as PKG-INFO."""
    lines = [
        "Metadata-Version: 2.1",
        f"Name: {python.name}",
        f"Version: {python.version}",
        f"Summary: {python.name} for trying out a mirror",
        *([f"Requires-Python: {python.requires_python}"] if python.requires_python else []),
        *(f"Requires-Dist: {requirement}" for requirement in python.requires),
        *(f"{name}: {value}" for name, value in python.fields),
    ]
    return ("\n".join(lines) + "\n\nBuilt to try out a mirror.\n").encode()


def pack_zip(files: list[tuple[str, bytes]]) -> bytes:
    """Make a zip archive."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in files:
            entry = zipfile.ZipInfo(path, _ZIP_MOMENT)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o100644 << 16
            entry.create_system = 3
            archive.writestr(entry, data)
    return output.getvalue()


def _wheel_file(python: Python) -> bytes:
    lines = ["Wheel-Version: 1.0", "Generator: packrat-demo", "Root-Is-Purelib: true", f"Tag: {python.tag}"]
    return ("\n".join(lines) + "\n").encode()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
