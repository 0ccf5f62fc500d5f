-- The state database after all migrations; a test holds the two together.

-- Single values: the mirror's name and description, the last full sync.
CREATE TABLE settings (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- The repositories of the mirror, as last asked.
CREATE TABLE repos (
    name TEXT PRIMARY KEY,
    description TEXT NOT NULL,
    directory TEXT NOT NULL,
    kind TEXT NOT NULL,
    distro_versions TEXT NOT NULL,
    show_only_latest INTEGER NOT NULL,
    tag TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;

-- The tag by which the key of each repository was chosen that had a name, or a directory; also after it left the mirror.
CREATE TABLE known_tags (
    kind TEXT NOT NULL CHECK (kind IN ('repo', 'directory')),
    name TEXT NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;

-- A row for each package file that a repository wants.
--   wanted   the server names it; not in the index yet (to be downloaded, or failed and tried again)
--   live     its bytes are verified, in place, and named by the index
--   refused  can't be in the index; `reason` says why; tried again in each sync
--            (with `unreadable` 1: its bytes are at fault, so only when its record changes)
--   `unreadable` 2 on a wanted file: the server sent other bytes than its record says; tried again in a full sync
--   read_at  when the record was last read from the server, in epoch seconds; 0: not known
--   yanked   1: deprecated on the server, and listed all the same, for clients that name its version
-- A row is deleted when the server withdraws the file; what is on disk then lives on in `live_files` as withdrawn.
CREATE TABLE files (
    repo TEXT NOT NULL REFERENCES repos (name) ON DELETE CASCADE,
    uri TEXT NOT NULL,
    package TEXT NOT NULL,
    distro_version TEXT NOT NULL,
    version TEXT NOT NULL,
    kind TEXT NOT NULL,
    arch TEXT NOT NULL,
    url TEXT NOT NULL,
    file_name TEXT NOT NULL,
    sha256 TEXT NOT NULL CHECK (length(sha256) = 64),
    created TEXT NOT NULL,
    state TEXT NOT NULL DEFAULT 'wanted' CHECK (state IN ('wanted', 'live', 'refused')),
    path TEXT,
    reason TEXT,
    unreadable INTEGER NOT NULL DEFAULT 0,
    read_at REAL NOT NULL DEFAULT 0,
    yanked INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (repo, uri)
) STRICT, WITHOUT ROWID;
CREATE INDEX files_by_package ON files (repo, package);
CREATE INDEX files_by_path ON files (repo, path, sha256);

-- Live files that the server took away without saying why.
--   uri    '': the repository itself left the mirror
--   at     since when, on the steady clock (`settings`), in seconds
--   held   1: held back until it is confirmed; 0: it went, and counts for a day against what else may go
CREATE TABLE removals (
    repo TEXT NOT NULL,
    uri TEXT NOT NULL,
    at REAL NOT NULL,
    held INTEGER NOT NULL,
    PRIMARY KEY (repo, uri)
) STRICT, WITHOUT ROWID;

-- A row for each file that the agent has put, or is about to put, below root_dir (path relative to it).
--   publication ''  a package file; else an index file of that publication
--   pointer_rank  0 for content, else its place in the order of publishing
--   inode       0 from the moment it is about to be written until it is seen in place
--   retained    how long it stays once it is withdrawn: `Retained` in model.py
--   withdrawn_at  NULL while a published index names it; else since when nothing does
--   first_generation, withdrawn_generation  an index file: the first publication of its publication that named it (0: not
--               known), and the one that named it no more (0: it goes by time alone)
--   ctime_ns    of the file when a scan last found it right; 0: no scan did
CREATE TABLE live_files (
    path TEXT PRIMARY KEY,
    repo TEXT NOT NULL,
    publication TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode INTEGER NOT NULL,
    verified_at REAL NOT NULL,
    pointer_rank INTEGER NOT NULL,
    retained INTEGER NOT NULL,
    withdrawn_at REAL,
    withdrawn_generation INTEGER,
    first_generation INTEGER NOT NULL DEFAULT 0,
    ctime_ns INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;
CREATE INDEX live_files_by_repo ON live_files (repo, publication);
CREATE INDEX live_files_by_sha256 ON live_files (sha256);
CREATE INDEX live_files_withdrawn ON live_files (withdrawn_at) WHERE withdrawn_at IS NOT NULL;

-- Which package file, by its SHA-256, was ever published under a path: it never gets another.
CREATE TABLE published_names (
    path TEXT PRIMARY KEY,
    sha256 TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- What the index needs to know of a file, read once in its life.
--   signer    the fingerprint of the key that signs its repository, '' where it is published as it is
--   made_by   the former key that its published copy is signed with, '' where `signer` has signed it
--   sha256, size  of the package file as the server has it
--   products  what is published in its place, or beside it: a JSON list of [name, SHA-256, size, beside]
--   backup    the SHA-256 of its backup in root_dir, '' where it needs none, NULL where that is not written
CREATE TABLE fragments (
    format TEXT NOT NULL,
    fragment_version INTEGER NOT NULL,
    signer TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    size INTEGER NOT NULL,
    name TEXT NOT NULL,
    version TEXT NOT NULL,
    arch TEXT NOT NULL,
    body BLOB NOT NULL,
    products TEXT NOT NULL,
    backup TEXT,
    made_by TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (format, fragment_version, signer, sha256)
) STRICT;
CREATE INDEX fragments_by_others ON fragments (signer) WHERE made_by <> '';
CREATE INDEX fragments_in_order ON fragments (format, fragment_version, signer, sha256, name, version, arch);
CREATE INDEX fragments_with_products ON fragments (format, fragment_version, signer) WHERE products <> '[]';

-- What is being published, from before its first file is written until `live_files` and `publications` have all of it.
--   body     a compressed JSON object, see intents.py
CREATE TABLE intents (
    repo TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;

-- The publications of each repository as last published.
CREATE TABLE publications (
    repo TEXT NOT NULL,
    name TEXT NOT NULL,
    identity TEXT NOT NULL,
    generation INTEGER NOT NULL,
    facts TEXT NOT NULL,
    published_at REAL NOT NULL,
    PRIMARY KEY (repo, name)
) STRICT, WITHOUT ROWID;

-- The earlier publications of a publication that left index files behind.
--   replaced_at  when the next one took its place
--   on_disk      1 while its index files stay, 0 once they may go; such a row is needed while an older one is on disk
CREATE TABLE generations (
    repo TEXT NOT NULL,
    publication TEXT NOT NULL,
    generation INTEGER NOT NULL,
    replaced_at REAL NOT NULL,
    on_disk INTEGER NOT NULL,
    PRIMARY KEY (repo, publication, generation)
) STRICT, WITHOUT ROWID;

-- Records of the server that can't be used: of the mirror itself (repo ''), or of a repository's package files.
CREATE TABLE rejections (
    repo TEXT NOT NULL,
    record TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (repo, record)
) STRICT, WITHOUT ROWID;

-- Compressed index parts, under the SHA-256 of their plain bytes.
CREATE TABLE chunks (
    coding TEXT NOT NULL,
    digest TEXT NOT NULL,
    used_at REAL NOT NULL,
    chunk BLOB NOT NULL,
    PRIMARY KEY (coding, digest)
) STRICT;

-- A short history for `status`.
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    word TEXT NOT NULL,
    repo TEXT,
    text TEXT NOT NULL
) STRICT;
