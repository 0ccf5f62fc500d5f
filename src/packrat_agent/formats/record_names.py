"""Decides whether the server's record of a package file matches the name and version inside the file.

The original packrat server stores only letters, digits, `_`, `-` and (in file names) `.`. Users rename files that have
other characters in their names, and the record then follows the file's name. So a record may keep each character of
`_UNSTORABLE`, drop it, or replace it by one of `_REPLACEMENTS`; everything else must be the same:

    means("1.6-2.1.deb12u3", "1.6-2.1+deb12u3")  # True
    means("python311", "python3.11")  # True
    means("1.6", "1.7")  # False

An epoch is not part of a file's name, so a record may lack it.

Python's clients choose a file by its name. One that was renamed is published in its place and, for them, also under
the name that it should have. A name that was used before gets a suffix on that server: `_` and seven letters or digits
before its last dot.

    published_name("torch-2.0.1.cu118-py3-none-any.whl", fragment)  # "torch-2.0.1+cu118-py3-none-any.whl"
    published_name("pkg-1.0.tar_fXxNNB9.gz", fragment)  # "pkg-1.0.tar.gz"
"""

import re

from packrat_agent.model.entries import Fragment
from packrat_agent.model.records import PackageFile
from packrat_core.errors import Refused

WRONG_RECORD = "report this to whoever runs the server: its record of the file is wrong"
"""The hint where record and file disagree."""

_UNSTORABLE = frozenset("+~:.^!")
"""`^` occurs in versions of rpms, `!` in those of Python packages."""

_REPLACEMENTS = frozenset(".-_")
_SUFFIXED = re.compile(r"(?P<stem>.+)_[A-Za-z0-9]{7}(?P<ending>\.[A-Za-z0-9]+)")
_WHEEL_TAGS = 3


def check_record(file: PackageFile, fragment: Fragment, source: str) -> None:
    """Check the name and version of a record against those inside the file.

    Args:
        file: the server's record.
        fragment: what was read from the file; its version is `[epoch:]version`.
        source: where these were read, for the message: "its control file".

    Raises:
        Refused: the record is of another package or version.
    """
    if not means(file.package, fragment.name):
        raise Refused(f"the server has it as package {file.package}, {source} says {fragment.name}", hint=WRONG_RECORD)
    if not any(means(file.version, version) for version in (fragment.version, fragment.version.partition(":")[2])):
        raise Refused(
            f"the server has it as version {file.version}, {source} says {fragment.version}", hint=WRONG_RECORD
        )


def published_name(file_name: str, fragment: Fragment) -> str:
    """Return the name under which clients find a package file: the one that it should have, if it was renamed."""
    true_name = fragment.file_name
    if not true_name or file_name == true_name:
        return file_name
    for name in (file_name, without_suffix(file_name)):
        if name == true_name or _is_renamed(name, true_name):
            return true_name
    if not file_name.endswith(".whl"):
        return file_name
    # A wheel may have been given other tags on purpose, by its file's name alone. They stay.
    head, *tags = file_name.removesuffix(".whl").rsplit("-", _WHEEL_TAGS)
    true_head = true_name.removesuffix(".whl").rsplit("-", _WHEEL_TAGS)[0]
    return f"{'-'.join([true_head, *tags])}.whl" if head != true_head and means(head, true_head) else file_name


def without_suffix(file_name: str) -> str:
    """Return a file name without the suffix that the server gives a name that was used before."""
    match = _SUFFIXED.fullmatch(file_name)
    return f"{match['stem']}{match['ending']}" if match is not None else file_name


def _is_renamed(file_name: str, true_name: str) -> bool:
    """Return whether a file name is another with its characters replaced, but for its ending."""
    ending = next((ending for ending in (".whl", ".tar.gz", ".zip") if true_name.endswith(ending)), "")
    stem, true_stem = file_name.removesuffix(ending), true_name.removesuffix(ending)
    return file_name.endswith(ending) and means(stem, true_stem)


def means(recorded: str, inside: str) -> bool:
    """Return whether a recorded name or version is the one inside, as it is or renamed for the server."""
    if not recorded or not inside:
        return False
    if recorded == inside:
        return True
    # All positions in `recorded` that the characters read so far can lead to. There is no backtracking, so the time
    # is bounded by the product of the lengths whatever the texts are.
    places = {0}
    for letter in inside:
        reached: set[int] = set()
        for at in places:
            found = recorded[at : at + 1]
            if found and (found == letter or (letter in _UNSTORABLE and found in _REPLACEMENTS)):
                reached.add(at + 1)
            # The record may have dropped the character.
            if letter in _UNSTORABLE:
                reached.add(at)
        if not reached:
            return False
        places = reached
    return len(recorded) in places
