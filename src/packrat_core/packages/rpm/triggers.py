"""Checks the triggers in the header of an rpm: rpm reads one list by the numbers in another one, and can crash.

1. Names, versions, flags and indexes of triggers stand together, as many of each; flags and indexes are of 32 bits.
2. Each index is that of a script and of its program.

A script may have no trigger: rpmbuild leaves out a trigger that is there already, and keeps its script. Of such a
package, rpm can't show the triggers, and that is all.

    check_triggers(walk(file).header)

Source: rpm's rpmds.c, rpmscript.c and tagexts.c; rpm.org, "Tags" and "Triggers".
"""

from typing import NamedTuple

from packrat_core.errors import Refused
from packrat_core.packages.rpm.header import INT32, Header


class _Triggers(NamedTuple):
    """Tags of one kind of triggers."""

    names: int
    versions: int
    flags: int
    indexes: int
    scripts: int
    programs: int
    needs_scripts: bool


_KINDS = (
    _Triggers(1066, 1067, 1068, 1069, scripts=1065, programs=1092, needs_scripts=False),
    _Triggers(5069, 5071, 5072, 5070, scripts=5066, programs=5067, needs_scripts=True),
    _Triggers(5079, 5081, 5082, 5080, scripts=5076, programs=5077, needs_scripts=True),
)
"""Triggers on packages, which rpm skips if they have no scripts; on files; on files at the end of a transaction."""


def check_triggers(header: Header) -> None:
    """Check that the lists of triggers fit together.

    Raises:
        Refused: rpm would read beyond one of them.
    """
    for triggers in _KINDS:
        together = triggers[:4]
        there = [header.items[tag] for tag in together if tag in header.items]
        if not there:
            continue
        if len(there) < len(together) or len({item.number for item in there}) > 1:
            raise Refused(f"its header is broken: of its triggers, tags {together} differ in length, and rpm can crash")
        for tag in (triggers.flags, triggers.indexes):
            if header.items[tag].kind != INT32:
                raise Refused(f"its header is broken: of its triggers, tag {tag} is not of 32 bits, and rpm can crash")
        last = max(header.numbers(triggers.indexes))
        for tag in (triggers.scripts, triggers.programs):
            count = header.items[tag].number if tag in header.items else 0
            if last >= count and (count or triggers.needs_scripts):
                raise Refused(
                    f"its header is broken: its triggers name script {last}, tag {tag} has {count}, and rpm can crash"
                )
