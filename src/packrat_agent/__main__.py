"""Runs packrat-agent as `python -m packrat_agent`."""

from packrat_agent.cli.main import main

if __name__ == "__main__":
    main()
