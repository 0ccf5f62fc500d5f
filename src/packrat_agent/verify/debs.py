"""Audits a .deb by the rules of the upload, and holds it against what the index says of it."""

from collections.abc import Mapping
from typing import BinaryIO

from packrat_agent.verify.findings import explain_refusal
from packrat_core.errors import Refused
from packrat_core.packages.deb.control import read_open_control
from packrat_core.packages.deb.stanza import read_stanza


def find_wrong_deb(fields: Mapping[str, str], file: BinaryIO) -> str | None:
    """Return what is wrong with a .deb, or None; its members and control file are read, not its data.

    Args:
        fields: Package, Version and Architecture, as the index has them.
        file: The open file.
    """
    try:
        facts = read_stanza(read_open_control(file)).facts
    except OSError as error:
        return f"can't be read: {error.strerror or error}"
    except Refused as error:
        return explain_refusal(error)
    inside = {"Package": facts.name, "Version": facts.version, "Architecture": facts.arch}
    for name, value in inside.items():
        if fields.get(name) != value:
            return f"has the {name} {value!r} in its control file, {fields.get(name)!r} in the index"
    return None
