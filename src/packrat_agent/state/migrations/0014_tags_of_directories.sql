-- A directory keeps its key also after its repository moved away: the tag of a repository and that of its directory are
-- remembered apart.
ALTER TABLE known_tags RENAME TO tags_of_repos;
CREATE TABLE known_tags (
    kind TEXT NOT NULL CHECK (kind IN ('repo', 'directory')),
    name TEXT NOT NULL,
    tag TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) STRICT, WITHOUT ROWID;
INSERT INTO known_tags (kind, name, tag) SELECT 'repo', repo, tag FROM tags_of_repos;
INSERT OR IGNORE INTO known_tags (kind, name, tag) SELECT 'directory', directory, tag FROM tags_of_repos;
DROP TABLE tags_of_repos;
