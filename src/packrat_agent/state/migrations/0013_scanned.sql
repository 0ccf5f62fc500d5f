-- The content of a large tree is read in slices: remember what a file looked like when its content was known to be right.

-- Not known yet, so the next scan writes it down.
ALTER TABLE live_files ADD COLUMN ctime_ns INTEGER NOT NULL DEFAULT 0;
