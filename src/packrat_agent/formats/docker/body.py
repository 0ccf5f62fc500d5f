r"""The body of an image's fragment: what the index needs to know of it.

The body is a line, and then the bytes of the top manifest. The line names the image's manifests, the top one first, as
`<digest>.<ending>` with spaces between them. If anything in the archive refers to another manifest, a tab and a JSON
object follow in the line: `artifacts`, manifests that are not a part of the image, and `referrers`, for each subject
the descriptors of what refers to it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from packrat_core.errors import Refused
from packrat_core.packages.image.referrers import describe_referrer


@dataclass(frozen=True, slots=True)
class Body:
    """The body of an image's fragment, read.

    Attributes:
        manifests: (digest, file name ending) of each manifest of the image, the top one first.
        top: the bytes of the top manifest.
        artifacts: (digest, file name ending) of what came with the image.
        referrers: digest of a manifest → the descriptors of the manifests that refer to it.
    """

    manifests: Sequence[tuple[str, str]]
    top: bytes
    artifacts: Sequence[tuple[str, str]] = ()
    referrers: Mapping[str, Sequence[Mapping[str, Any]]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        ordered: Sequence[str],
        manifests: Mapping[str, tuple[str, bytes]],
        artifacts: Mapping[str, tuple[str, bytes]],
    ) -> "Body":
        """Make the body of an image.

        Args:
            ordered: the digests of its manifests, the top one first.
            manifests: digest → (file name ending, bytes) of each.
            artifacts: the same of what came with it.
        """
        referrers: dict[str, list[Mapping[str, Any]]] = {}
        for digest, (end, data) in sorted({**artifacts, **manifests}.items()):
            described = describe_referrer(digest, end, data)
            if described is not None:
                referrers.setdefault(described[0], []).append(described[1])
        return cls(
            [(digest, manifests[digest][0]) for digest in ordered],
            manifests[ordered[0]][1],
            [(digest, end) for digest, (end, _) in sorted(artifacts.items())],
            referrers,
        )


def write_body(body: Body) -> bytes:
    """Write the body of a fragment."""
    line = _join(body.manifests)
    if body.referrers or body.artifacts:
        more = {"artifacts": _join(body.artifacts), "referrers": body.referrers}
        line += "\t" + json.dumps(more, separators=(",", ":"))
    return line.encode() + b"\n" + body.top


def read_body(data: bytes) -> Body:
    """Read what `write_body` wrote."""
    line, _, top = data.partition(b"\n")
    named, _, more = line.decode().partition("\t")
    if not more:
        manifests = _split(named)
        # Older agents did not look for a subject.
        return Body(manifests, top, (), _find_referrer(*manifests[0], top) if b'"subject"' in top else {})
    record = json.loads(more)
    return Body(_split(named), top, _split(record["artifacts"]), record["referrers"])


def _find_referrer(digest: str, end: str, data: bytes) -> Mapping[str, Sequence[Mapping[str, Any]]]:
    try:
        described = describe_referrer(digest, end, data)
    except Refused:
        return {}
    return {described[0]: [described[1]]} if described is not None else {}


def _join(manifests: Sequence[tuple[str, str]]) -> str:
    return " ".join(f"{digest}.{end}" for digest, end in manifests)


def _split(named: str) -> list[tuple[str, str]]:
    return [(digest, end) for digest, _, end in (manifest.partition(".") for manifest in named.split(" ") if manifest)]
