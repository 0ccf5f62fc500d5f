"""Renders a json repository: a manifest and a list of checksums, and signatures of both."""

from packrat_agent.formats.interface import Change, RenderRequest
from packrat_agent.formats.json.file_lists import FileLists
from packrat_agent.formats.json.layout import MANIFEST, SIGNED_SUMS, SUMS
from packrat_agent.model.tree import Content, PendingFile, Publication, SignatureForm, TreeFile, sha256_of

_LISTS = "lists"
"""Key in the memo for the lists of the last render."""


def render_repository(request: RenderRequest) -> tuple[Publication, ...]:
    """Render one publication that lists each path with its oldest record."""
    lists, change = request.memo.get(_LISTS), request.change
    if lists is None or change is None:
        lists, change = FileLists(), Change((), request.entries)
        request.memo[_LISTS] = lists
    lists.replace(change.gone, change.new)
    sums, manifest = TreeFile(SUMS, Content.of(lists.sums())), TreeFile(MANIFEST, Content.of(lists.manifest()))
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
