"""Renders a json repository: a manifest and a list of checksums, and signatures of both.

The lists name each path once. The same file may have been uploaded for several distribution versions.
"""

from packrat_agent.formats.interface import RenderRequest
from packrat_agent.formats.json.layout import MANIFEST, SIGNED_SUMS, SUMS
from packrat_agent.formats.json.manifest import write_manifest, write_sums
from packrat_agent.model.tree import Content, PendingFile, Publication, SignatureForm, TreeFile, sha256_of


def render_repository(request: RenderRequest) -> tuple[Publication, ...]:
    """Render one publication that lists each path with its oldest record."""
    entries = {entry.path: entry for entry in reversed(request.entries)}.values()
    sums = TreeFile(SUMS, Content.of(write_sums(entries)))
    manifest = TreeFile(MANIFEST, Content.of(write_manifest(entries)))
    pointers: tuple[TreeFile | PendingFile, ...] = (sums, manifest)
    if request.settings.signed:
        pointers = (
            sums,
            PendingFile(f"{SUMS}.gpg", SignatureForm.BINARY, (sums.content,)),
            PendingFile(f"{SUMS}.asc", SignatureForm.ARMOR, (sums.content,)),
            PendingFile(SIGNED_SUMS, SignatureForm.CLEAR, (sums.content,)),
            manifest,
            PendingFile(f"{MANIFEST}.gpg", SignatureForm.BINARY, (manifest.content,)),
        )
    # Both lists are hashed as they are: they hold no date. A mirror that begins to sign publishes them again, and so
    # does one whose signatures were published before the clear-signed list was among them.
    signed = f"{SIGNED_SUMS if request.settings.signed else False}\n".encode()
    identity = sha256_of((signed, *sums.content.parts, *manifest.content.parts))
    return (Publication("main", identity, (), pointers),)
