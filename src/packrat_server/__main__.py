"""Runs packrat-server as `python -m packrat_server`."""

from packrat_server.cli.main import main

if __name__ == "__main__":
    main()
