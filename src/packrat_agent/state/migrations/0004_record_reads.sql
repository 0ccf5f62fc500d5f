-- Records of package files are read again one by one, not all in each full sync: remember when each was read last.

-- Not known of what is there, so that the next full sync reads all of them once.
ALTER TABLE files ADD COLUMN read_at REAL NOT NULL DEFAULT 0;
