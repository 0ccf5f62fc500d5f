CREATE TABLE removals (
    repo TEXT NOT NULL,
    uri TEXT NOT NULL,
    at REAL NOT NULL,
    held INTEGER NOT NULL,
    PRIMARY KEY (repo, uri)
) STRICT, WITHOUT ROWID;
ALTER TABLE repos DROP COLUMN shrunk_since;
