"""The packrat server: keeps package files, promotes them through tags, and serves them to mirrors.

Its rooms stand one above the other; each imports only from those below it:

- `cli`: the commands, one file for each command or group.
- `serving` runs the server process; `client` uses a server through its API, for commands such as `upload` and `tag`.
- `api` answers HTTP requests; `admin` sets up repositories, mirrors and users.
- `promotion`: what an uploaded file is, the rules of tags and marks, which files a repository wants.
- `accounts`: passwords, sessions, the queue of logins, what a caller may see.
- `store`: the database, the stored files, the journal of changes, the lock on the data directory.
"""
