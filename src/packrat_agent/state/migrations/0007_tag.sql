-- A tag may have a signing key of its own: remember the tag of each repository.

-- Not known until the server is asked, which it is before anything is signed.
ALTER TABLE repos ADD COLUMN tag TEXT NOT NULL DEFAULT '';
