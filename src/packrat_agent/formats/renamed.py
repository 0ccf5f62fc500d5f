"""Says whether the server's record of a package file means what stands inside the file.

Takes: names and versions, as recorded and as they stand inside.
Gives: a verdict, or a Refused that says both.
Touches: nothing.

The original packrat server stores only letters, digits, `_`, `-` and (in file names) `.`. People rename what has other
characters, and the record then says what the file's name says. So each character of `_UNSTORABLE` may be kept, dropped,
or replaced by one that can be stored; everything else must be the same:

    means("1.6-2.1.deb12u3", "1.6-2.1+deb12u3")  # True
    means("python311", "python3.11")  # True
    means("1.6", "1.7")  # False

An epoch is no part of a file's name, so a record may lack it.
"""

from packrat_agent.model.entries import Fragment
from packrat_agent.model.records import PackageFile
from packrat_core.errors import Refused

_UNSTORABLE = frozenset("+~:.^!")
"""`^` stands in versions of rpms, `!` in those of Python."""

_REPLACEMENTS = frozenset(".-_")


def check_record(file: PackageFile, fragment: Fragment, source: str) -> None:
    """Hold the name and version of a record against those inside the file.

    Args:
        file: the server's record.
        fragment: what was read from the file; its version is `[epoch:]version`.
        source: what they were read from, for the message: "its control file".

    Raises:
        Refused: the record means another package or version.
    """
    if not means(file.package, fragment.name):
        raise Refused(f"the server has it as package {file.package}, {source} says {fragment.name}")
    if not any(means(file.version, version) for version in (fragment.version, fragment.version.partition(":")[2])):
        raise Refused(f"the server has it as version {file.version}, {source} says {fragment.version}")


def means(recorded: str, inside: str) -> bool:
    """Say whether a recorded name or version is the one inside, or that one renamed for the sake of the server."""
    if not recorded or not inside:
        return False
    if recorded == inside:
        return True
    # All places of `recorded` that the characters read so far can lead to: linear, whatever stands there.
    places = {0}
    for letter in inside:
        reached: set[int] = set()
        for at in places:
            found = recorded[at : at + 1]
            if found and (found == letter or (letter in _UNSTORABLE and found in _REPLACEMENTS)):
                reached.add(at + 1)
            if letter in _UNSTORABLE:
                reached.add(at)
        if not reached:
            return False
        places = reached
    return len(recorded) in places
