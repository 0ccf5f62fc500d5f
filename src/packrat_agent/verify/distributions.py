"""Audits a wheel or source distribution by the rules of the upload, and holds it against its page."""

import hashlib
from pathlib import Path

from packrat_agent.verify.findings import explain_refusal
from packrat_core.errors import Refused
from packrat_core.packages.python.inspect import check_file_name, read_distribution


def find_wrong_distribution(path: Path, name: str, metadata: str) -> str | None:
    """Return what is wrong with a distribution, or None; of a wheel, only names and the .dist-info directory are read.

    Args:
        path: The file.
        name: Its name on the page.
        metadata: The SHA-256 of the metadata file beside it; '' if there is none.
    """
    try:
        found = read_distribution(path)
        check_file_name(name, found.kind, found.core.name, found.core.version)
    except OSError as error:
        return f"can't be read: {error.strerror or error}"
    except Refused as error:
        return explain_refusal(error)
    # Clients decide by the metadata file what to install, and then install what the wheel says.
    if metadata and hashlib.sha256(found.content).hexdigest() != metadata:
        return "has other metadata inside than the file beside it"
    return None
