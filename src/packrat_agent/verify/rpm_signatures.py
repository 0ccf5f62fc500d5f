"""Judges the signatures of an rpm as each version of rpm does."""

from pathlib import Path

from packrat_agent.verify.signatures import Keyring, is_well_signed, suffices_for_rpm
from packrat_core.errors import Refused
from packrat_core.fs.file_tail import FileTail
from packrat_core.packages.rpm.header import RpmFile, walk
from packrat_core.packages.rpm.signatures import RpmSignature, is_header_enough, read_signatures

# A full sync leaves it as it is: its bytes are those that the agent once made.
_UNCOVERED = (
    "is refused by every rpm from 4.14 on, since its signature does not cover its payload: "
    "remove the file, and the next full sync signs it again"
)


def find_wrong_signature(keyring: Keyring, rpm: Path) -> str | None:
    """Return what is wrong with the signatures of a package, or None if every rpm accepts it.

    Signatures of the header cover the payload too if the header contains its digest.
    """
    verdicts: dict[RpmSignature, str | None] = {}
    try:
        with rpm.open("rb") as file:
            front = walk(file)
            for version, signatures in read_signatures(front).items():
                if not signatures:
                    return "is not signed"
                for signature in signatures:
                    if signature not in verdicts:
                        verdicts[signature] = _verify(keyring, front, rpm, signature)
                    if verdicts[signature] is not None:
                        return f"is refused by {version}: {verdicts[signature]} (tag {signature.tag} of the rpm)"
                if not is_header_enough(front) and not any(signature.covers_payload for signature in signatures):
                    return _UNCOVERED
    except (OSError, Refused) as error:
        return f"can't be read as an rpm: {error}"
    return None


def _verify(keyring: Keyring, front: RpmFile, rpm: Path, signature: RpmSignature) -> str | None:
    judge = suffices_for_rpm if keyring.outlives else is_well_signed
    if not signature.covers_payload:
        return keyring.verify(front.header.blob, signature.data, judge)
    with rpm.open("rb", buffering=0) as file:
        return keyring.verify(FileTail(file, front.start), signature.data, judge)
