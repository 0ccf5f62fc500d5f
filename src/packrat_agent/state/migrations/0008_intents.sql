-- A publish that was cut off is completed at the next start: remember all that is needed to end it.

CREATE TABLE intents (
    repo TEXT PRIMARY KEY,
    body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
