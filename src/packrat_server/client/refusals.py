"""Says what to do about the refusals of a packrat server, which name a rule of the API."""

import re
from shlex import quote

from packrat_core.cinp.refusals import NotFound
from packrat_core.errors import ServerRefused
from packrat_server.promotion.rules import CHANGE_CONTROL_LIMIT

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
    "CHANGECONTROL_INVALID": f"the change control id is too long: give --change-control up to {CHANGE_CONTROL_LIMIT} "
    "characters",
    "CHANGECONTROL_REQUIRED": "this tag needs a change control id: give --change-control",
    "DEPROCATED": "it is deprocated, so it can't be failed; `undeprocate` undoes that",
}
"""What the server says → what it means, and what to do about it."""


_DELETED = re.compile(r'File name "([^"]+)" allready used by a deleted file with the SHA-256 ([0-9a-f]+)')
_NO_SUCH = re.compile(r'Object "\S+/(\w+):([^":]+):" for model "\S+" NotFound')
_INVALID = re.compile(r'(?:(\w+): Invalid Value|Invalid Result Value:) "(.+)"')
_TAG_FIRST = re.compile(r'Required tag "([^"]+)" missing')
_BROKEN = re.compile(r'Invalid Result Value: "(.+ is not a package in \w+ format)"')
_UNPARSED = re.compile(r'Unable to Parse "/api/')
_THINGS = {"Tag": "tag", "DistroVersion": "distribution version", "Package": "package"}


def explain(error: ServerRefused) -> str:
    """Say what a refusal means, without the request; one that is not known keeps the server's own words."""
    # The answer to `create` has no code: the rule is named in its text.
    text = str(error)
    found = re.search(r"PackageException \(([A-Z_/]+)\)|(Invalid Content-Disposition)", text)
    rule = error.code or (found[1] or found[2] if found is not None else "")
    if (deleted := _DELETED.search(text)) is not None:
        return (
            f"a deleted file had this name with other bytes (SHA-256 {deleted[2]}); give what has changed another "
            f"version, or have an administrator free the name, `packrat-server file free {quote(deleted[1])}`"
        )
    if rule in REASONS:
        return REASONS[rule]
    if (first := _TAG_FIRST.search(text)) is not None:
        return f"tag it {first[1]} first; `packrat-server promote` puts on all tags that one requires"
    if (missing := _NO_SUCH.search(text)) is not None:
        return f"the server has no {_THINGS.get(missing[1], missing[1])} {missing[2]}; check the spelling"
    if error.api_message == "Not Authorized":
        return "this user has no right to do this; an administrator gives rights, `user set NAME --right RIGHT`"
    if isinstance(error, NotFound) and error.object_id is not None:
        return "the server has no such package file; check its URI"
    return _explain_words(error.api_message) or text


def _explain_words(message: str) -> str:
    """Say what words of the server mean that stand for no rule; others stay as they are."""
    if (broken := _BROKEN.fullmatch(message)) is not None:
        return f"{broken[1]}; is the file whole? Build or download it again"
    if _UNPARSED.search(message) is not None:
        return "that is not the URI of a package file; give one as `upload` prints it, or the name of the file"
    if (invalid := _INVALID.fullmatch(message)) is not None:
        return f"{invalid[1]}: {invalid[2]}" if invalid[1] else invalid[2]
    return message
