"""The packrat server as the agent sees it: login, questions, and records that are checked before they are used."""
