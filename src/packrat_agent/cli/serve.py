"""`packrat-agent serve`: the built-in web server, for a small site or to try things out."""

from pathlib import Path

import click

from packrat_agent.cli.config_option import config_option
from packrat_core.cli.quick_import import quick_import
from packrat_core.listen import parse_listen


@click.command("serve")
@click.option("--listen", default="127.0.0.1:8080", show_default=True, help="HOST:PORT to serve root_dir on.")
@click.option(
    "--root", type=click.Path(path_type=Path, readable=False), help="Serve this directory instead of root_dir."
)
@config_option
@click.pass_obj
def serve_command(config_path: Path, listen: str, root: Path | None) -> None:
    """Serve root_dir over HTTP, for a small site or to try things out."""
    with quick_import():
        import asyncio

        from packrat_agent.config.load import load
        from packrat_agent.watch.signals import until_signalled
        from packrat_agent.web.static import serve_until

    directory = root or load(config_path).mirror.root_dir
    host, port = parse_listen(listen)

    async def serve() -> None:
        await serve_until(directory, host, port, asyncio.Event())

    until_signalled(serve)
