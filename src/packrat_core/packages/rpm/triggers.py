"""Checks the triggers in the header of an rpm: rpm reads one list by the numbers in another one, and can crash.

1. Names, versions, flags and indexes of triggers stand together, as many of each.
2. Each index is that of a script, and each script has one.

Where these differ, rpm or dnf can crash when it installs, removes or shows the package.

    check_triggers(walk(file).header)

Source: rpm's rpmds.c and tagexts.c; rpm.org, "Tags" and "Triggers".
"""

from typing import NamedTuple

from packrat_core.errors import Refused
from packrat_core.packages.rpm.header import Header


class _Triggers(NamedTuple):
    """Tags of one kind of triggers."""

    scripts: int
    names: int
    versions: int
    flags: int
    indexes: int


_KINDS = (
    _Triggers(scripts=1065, names=1066, versions=1067, flags=1068, indexes=1069),
    _Triggers(scripts=5066, names=5069, versions=5071, flags=5072, indexes=5070),
    _Triggers(scripts=5076, names=5079, versions=5081, flags=5082, indexes=5080),
)
"""Triggers on packages, on files, and on files at the end of a transaction."""


def check_triggers(header: Header) -> None:
    """Check that the lists of triggers fit together.

    Raises:
        Refused: rpm would read beyond one of them.
    """
    for triggers in _KINDS:
        together = triggers[1:]
        there = [header.items[tag].number for tag in together if tag in header.items]
        if not there:
            continue
        if len(there) < len(together) or len(set(there)) > 1:
            raise Refused(f"its header is broken: of its triggers, tags {together} differ in length, and rpm can crash")
        scripts = header.items.get(triggers.scripts)
        if scripts is not None and set(header.numbers(triggers.indexes)) != set(range(scripts.number)):
            raise Refused(
                f"its header is broken: its triggers are not those of its {scripts.number} scripts, and rpm can crash"
            )
