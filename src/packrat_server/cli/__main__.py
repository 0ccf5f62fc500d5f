"""Runs the command line as `python -m packrat_server.cli`."""

from packrat_server.cli.main import main

main()
