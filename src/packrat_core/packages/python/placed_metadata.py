"""Checks metadata of other projects that a wheel puts beside all installed ones, where clients read them.

1. A `.dist-info` with a dash in its name has a version behind it: `junk-1.0.dist-info`. Clients read nothing else.
   Before the dash stands the name of a project, as before that of an `.egg-info` or in place of it.
2. One without a dash has a version in its METADATA, if it has one.
3. An `.egg-info`, be it a directory or a file, has a PKG-INFO (or is one) with a version in it; if there is a dash in
   its name, there is a version behind that, too: `junk.egg-info`, `junk-1.0.egg-info`, `junk-1.0-py3.12.egg-info`.

All of this holds in any case (`.EGG-INFO`), and below a Python's own directory, to which `.data/data` may lead, too.
At one that breaks these, pip ends once it has unpacked the wheel, or uv in each later command, or both.

    check_placed_metadata(archive, "tool-1.0.dist-info")

Source: importlib.metadata, by which pip 26 reads; uv 0.13.
"""

import posixpath
import re
from collections.abc import Mapping
from email.parser import HeaderParser

from packrat_core.archives.zip_archive import ZipArchive
from packrat_core.archives.zip_directory import ZipMember
from packrat_core.errors import Refused
from packrat_core.packages.python.spellings import is_project_name, is_version, normalize

_INSTALLED = r"[^/]+\.data/(?:(?:pure|plat)lib|data/(?:lib|lib64|Lib)/(?:python3[^/]*/)?(?:site|dist)-packages)/"
_PLACED = re.compile(rf"((?:{_INSTALLED})?[^/]+\.(?i:egg|dist)-(?i:info))(?:/(.*))?", re.DOTALL)
_TEXTS = ("METADATA", "PKG-INFO", "")
"""Where clients look for metadata; the last is a file that is called `.egg-info` itself."""
_TEXT_LIMIT = 4 * 1024 * 1024
_HEAD = 64 * 1024
"""Characters in which the version must come, so that a text of a million fields costs no more than one of few."""
_SHOWN_LIMIT = 60


def check_placed_metadata(archive: ZipArchive, info: str) -> None:
    """Check the metadata that a wheel puts beside all installed projects, apart from its own .dist-info directory.

    Args:
        archive: the wheel.
        info: its .dist-info directory.

    Raises:
        Refused: clients would end there.
    """
    placed: dict[str, dict[str, ZipMember]] = {}
    for member in archive.members:
        # Few names have this in them, and the test is cheaper than a regular expression on every name.
        if "-info" not in member.name.lower():
            continue
        match = _PLACED.fullmatch(posixpath.normpath(member.name))
        if match is not None and match[1] != info:
            files = placed.setdefault(match[1], {})
            if not member.name.endswith("/"):
                files[match[2] or ""] = member
    own = normalize(info.partition("-")[0])
    for path, files in placed.items():
        stem, ending = posixpath.splitext(posixpath.basename(path))
        name, dash, version = stem.partition("-")
        is_egg = ending.lower() == ".egg-info"
        if (dash or is_egg) and not is_project_name(name):
            raise _refused(path, f"read the name {name[:_SHOWN_LIMIT]!r}")
        if is_egg:
            if dash:
                _check_version(path, version.partition("-")[0])
            _check_texts(archive, path, files, is_needed=normalize(name) != own)
        elif dash:
            _check_version(path, version)
        else:
            _check_texts(archive, path, files, is_needed=False)


def _check_texts(archive: ZipArchive, path: str, files: Mapping[str, ZipMember], *, is_needed: bool) -> None:
    """Check the version in the metadata.

    None is needed of the wheel's own project: pip reads it once, and uv passes over what has no version.
    """
    texts = [files[name] for name in _TEXTS if name in files]
    # pip creates no directory in which there is nothing.
    if is_needed and files and not texts:
        raise _refused(path, "find no PKG-INFO")
    for member in texts:
        try:
            text = archive.read(member, _TEXT_LIMIT).decode("utf-8")
        except UnicodeDecodeError:
            raise _refused(path, "find a text that is not UTF-8") from None
        version = HeaderParser().parsestr(text[:_HEAD]).get("Version")
        if version is not None:
            _check_version(path, str(version))
        elif is_needed or path.endswith(".dist-info"):
            raise _refused(path, "find no version")


def _check_version(path: str, version: str) -> None:
    if not is_version(version):
        raise _refused(path, f"read the version {version[:_SHOWN_LIMIT]!r}")


def _refused(path: str, found: str) -> Refused:
    return Refused(
        f"it puts {posixpath.basename(path)[:_SHOWN_LIMIT]!r} beside the installed projects, where clients {found}; "
        "pip or uv ends there",
        hint="rebuild it",
    )
