"""Makes a tree live, in the one order that leaves nothing unknown after a crash.

1. Intent: the state database learns everything that is about to be done.
2. Files: package files and content go under names that nothing points at yet; the new pointers are made ready beside
   the tree.
3. Pointers: each is replaced by one rename; from here on clients see the new index.
4. Commit: the state database learns what was written and what is withdrawn.
5. Unlink: what staging no longer needs is removed. Withdrawn files go later, by garbage collection.

After a crash in 1 or 2, clients have the former publication, and the next sync adopts files that are in place with the
right hash. After a crash in 3, `roll_forward` completes the publication as the first thing at the next start.
"""

import time
from collections.abc import Sequence

from packrat_agent.model.paths import is_kept_or_around
from packrat_agent.model.tree import Intent, LiveFile, ReadyTree
from packrat_agent.publish.pointers import discard_pointers
from packrat_agent.publish.write_ahead import WrittenAhead
from packrat_agent.publish.writer import discard_staged, intend, publish
from packrat_agent.sync.context import MirrorContext
from packrat_core.errors import DiskError
from packrat_core.failpoints import done


def make_live(
    tree: ReadyTree,
    packages: Sequence[LiveFile],
    withdrawn: Sequence[str],
    context: MirrorContext,
    ahead: WrittenAhead | None = None,
) -> None:
    """Publish a tree and its package files, recorded before and after.

    Args:
        tree: the changed publications, signed or declared unsigned.
        packages: staged package files and the paths that they go to.
        withdrawn: package files that no index names any more.
        context: the state database, and where root_dir and staging are.
        ahead: content of the tree that was written to staging before.

    Raises:
        DiskError: the disk failed, or the operator keeps what stands in the place of an index; what can't be completed
            stays as it was published before.
    """
    store = context.store
    # A publication that stays the same, or that says what changes, loses no other pointer.
    whole = {publication.name for publication in tree.publications if publication.since is None}
    if tree.publication_names is None:
        pointers = store.live.pointers_of(tree.repo.name, whole | tree.ended)
    else:
        pointers = store.live.pointers(tree.repo.name, frozenset(tree.publication_names) - whole)
    intent = intend(tree, packages, withdrawn, pointers, context.kept)
    # What the operator keeps of the site was left out before.
    if context.kept and tree.repo.name:
        _refuse_kept(intent, context)
    store.intents.begin(intent)
    done("publish-noted")
    written = publish(tree, packages, intent, context.root, context.staging, ahead, context.compared)
    store.intents.end(intent, written, time.time())
    done("published-noted")
    discard_pointers(context.root, tree.repo)
    discard_staged(packages, context.staging)


def _refuse_kept(intent: Intent, context: MirrorContext) -> None:
    for file in intent.files:
        if is_kept_or_around(file.path, context.kept):
            raise DiskError(
                f"{file.path} can't be published: it is kept by keep_file in mirror.conf",
                hint="take it off keep_file_list, or give the repository another directory on the server",
                path=str(context.root / file.path),
            )
