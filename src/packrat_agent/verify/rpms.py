"""Audits an rpm by the rules of the upload, and holds it against what primary says of it."""

from pathlib import Path

from packrat_agent.verify.findings import explain_refusal
from packrat_agent.verify.repodata import Package
from packrat_core.errors import Refused
from packrat_core.packages.rpm.file_list import check_files
from packrat_core.packages.rpm.header import walk
from packrat_core.packages.rpm.inspect import identify
from packrat_core.packages.rpm.payload import check_payload
from packrat_core.packages.rpm.rules import check_header


def find_wrong_rpm(path: Path, package: Package) -> str | None:
    """Return what is wrong with an rpm, or None.

    Its payload is held to the digests in its headers; it is unpacked only if there are none.

    Args:
        path: The file.
        package: What primary says of it.
    """
    try:
        with path.open("rb") as file:
            header = walk(file).header
            facts = identify(header)
            check_header(header)
            check_files(header)
            check_payload(file)
    except OSError as error:
        return f"can't be read: {error.strerror or error}"
    except Refused as error:
        return explain_refusal(error)
    inside = {"name": facts.name, "version": facts.version, "architecture": facts.arch}
    named = {"name": package.name, "version": package.version, "architecture": package.arch}
    for word, value in inside.items():
        if named[word] != value:
            return f"has the {word} {value!r} in its header, {named[word]!r} in primary"
    return None
