"""Judges the signatures of an rpm as each version of rpm does."""

import os
from pathlib import Path
from typing import BinaryIO

from packrat_agent.verify.signatures import Keyring, is_well_signed, suffices_for_rpm
from packrat_core.errors import Refused
from packrat_core.packages.rpm.header import RpmFile, walk
from packrat_core.packages.rpm.signatures import RpmSignature, read_signatures

_PAYLOAD_LIMIT = 1024 * 1024 * 1024


def find_wrong_signature(keyring: Keyring, rpm: Path) -> str | None:
    """Return what is wrong with the signatures of a package, or None if every rpm accepts it.

    Signatures of the header cover the payload too, since the header contains its digest.
    """
    told: dict[RpmSignature, str | None] = {}
    try:
        with rpm.open("rb") as file:
            front = walk(file)
            for version, signatures in read_signatures(front).items():
                if not signatures:
                    return "is not signed"
                for signature in signatures:
                    if signature not in told:
                        told[signature] = _verify(keyring, front, file, signature)
                    if told[signature] is not None:
                        return f"is refused by {version}: {told[signature]} (tag {signature.tag} of the rpm)"
    except (OSError, Refused) as error:
        return f"can't be read as an rpm: {error}"
    return None


def _verify(keyring: Keyring, front: RpmFile, file: BinaryIO, signature: RpmSignature) -> str | None:
    judge = suffices_for_rpm if keyring.outlives else is_well_signed
    if not signature.covers_payload:
        return keyring.verify(front.header.blob, signature.data, judge)
    if os.fstat(file.fileno()).st_size > _PAYLOAD_LIMIT:
        return "it has a signature of header and payload together, and is too large to verify that"
    file.seek(front.start)
    return keyring.verify(file.read(), signature.data, judge)
