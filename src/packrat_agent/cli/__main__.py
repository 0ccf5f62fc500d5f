"""Runs the command line as `python -m packrat_agent.cli`."""

from packrat_agent.cli.main import main

main()
