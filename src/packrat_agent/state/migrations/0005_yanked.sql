-- Deprecated files that stay in the index, marked.

-- Until now there were none; the next sync is told by the server's lists.
ALTER TABLE files ADD COLUMN yanked INTEGER NOT NULL DEFAULT 0;
