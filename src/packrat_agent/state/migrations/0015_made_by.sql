-- During a rotation of the signing key, what the former key has signed is taken over as it is.

-- Until now, the key that signs has made all of them.
ALTER TABLE fragments ADD COLUMN made_by TEXT NOT NULL DEFAULT '';
CREATE INDEX fragments_by_others ON fragments (signer) WHERE made_by <> '';
