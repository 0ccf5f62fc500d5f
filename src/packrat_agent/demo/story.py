"""Plays the demo: from an empty directory to packages that apt can install, told as it happens.

Takes: a directory, an address to serve the mirror on.
Gives: an account on stdout.
Touches: the directory; network on loopback; gpg; with a proof also apt-get.
"""

import asyncio
import os
import shutil
import tempfile
import urllib.request
from pathlib import Path

import click

from packrat_agent.agent import run
from packrat_agent.config import load
from packrat_agent.connect import connected
from packrat_agent.demo.build_deb import write_deb
from packrat_agent.demo.packages import NEXT, put_in
from packrat_agent.demo.private_apt import PrivateApt, Said
from packrat_agent.demo.setting import SUITES, USER, Setting, set_the_stage, stop_gpg_agent, write_config
from packrat_agent.errors import ConfigError, Incomplete
from packrat_agent.full_pass import Summary, sync
from packrat_agent.ready import Mirror, Wish, ready
from packrat_agent.serve import serving
from packrat_agent.signals import until_signalled
from packrat_server.running import running
from packrat_server.uploader import signed_in


def play(directory: Path, host: str, port: int, *, once: bool) -> None:
    """Play the demo until it is cancelled; `once`: prove it with apt-get and end.

    Raises: ConfigError, SigningError, Incomplete where apt does not get what it should.
    """
    if once and shutil.which("apt-get") is None:
        raise ConfigError("apt-get is not installed, so nothing can be proved; run `packrat-agent demo` without --once")
    setting = set_the_stage(directory.resolve())
    try:
        with running(setting.server_data) as server_url:
            write_config(setting, server_url)
            count = until_signalled(lambda: _fill(setting, server_url))
            if count is None:
                return
            click.echo(f"server   packrat-server on {server_url}, {count} package files uploaded and tagged")
            with ready(load(setting.config), Wish()) as mirror:
                until_signalled(lambda: _mirror(setting, mirror, (host, port), server_url, once=once))
    finally:
        stop_gpg_agent(setting.gnupg_home)


async def _fill(setting: Setting, server_url: str) -> int:
    write_deb(NEXT, setting.packages)
    async with signed_in(server_url, USER, setting.password) as uploader:
        return await put_in(uploader, setting.packages)


async def _mirror(setting: Setting, mirror: Mirror, address: tuple[str, int], server_url: str, *, once: bool) -> None:
    async with connected(mirror.config) as server:
        summary = await sync(mirror, server, Wish(), lambda what, files, size: None)
    if not summary.complete:
        raise Incomplete("the demo's mirror could not publish everything; the log above names what and why")
    _tell_published(setting, summary)
    async with serving(mirror.config.mirror.root_dir, *address) as port:
        url = f"http://{address[0]}:{port}"
        if once:
            await asyncio.to_thread(_prove, url)
            return
        _tell_use(setting, url, server_url)
        await run(mirror, lambda what, files, size: None, asyncio.Event())


def _tell_published(setting: Setting, summary: Summary) -> None:
    added = sum(len(one.added) for one in summary.passes)
    click.echo(f"agent    published {added} new files in {summary.seconds:.2f} s, signed with {setting.key[-16:]}")
    click.echo(f"         {setting.directory / 'www'}")


def _tell_use(setting: Setting, url: str, server_url: str) -> None:
    deb = setting.packages / NEXT.file_name
    click.echo(f"""\
mirror   {url}/

A client uses it with (as root):
  curl -fsSL -o /etc/apt/keyrings/packrat-demo.gpg {url}/repo-key.gpg
  echo "deb [signed-by=/etc/apt/keyrings/packrat-demo.gpg] {url}/apt-dev bookworm main" \\
    > /etc/apt/sources.list.d/packrat-demo.list
  apt-get update && apt-get install packrat-hello

Now upload another package and watch it arrive:
  PACKRAT_PASSWORD={setting.password} packrat-server upload --url {server_url} --user {USER} \\
    --distro bookworm --tag dev {deb}

Withdraw it again:
  PACKRAT_PASSWORD={setting.password} packrat-server fail --url {server_url} --user {USER} {NEXT.file_name}

Ctrl-C ends the demo; {setting.directory} stays and is used again.
""")


def _prove(url: str) -> None:
    """Have a real apt-get, in a root of its own, update from the mirror and download from it."""
    # Where /tmp is closed to apt's user, this stays readable: apt is told to stay who it is.
    with tempfile.TemporaryDirectory(prefix="packrat-demo-apt-") as scratch:
        root = Path(scratch)
        keyring = root / "repo-key.gpg"
        with urllib.request.urlopen(f"{url}/repo-key.gpg", timeout=30) as answer:  # noqa: S310 our own server
            keyring.write_bytes(answer.read())
        os.chmod(root, 0o755)  # noqa: PTH101, S103
        lines = [f"deb [signed-by={keyring}] {url}/apt-dev {suite} main\n" for suite in SUITES]
        apt = PrivateApt(root, "".join(lines))
        _need(apt.run("update"))
        _need(apt.run("download", "packrat-guide", "packrat-hello=1.1-1"))
        names = sorted(path.name for path in apt.downloads.iterdir())
        click.echo(f"proved   apt-get verified the signatures and downloaded {', '.join(names)}")


def _need(said: Said) -> None:
    click.echo(f"$ {said.command}")
    for line in said.output.splitlines():
        click.echo(f"  {line}")
    if said.exit_code != 0:
        raise Incomplete(f"`{said.command}` ended with exit code {said.exit_code}; above is what it said")
