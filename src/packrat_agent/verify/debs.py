"""Audits a .deb by the rules of the upload, and holds it against what the index says of it."""

from collections.abc import Mapping
from pathlib import Path

from packrat_core.errors import Refused
from packrat_core.packages.deb.control import read_control
from packrat_core.packages.deb.stanza import read_stanza


def find_wrong_deb(path: Path, fields: Mapping[str, str]) -> str | None:
    """Return what is wrong with a .deb, or None; its members and control file are read, not its data.

    Args:
        path: The file.
        fields: Package, Version and Architecture, as the index has them.
    """
    try:
        facts = read_stanza(read_control(path)).facts
    except OSError as error:
        return f"can't be read: {error.strerror or error}"
    except Refused as error:
        return f"would be refused at upload: {error}"
    inside = {"Package": facts.name, "Version": facts.version, "Architecture": facts.arch}
    for name, value in inside.items():
        if fields.get(name) != value:
            return f"has the {name} {value!r} in its control file, {fields.get(name)!r} in the index"
    return None
