"""packrat-agent follows a packrat server and builds package repositories from what that serves."""
