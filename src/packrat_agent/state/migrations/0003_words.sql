-- One word for one thing: what a repository publishes as a whole is a publication, with generations;
-- what left an index is withdrawn, and
-- compressed parts of indexes are chunks.

ALTER TABLE live_files RENAME COLUMN section TO publication;
ALTER TABLE live_files RENAME COLUMN retired_at TO withdrawn_at;
ALTER TABLE live_files RENAME COLUMN retired_generation TO withdrawn_generation;
DROP INDEX live_files_retired;
CREATE INDEX live_files_withdrawn ON live_files (withdrawn_at) WHERE withdrawn_at IS NOT NULL;

ALTER TABLE sections RENAME TO publications;
ALTER TABLE old_publications RENAME COLUMN section TO publication;
ALTER TABLE old_publications RENAME TO generations;

ALTER TABLE pieces RENAME TO chunks;
ALTER TABLE chunks RENAME COLUMN piece TO chunk;

-- The reader of debs takes more than it did, such as members of signatures before the control archive.
UPDATE files SET unreadable = 0 WHERE unreadable = 1 AND kind = 'deb';
