"""Says which signatures an image gets, and how clients are told to check them.

Takes: references and digests.
Gives: signatures to be made, as files of their own and as a list; policy.json, a file for registries.d.
Touches: nothing.

Source: containers-signature(5), containers-policy.json(5), containers-registries.d(5); OpenShift, registry API
extension for signatures.
"""

import base64
import json
from collections.abc import Sequence

from packrat_agent.model.tree import Content, PendingSignature, QuotingFile, Retained, SignatureForm, TreeFile

_UNSIGNED = b'{"signatures":[]}\n'


def sign_manifest(
    image: str, public_name: str | None, digest: str, tags: Sequence[str]
) -> list[TreeFile | QuotingFile | PendingSignature]:
    """Give the signature files of one manifest: one signature a tag.

    public_name: the image as clients name it, host and all; None: unsigned. The list of the extension is there even
    then: a registry that offers it must have it for all. They stay on disk as long as the image: whoever pulls it needs
    them.
    """
    listed = f"extensions/v2/{image}/signatures/{digest}"
    if public_name is None:
        return [TreeFile(listed, Content.of(_UNSIGNED), Retained.AS_PACKAGE)]
    _, _, path = public_name.partition("/")
    signatures = [
        PendingSignature(
            f"sigstore/{path}@{digest.replace(':', '=')}/signature-{number}",
            "",
            SignatureForm.OPAQUE,
            data=_statement(f"{public_name}:{tag}", digest),
            retained=Retained.AS_PACKAGE,
        )
        for number, tag in enumerate(tags, start=1)
    ]
    text = []
    before = '{"signatures":['
    for number in range(1, len(tags) + 1):
        # A name is the digest and 32 hex digits that tell it from the manifest's other signatures.
        text.append(f'{before}{{"schemaVersion":2,"name":"{digest}@{number:032x}","type":"atomic","content":"')
        before = '"},'
    text.append('"}]}\n')
    chunks = tuple(chunk.encode() for chunk in text)
    quoting = QuotingFile(listed, chunks, tuple(one.path for one in signatures), Retained.AS_PACKAGE)
    return [*signatures, quoting]


def _statement(reference: str, digest: str) -> bytes:
    """What is signed: this reference stands for this manifest. No date, so that it is the same each time."""
    critical = {
        "identity": {"docker-reference": reference},
        "image": {"docker-manifest-digest": digest},
        "type": "atomic container signature",
    }
    return json.dumps({"critical": critical, "optional": {"creator": "packrat-agent"}}, sort_keys=True).encode()


def write_policy(scope: str, public_key: bytes) -> bytes:
    """Write a policy.json: images of `scope` (host and directory) must be signed by the key, others are as before."""
    required = {"type": "signedBy", "keyType": "GPGKeys", "keyData": base64.b64encode(public_key).decode()}
    policy = {"default": [{"type": "insecureAcceptAnything"}], "transports": {"docker": {scope: [required]}}}
    return json.dumps(policy, indent=2).encode() + b"\n"


def write_registries(scope: str, url: str) -> bytes:
    """Write a file for registries.d: where the signatures of `scope` are; `sigstore` is what older clients read."""
    return f"docker:\n  {scope}:\n    lookaside: {url}\n    sigstore: {url}\n".encode()
