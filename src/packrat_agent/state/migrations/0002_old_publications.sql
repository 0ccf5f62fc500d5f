-- Index files get a period of their own, publications are thinned out, and records that can't be used are remembered.

-- Files of a section that is no more, and of a repository's former directory, go by time alone.
UPDATE live_files SET retired_generation = 0
WHERE retired_at IS NOT NULL AND section > '' AND NOT EXISTS (
    SELECT 1 FROM sections WHERE sections.repo = live_files.repo AND sections.name = live_files.section
);
-- Links lead to package files.
UPDATE live_files SET retained = 2
WHERE section > '' AND path LIKE '%/generations/%' AND path NOT LIKE '%/generations/%/repodata/%';
-- Signatures of images stay as long as the images.
UPDATE live_files SET retained = 2
WHERE section > '' AND pointer_rank = 0 AND repo IN (SELECT name FROM repos WHERE kind = 'docker');

-- What is retired already is known to be of the last publication that named it.
ALTER TABLE live_files ADD COLUMN first_generation INTEGER NOT NULL DEFAULT 0;
UPDATE live_files SET first_generation = retired_generation - 1 WHERE retired_generation > 0;

CREATE TABLE old_publications (
    repo TEXT NOT NULL,
    section TEXT NOT NULL,
    generation INTEGER NOT NULL,
    replaced_at REAL NOT NULL,
    on_disk INTEGER NOT NULL,
    PRIMARY KEY (repo, section, generation)
) STRICT, WITHOUT ROWID;
INSERT INTO old_publications (repo, section, generation, replaced_at, on_disk)
SELECT repo, section, retired_generation - 1, min(retired_at), 1 FROM live_files
WHERE section > '' AND retired_generation > 0 AND retained < 2 GROUP BY repo, section, retired_generation;

CREATE TABLE rejections (
    repo TEXT NOT NULL,
    record TEXT NOT NULL,
    reason TEXT NOT NULL,
    PRIMARY KEY (repo, record)
) STRICT, WITHOUT ROWID;
