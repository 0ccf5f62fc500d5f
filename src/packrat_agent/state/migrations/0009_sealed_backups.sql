-- Fragment backups below root_dir are believed only if a signed list has their SHA-256: remember what was written.

-- Not known of what is there, so that the next full sync compares all backups with the fragments once.
ALTER TABLE fragments ADD COLUMN backup TEXT;
