"""packrat-agent: follows a packrat server and builds signed package repositories from it."""

__version__ = "0.1.0"
