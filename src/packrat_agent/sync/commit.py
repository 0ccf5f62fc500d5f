"""Makes a tree live, in the one order that leaves nothing unknown after a crash.

1. Intent: the state database learns every path that is about to be written.
2. Files: package files and content go under names that nothing points at yet.
3. Pointers: each is replaced by one rename; from here on clients see the new index.
4. Commit: the state database learns what was written and what is withdrawn.
5. Unlink: what staging no longer needs is removed. Withdrawn files go later, by garbage collection.

After a crash in 1 to 3, the next full sync finds the paths of step 1 on disk, checks their hashes, and publishes again.
"""

import time
from collections.abc import Sequence

from packrat_agent.model.tree import LiveFile, ReadyTree
from packrat_agent.publish.writer import discard_staged, intend, look, publish
from packrat_agent.state.published import LiveFiles
from packrat_agent.sync.context import MirrorContext
from packrat_core.failpoints import done


def make_live(
    tree: ReadyTree, packages: Sequence[LiveFile], withdrawn: Sequence[str], live: LiveFiles, context: MirrorContext
) -> None:
    """Publish a tree and its package files, recorded before and after.

    Args:
        tree: the changed publications, signed or declared unsigned.
        packages: staged package files and the paths that they go to.
        withdrawn: package files that no index names any more.
        live: the disk side of the state database.
        context: where root_dir and staging are.

    Raises:
        DiskError: the disk failed; the rest stays as it was published before.
    """
    pointers = live.pointers(tree.repo.name)
    intended = intend(tree, packages)
    live.begin(tree.repo.name, intended)
    done("publish-noted")
    removed = publish(tree, packages, context.root, context.staging, pointers)
    written = look(context.root, intended)
    live.finish(tree, intended, written, time.time(), withdrawn=withdrawn, removed=removed)
    done("published-noted")
    discard_staged(packages, context.staging)
