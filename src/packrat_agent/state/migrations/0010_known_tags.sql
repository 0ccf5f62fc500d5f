-- The tag of a repository may decide which key signs it: remember it for good, so that the server can't change the key.
CREATE TABLE known_tags (
    repo TEXT PRIMARY KEY,
    directory TEXT NOT NULL,
    tag TEXT NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO known_tags (repo, directory, tag) SELECT name, directory, tag FROM repos WHERE tag <> '';
