"""Says what to do about the refusals of a packrat server, which name a rule of the API."""

import re

from packrat_core.errors import ServerRefused

REASONS = {
    "Invalid Content-Disposition": "its name may have up to 200 letters, digits and _ . + ~ ! ^ -, and begins with a "
    "letter, a digit or _",
    "UNKNOWN_TYPE": "it is not a package of a known type, and its name does not tell what it is: "
    "<package>_<version>.<ending>, the package in letters, digits and dashes",
    "ALLREADY_EXISTS": "the server has a file of this package, version, type and architecture for that distribution "
    "version already, under another name or with other bytes",
    "FILENAME_USED": "the server has other bytes under this name; give what has changed another version",
    "DEPROCATED/FAILED": "it is failed or deprocated, so it takes no tags; `unfail` or `undeprocate` undoes that",
    "FAILED": "it is failed, so it can't be deprocated; `unfail` undoes that",
    "DEPROCATED": "it is deprocated, so it can't be failed; `undeprocate` undoes that",
}
"""What the server says → what it means, and what to do about it."""


def explain(error: ServerRefused) -> str:
    """Say what the refusal of an upload means; one that is not known keeps the server's own words."""
    # The answer to `create` has no code: the rule is named in its text.
    text = str(error)
    found = re.search(r"PackageException \(([A-Z_/]+)\)|(Invalid Content-Disposition)", text)
    return REASONS.get(found[1] or found[2], text) if found is not None else text
