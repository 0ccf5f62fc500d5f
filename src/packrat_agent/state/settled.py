"""Finds what may be left to do in a repository, without reading what is settled."""

from collections.abc import Mapping

from packrat_agent.state.database import Database
from packrat_agent.state.file_state import FileState
from packrat_agent.state.fragments import NEEDED_NAME, FragmentSource

# A package file that is published itself, under its own name, and has at most one product beside it.
_IS_BESIDE = (
    f"json_array_length(products) <= 2 AND json_extract(products, '$[#-1][3]') AND {NEEDED_NAME} = files.file_name"
)
# That product, where there is one: its path, and its SHA-256.
_BESIDE_PATH = "files.path || json_extract(products, '$[0][0]')"
_BESIDE_SHA256 = "json_extract(products, '$[0][1]')"

# What stands in the place of a package file: itself, or the one product that stands in its very place.
_PUBLISHED = (
    "CASE WHEN products = '[]' THEN fragments.sha256 WHEN json_array_length(products) = 1 AND "
    "json_extract(products, '$[0][0]') = '' AND NOT json_extract(products, '$[0][3]') "
    f"THEN json_extract(products, '$[0][1]') WHEN {_IS_BESIDE} THEN fragments.sha256 END"
)

# One pass that joins: to ask for each file whether it is settled takes half as long again.
_UNSETTLED = (
    "SELECT package FROM files LEFT JOIN fragments ON format = :kind AND fragment_version = :version AND "
    "signer = :signer AND fragments.sha256 = files.sha256 LEFT JOIN live_files ON live_files.path = files.path AND "
    "live_files.repo = files.repo AND publication = '' AND inode > 0 AND withdrawn_at IS NULL AND "
    f"live_files.sha256 = {_PUBLISHED} "
    "WHERE files.repo = :repo AND (state <> :live OR unreadable <> 0 OR live_files.path IS NULL OR "
    f"products <> '[]' AND {_IS_BESIDE} AND {_BESIDE_SHA256} <> '' AND NOT EXISTS (SELECT 1 FROM live_files AS beside "
    f"WHERE beside.path = {_BESIDE_PATH} AND beside.repo = files.repo AND beside.publication = '' AND beside.inode > 0 "
    f"AND beside.withdrawn_at IS NULL AND beside.sha256 = {_BESIDE_SHA256}))"
)

# Where all package files are published as they are, the rows of fragments need not be read. What an index has of each
# file is then compared in the order of the paths, in which both tables are stored.
_HAS_PRODUCTS = (
    "SELECT json_extract(products, '$[#-1][3]') FROM fragments INDEXED BY fragments_with_products "
    "WHERE format = :kind AND fragment_version = :version AND signer = :signer AND products <> '[]' LIMIT 1"
)
_UNREAD = (
    "SELECT package FROM files LEFT JOIN fragments ON format = :kind AND fragment_version = :version AND "
    "signer = :signer AND fragments.sha256 = files.sha256 WHERE files.repo = :repo AND (state <> :live OR "
    "unreadable <> 0 OR fragments.rowid IS NULL)"
)
_STANDING_BESIDE = (
    f"SELECT {_BESIDE_PATH} AS path FROM files CROSS JOIN fragments ON format = :kind AND fragment_version = :version "
    "AND signer = :signer AND fragments.sha256 = files.sha256 WHERE files.repo = :repo AND state <> :refused AND "
    f"files.path <> '' AND products <> '[]' AND {_IS_BESIDE} AND {_BESIDE_SHA256} <> ''"
)
_PACKAGES_OF = "SELECT package FROM files WHERE repo = :repo AND uri IN "
_NOT_IN_PLACE = (
    f"{_PACKAGES_OF} (SELECT uri FROM files INDEXED BY files_by_path LEFT JOIN live_files ON live_files.path = "
    "files.path AND live_files.repo = files.repo AND publication = '' AND inode > 0 AND withdrawn_at IS NULL AND "
    "live_files.sha256 = files.sha256 WHERE files.repo = :repo AND live_files.path IS NULL)"
)
_OF_ANOTHER_NAME = (
    f"{_PACKAGES_OF} (SELECT uri FROM files INDEXED BY files_by_path CROSS JOIN published_names ON "
    "published_names.path = files.path WHERE repo = :repo AND published_names.sha256 <> files.sha256)"
)


