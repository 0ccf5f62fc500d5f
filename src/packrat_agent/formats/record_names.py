"""Decides whether the server's record of a package file matches the name and version inside the file.

The original packrat server stores only letters, digits, `_`, `-` and (in file names) `.`. Users rename files that have
other characters in their names, and the record then follows the file's name. So a record may keep each character of
`_UNSTORABLE`, drop it, or replace it by one of `_REPLACEMENTS`; everything else must be the same:

    means("1.6-2.1.deb12u3", "1.6-2.1+deb12u3")  # True
    means("python311", "python3.11")  # True
    means("1.6", "1.7")  # False

An epoch is not part of a file's name, so a record may lack it.
"""

from packrat_agent.model.entries import Fragment
from packrat_agent.model.records import PackageFile
from packrat_core.errors import Refused

_UNSTORABLE = frozenset("+~:.^!")
"""`^` occurs in versions of rpms, `!` in those of Python packages."""

_REPLACEMENTS = frozenset(".-_")


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
        raise Refused(f"the server has it as package {file.package}, {source} says {fragment.name}")
    if not any(means(file.version, version) for version in (fragment.version, fragment.version.partition(":")[2])):
        raise Refused(f"the server has it as version {file.version}, {source} says {fragment.version}")


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
