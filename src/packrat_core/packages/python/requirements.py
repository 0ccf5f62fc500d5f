"""Checks the requirements in the METADATA of a wheel, of which a single one can break a whole project.

To install a project, pip reads the METADATA of its newest wheel first, and goes on to an older one if that does not
fit:

1. What no client can parse is refused. pip since 24.1 and uv pass over such a file, but earlier releases of pip, as
   Debian 12 has, end with an error, even where another version would do.
2. So is a marker that compares what can't be compared (`os_name ~= "x"`): every pip ends with an error.
3. So is a number of more digits than Python converts: pip ends with an error where it compares that version.
4. Versions that only earlier releases of pip can compare (`>=1.x`) are taken: all others pass over the file alone. So
   is any Requires-Python, for the same reason.

Source: PEP 508, PEP 440; packaging 21, which has the grammar of earlier releases of pip.
"""

import re
from email.parser import HeaderParser
from functools import lru_cache

from packaging.markers import UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.version import InvalidVersion

from packrat_core.errors import Refused

_COUNT_LIMIT = 5000
_TEXT_LIMIT = 1024 * 1024
"""The most characters in all requirements: packaging takes some ten seconds for these, and clients as long."""
_KNOWN = 2048
_KNOWN_LIMIT = 200
"""Characters of a requirement that is remembered as sound."""
_USUAL_HEADER = re.compile(r"(?:[!-9;-~]+:[^\r\n]*\n)+\n?")
"""A header with a field in each line: the parser would find the same, in ten times as long."""
_FREE_VERSION = re.compile(r"(==|!=|<=|>=|<|>)\s*[^,;\s)]+")
_BLANKS = re.compile(r"[ \t\r\n]+")
_UNCONVERTED = re.compile(r"[0-9]{4301}")
"""A number with more digits than int() takes. Source: Integer string conversion length limitation, docs.python.org."""
_TRAILING_COMMA = re.compile(r",\s*\)?\s*$")
_ENVIRONMENT = {
    "implementation_name": "cpython",
    "implementation_version": "3.11.2",
    "os_name": "posix",
    "platform_machine": "x86_64",
    "platform_release": "6.1.0-18-amd64",
    "platform_system": "Linux",
    "platform_version": "#1 SMP PREEMPT_DYNAMIC Debian 6.1.76-1 (2024-02-01)",
    "python_full_version": "3.11.2",
    "platform_python_implementation": "CPython",
    "python_version": "3.11",
    "sys_platform": "linux",
    "extra": "",
}
"""The environment that markers are evaluated for: the same on every host, so that server and mirror judge alike."""


def check_requirements(content: bytes) -> None:
    """Check each Requires-Dist of METADATA, which is known to be UTF-8.

    Raises:
        Refused: one of them can't be parsed or evaluated, or there are too many.
    """
    found = _find_requirements(content)
    if len(found) > _COUNT_LIMIT:
        raise Refused(f"its METADATA has more than {_COUNT_LIMIT} times Requires-Dist")
    if sum(map(len, found)) > _TEXT_LIMIT:
        raise Refused(f"its METADATA has more than {_TEXT_LIMIT} characters of Requires-Dist")
    for text in found:
        # The versions of a project mostly require the same.
        (_check_once if len(text) <= _KNOWN_LIMIT else _check)(text)


def _find_requirements(content: bytes) -> list[str]:
    """List the values of Requires-Dist, as the parser of email finds them, by which pip reads."""
    # The description behind the first empty line may be long, and no field stands there.
    end = content.find(b"\n\n")
    head = content[: end + 2] if end >= 0 else content
    # Even so, reading the header takes longer than all else about a small wheel.
    if b"requires-dist" not in head.lower():
        return []
    text = head.decode("utf-8")
    if _USUAL_HEADER.fullmatch(text):
        fields = (line.partition(":") for line in text.split("\n"))
        return [value.strip() for name, _, value in fields if name.lower() == "requires-dist"]
    values = HeaderParser().parsestr(text, headersonly=True).get_all("Requires-Dist", [])
    return [str(value).strip() for value in values]


def _check(text: str) -> None:
    try:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            requirement = _read_as_earlier(text)
        # Today's packaging compares only when it has to; earlier ones, as pip has them, convert at once.
        if requirement.url is None and _UNCONVERTED.search(text):
            raise InvalidVersion
        if requirement.marker is not None:
            requirement.marker.evaluate(_ENVIRONMENT)
    except (InvalidRequirement, RecursionError):
        raise Refused(
            f"its METADATA has a Requires-Dist that clients can't read: {text[:60]!r}",
            hint="correct it and build the wheel again",
        ) from None
    except (UndefinedComparison, UndefinedEnvironmentName, ValueError):
        # ValueError: InvalidVersion, and what int() raises.
        raise Refused(
            f"its METADATA has a Requires-Dist with a condition at which pip fails: {text[:60]!r}",
            hint="correct it and build the wheel again",
        ) from None


_check_once = lru_cache(_KNOWN)(_check)


def _read_as_earlier(text: str) -> Requirement:
    named, mark, marker = _BLANKS.sub(" ", text).partition(";")
    if _TRAILING_COMMA.search(named):
        raise InvalidRequirement(text)
    return Requirement(_FREE_VERSION.sub(r"\g<1>1", named) + mark + marker)