def find_open_packages(db: Database, repo: str, source: FragmentSource) -> list[str]:
    """Name the packages with files that are not settled, in order.

    A file is settled where the index names it, it was read, and what is published of it stands in its place, not
    withdrawn, and has always stood for it. Whether that is still the right place, only its format can tell.

    Args:
        db: The state database.
        repo: The name of the repository.
        source: Whose fragments count.
    """
    values = _values(repo, source)
    asked = [_UNSETTLED] if db.rows(_HAS_PRODUCTS, values) else [_UNREAD, _NOT_IN_PLACE]
    return sorted({package for sql in (*asked, _OF_ANOTHER_NAME) for (package,) in db.rows(sql, values)})


def has_unwanted(db: Database, repo: str, source: FragmentSource) -> bool:
    """Tell whether more package files are remembered on disk than wanted files have places, without withdrawn ones.

    Where all wanted files of the repository are settled, each has a place of its own or shares it with the same bytes,
    and none is withdrawn. So no other file is there if the numbers are equal.

    Args:
        db: The state database.
        repo: The name of the repository.
        source: Whose fragments tell what stands beside package files.
    """
    values = _values(repo, source)
    on_disk = "SELECT count(*) FROM live_files INDEXED BY live_files_by_repo WHERE repo = :repo AND publication = ''"
    # The index by repository doesn't tell which are withdrawn, and that by date has these alone.
    withdrawn = (
        "SELECT count(*) FROM live_files INDEXED BY live_files_withdrawn WHERE withdrawn_at IS NOT NULL AND "
        "repo = :repo AND publication = ''"
    )
    places = "SELECT count(DISTINCT path) FROM files INDEXED BY files_by_path WHERE repo = :repo"
    beside = f"SELECT count(DISTINCT path) FROM ({_STANDING_BESIDE})" if _has_beside(db, values) else "SELECT 0"
    asked = f"SELECT ({on_disk}), ({withdrawn}), ({places}), ({beside})"
    [[standing, leaving, wanted, accompanying]] = db.rows(asked, values)
    return bool(standing - leaving != wanted + accompanying)


def find_unplaced(db: Database, repo: str, source: FragmentSource) -> list[str]:
    """List the paths of package files in place that no wanted file has as its own, without withdrawn ones.

    What stands beside a package file of another name than clients need is among them.

    Args:
        db: The state database.
        repo: The name of the repository.
        source: Whose fragments tell what stands beside package files.
    """
    values = _values(repo, source)
    sql = (
        "SELECT path FROM live_files INDEXED BY live_files_by_repo WHERE repo = :repo AND publication = '' "
        "AND inode > 0 AND withdrawn_at IS NULL AND NOT EXISTS (SELECT 1 FROM files INDEXED BY files_by_path WHERE "
        "files.repo = live_files.repo AND files.path = live_files.path AND state <> :refused)"
    )
    if _has_beside(db, values):
        sql = f"{sql} AND path NOT IN ({_STANDING_BESIDE})"
    return [path for (path,) in db.rows(f"{sql} ORDER BY path", values)]


def _has_beside(db: Database, values: Mapping[str, object]) -> bool:
    """Tell whether products stand beside package files: a format has all of its products there, or none."""
    return any(is_beside for (is_beside,) in db.rows(_HAS_PRODUCTS, values))


def _values(repo: str, source: FragmentSource) -> dict[str, object]:
    return {
        "repo": repo,
        "live": FileState.LIVE,
        "refused": FileState.REFUSED,
        "kind": source.kind,
        "version": source.version,
        "signer": source.signer,
    }
