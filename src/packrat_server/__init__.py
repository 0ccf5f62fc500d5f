"""The embedded packrat server: the same API, SQLite by default."""
