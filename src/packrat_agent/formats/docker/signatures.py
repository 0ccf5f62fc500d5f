"""Lists the signatures that an image needs, and writes the policy with which clients check them.

Source: containers-signature(5), containers-policy.json(5), containers-registries.d(5); OpenShift, registry API
extension for signatures.
"""

import base64
import json
from collections.abc import Sequence

from packrat_agent.model.tree import Content, PendingFile, Retained, SignatureForm, Signer, TreeFile

_UNSIGNED = b'{"signatures":[]}\n'


def sign_manifest(
    image: str,
    public_name: str | None,
    digest: str,
    references: Sequence[str],
    *,
    signers: Sequence[Signer],
    listed: bool,
) -> list[TreeFile | PendingFile]:
    """List the signature files of one manifest: a signature for each reference by each signer, and OpenShift's list.

    The list exists for unsigned images too, since a registry that hands out signatures must have it for every manifest.
    The files stay on disk as long as the image, because every client that pulls it needs them.

    Args:
        image: the name of the image in the repository.
        public_name: the image as clients name it, with the host; None if it is not signed.
        digest: the digest of the manifest.
        references: what clients append to the name of the image to get the manifest, `:<tag>` or `@<digest>`.
        signers: who signs each reference.
        listed: whether the registry hands out signatures, so that there is a list of them.
    """
    path_of_list = f"extensions/v2/{image}/signatures/{digest}"
    if public_name is None:
        return [TreeFile(path_of_list, Content.of(_UNSIGNED), Retained.AS_PACKAGE)] if listed else []
    _, _, path = public_name.partition("/")
    of_each = [Content.of(_statement(f"{public_name}{reference}", digest)) for reference in references]
    # Those of one name stand together: a name that is added moves no other.
    statements = tuple(statement for statement in of_each for _ in signers)
    by = tuple(signers) * len(references)
    signatures: list[TreeFile | PendingFile] = [
        PendingFile(
            f"sigstore/{path}@{digest.replace(':', '=')}/signature-{number}",
            SignatureForm.OPAQUE,
            (statement,),
            lasting=True,
            retained=Retained.AS_PACKAGE,
            signers=(signer,),
        )
        for number, (statement, signer) in enumerate(zip(statements, by, strict=True), start=1)
    ]
    if len(signers) > 1:
        # Clients read on until a number is missing. Written from the end, what is inserted in the middle hides nothing.
        signatures.reverse()
    return [*signatures, _list_signatures(path_of_list, digest, statements, by)] if listed else signatures


def _list_signatures(
    path: str, digest: str, statements: tuple[Content, ...], signers: tuple[Signer, ...]
) -> PendingFile:
    """Write OpenShift's list of the signatures of a manifest."""
    text = []
    before = '{"signatures":['
    for number in range(1, len(statements) + 1):
        # A name is the digest and 32 digits that distinguish the manifest's signatures.
        text.append(f'{before}{{"schemaVersion":2,"name":"{digest}@{number:032x}","type":"atomic","content":"')
        before = '"},'
    text.append('"}]}\n')
    chunks = tuple(chunk.encode() for chunk in text)
    return PendingFile(
        path, SignatureForm.OPAQUE, statements, chunks, lasting=True, retained=Retained.AS_PACKAGE, signers=signers
    )


def _statement(reference: str, digest: str) -> bytes:
    """Write the statement to sign, that a reference names a manifest; without a date, so that it never changes."""
    critical = {
        "identity": {"docker-reference": reference},
        "image": {"docker-manifest-digest": digest},
        "type": "atomic container signature",
    }
    return json.dumps({"critical": critical, "optional": {"creator": "packrat-agent"}}, sort_keys=True).encode()


def write_policy(scope: str, public_key: bytes) -> bytes:
    """Write a policy.json that accepts images of `scope` (host and directory) only if signed by the key."""
    required = {"type": "signedBy", "keyType": "GPGKeys", "keyData": base64.b64encode(public_key).decode()}
    policy = {"default": [{"type": "insecureAcceptAnything"}], "transports": {"docker": {scope: [required]}}}
    return json.dumps(policy, indent=2).encode() + b"\n"


def write_registries(scope: str, url: str) -> bytes:
    """Write a file for registries.d with the address of the signatures of `scope`; older clients read `sigstore`."""
    return f"docker:\n  {scope}:\n    lookaside: {url}\n    sigstore: {url}\n".encode()
