"""`packrat-agent demo`: a server, a mirror of it and packages that arrive, on this machine."""

from pathlib import Path

import click

from packrat_core.errors import ConfigError
from packrat_core.listen import parse_listen


@click.command("demo")
@click.option("--once", is_flag=True, help="Prove it with the real clients, then exit.")
@click.option(
    "--directory",
    type=click.Path(path_type=Path, readable=False),
    default=Path("packrat-demo"),
    show_default=True,
    help="Where everything of the demo is kept.",
)
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="HOST:PORT to serve the mirror on.")
def demo_command(once: bool, directory: Path, listen: str) -> None:
    """Try it out on this machine. Starts a packrat server with packages, builds a mirror of it and serves that."""
    host, port = parse_listen(listen)
    # An entry point leads to it: the demo imports the server, which the agent never does.
    from importlib.metadata import entry_points

    (play,) = entry_points(group="packrat_agent.demo", name="play")
    try:
        start = play.load()
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the demo needs the packrat server, and {error.name} is missing: pip install 'packrat-agent[server]'"
        ) from None
    start(directory, host, port, once=once)
