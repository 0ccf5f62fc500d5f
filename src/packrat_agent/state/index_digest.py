"""Hashes the index of a repository as it is published, so that two mirrors, or two moments, can be compared."""

import hashlib

from packrat_agent.state.database import Database


def hash_index(db: Database, repo: str) -> str:
    """Hash the paths and contents of a repository's pointers on disk: the same index has the same digest."""
    digest = hashlib.sha256()
    for path, sha256 in db.rows(
        "SELECT path, sha256 FROM live_files WHERE repo = ? AND publication > '' AND pointer_rank > 0 "
        "AND withdrawn_at IS NULL ORDER BY path",
        (repo,),
    ):
        digest.update(f"{sha256}  {path}\n".encode())
    return digest.hexdigest()
