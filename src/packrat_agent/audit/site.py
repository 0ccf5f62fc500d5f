"""Audits what stands at the top of a mirror: the landing page, the public key in both forms.

Takes: a Subject.
Gives: findings.
Touches: the top of the tree, reading only.
"""

import os
from collections.abc import Iterator

from packrat_agent.audit.findings import Fault, Finding, Subject, read_pointer
from packrat_agent.audit.signatures import read_keys
from packrat_agent.site import KEY_ARMORED, KEY_BINARY

_PAGE = "index.html"


def audit_site(subject: Subject) -> Iterator[Finding]:
    """Audit what is there: a copy of single repositories has none of it, an unsigned mirror no key."""
    found: list[Finding] = []
    there = [name for name in (_PAGE, KEY_ARMORED, KEY_BINARY) if os.path.lexists(subject.top / name)]
    contents = {name: read_pointer(subject, name, found) for name in there}
    yield from found
    keys = [name for name in there if name != _PAGE]
    if len(keys) == 1:
        other = next(name for name in (KEY_ARMORED, KEY_BINARY) if name not in keys)
        yield Fault(other, f"is missing, though {keys[0]} is there")
    armored, binary = contents.get(KEY_ARMORED), contents.get(KEY_BINARY)
    if armored is None or binary is None:
        return
    try:
        if read_keys(armored) != binary:
            yield Fault(KEY_ARMORED, f"is another key than {KEY_BINARY}")
    except ValueError as error:
        yield Fault(KEY_ARMORED, str(error))
