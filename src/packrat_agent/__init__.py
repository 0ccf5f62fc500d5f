"""packrat-agent follows a packrat server and builds package repositories from it, signed where clients check that."""
