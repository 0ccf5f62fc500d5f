"""Plays the demo: from an empty directory to packages that real clients install, told as it happens.

Takes: a directory, an address to serve the mirror on.
Gives: an account on stdout.
Touches: the directory; network on loopback; gpg; with a proof also the clients that the machine has.
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click

from packrat_agent.config.load import load
from packrat_agent.gpg.run import stop_gpg_agent
from packrat_agent.model.changes import NOTHING_CONFIRMED
from packrat_agent.sync.context import Summary
from packrat_agent.sync.full_sync import sync
from packrat_agent.sync.mirror import ready
from packrat_agent.upstream.connection import connected
from packrat_agent.verify.tree import verify_tree
from packrat_agent.watch.agent import Agent
from packrat_agent.watch.signals import EndWork, until_signalled
from packrat_agent.web.static import serving
from packrat_core.errors import ConfigError, Incomplete
from packrat_demo.build_deb import write_deb
from packrat_demo.packages import NEXT, put_in
from packrat_demo.proofs import Proof, Site, is_here
from packrat_demo.setting import USER, Setting, set_the_stage, write_config
from packrat_demo.table import DEMO_TYPES, samples_of
from packrat_server.running import running
from packrat_server.uploader import signed_in


def play(directory: Path, host: str, port: int, *, once: bool) -> None:
    """Play the demo until it is cancelled; `once`: prove it with the clients that the machine has, and end.

    Raises: ConfigError, SigningError, Incomplete where a client does not get what it should.
    """
    if once and shutil.which("apt-get") is None:
        raise ConfigError("apt-get is not installed, so nothing can be proved; run `packrat-agent demo` without --once")
    kinds = _possible_kinds()
    setting = set_the_stage(directory.resolve(), kinds)
    try:
        with running(setting.server_data) as server_url:
            stage = _Stage(setting, kinds, (host, port), server_url, asyncio.Event())
            ring: dict[signal.Signals, Callable[[EndWork], None]] = {signal.SIGUSR1: lambda end: stage.bell.set()}
            until_signalled(lambda: _tell_all(stage, once=once), ring)
    finally:
        stop_gpg_agent(setting.gnupg_home)


def _possible_kinds() -> tuple[str, ...]:
    """Leave out the types that this machine can't build, and say so."""
    kinds = tuple(DEMO_TYPES)
    if shutil.which("rpmsign") is None:
        click.echo("left out yum, because rpmsign is not installed; to see it: apt-get install rpm")
        return tuple(kind for kind in kinds if kind != "yum")
    try:
        import createrepo_c  # noqa: F401 only whether it can be
    except ImportError as error:
        click.echo(f"left out yum ({error}); to see it: apt-get install libglib2.0-0")
        return tuple(kind for kind in kinds if kind != "yum")
    return kinds


@dataclass(frozen=True, slots=True)
class _Stage:
    """The setting, what is to be shown, where, beside which server; the bell asks for a full pass, as for `run`."""

    setting: Setting
    kinds: tuple[str, ...]
    address: tuple[str, int]
    server_url: str
    bell: asyncio.Event


async def _tell_all(stage: _Stage, *, once: bool) -> None:
    setting, kinds, address, server_url = stage.setting, stage.kinds, stage.address, stage.server_url
    async with serving(setting.directory / "www", *address) as port:
        url = f"http://{address[0]}:{port}"
        write_config(setting, server_url, url)
        write_deb(NEXT, setting.packages)
        async with signed_in(server_url, USER, setting.password) as uploader:
            count = await put_in(uploader, setting.packages, samples_of(kinds))
        click.echo(f"server   packrat-server on {server_url}, {count} package files uploaded and tagged")
        with ready(load(setting.config), "run") as mirror:
            async with connected(mirror.config) as server:
                summary = await sync(mirror, server, NOTHING_CONFIRMED, lambda what, files, size: None)
            if not summary.complete:
                raise Incomplete("the demo's mirror could not publish everything; the log above names what and why")
            _tell_published(setting, summary)
            if once:
                await asyncio.to_thread(_prove, setting, kinds, url)
                return
            _tell_use(setting, url, server_url)
            await Agent(mirror, lambda what, files, size: None, stage.bell).run()


def _tell_published(setting: Setting, summary: Summary) -> None:
    added = sum(len(one.added) for one in summary.syncs)
    click.echo(f"agent    published {added} new files in {summary.seconds:.2f} s, signed with {setting.key[-16:]}")
    click.echo(f"         {setting.directory / 'www'}")


def _tell_use(setting: Setting, url: str, server_url: str) -> None:
    deb = setting.packages / NEXT.file_name
    server = Path(sys.argv[0]).with_name("packrat-server")
    click.echo(f"""\
mirror   {url}/

A client uses it with (as root):
  install -d -m 0755 /etc/apt/keyrings
  curl -fsSL -o /etc/apt/keyrings/packrat-demo.gpg {url}/repo-key.gpg
  echo "deb [signed-by=/etc/apt/keyrings/packrat-demo.gpg] {url}/apt-dev bookworm main" \\
    > /etc/apt/sources.list.d/packrat-demo.list
  apt-get update && apt-get install packrat-hello
The page at {url}/ has the lines for every other type.

Now upload another package and watch it arrive:
  PACKRAT_PASSWORD={setting.password} {server} upload --url {server_url} --user {USER} \\
    --distro bookworm --tag dev {deb}

Withdraw it again:
  PACKRAT_PASSWORD={setting.password} {server} fail --url {server_url} --user {USER} {NEXT.file_name}

Ctrl-C ends the demo; {setting.directory} stays and is used again.
""")


def _prove(setting: Setting, kinds: tuple[str, ...], url: str) -> None:
    """Have the real clients, each in a root of its own, install from the mirror; then audit the tree."""
    # Where /tmp is closed to apt's user, this stays readable: apt is told to stay who it is.
    with tempfile.TemporaryDirectory(prefix="packrat-demo-clients-", ignore_cleanup_errors=True) as scratch:
        os.chmod(scratch, 0o755)  # noqa: PTH101, S103
        site = Site(url, setting.directory / "www", Path(scratch))
        for kind in kinds:
            for proof in DEMO_TYPES[kind].proofs:
                _prove_one(kind, proof, site)
    audit = verify_tree(setting.directory / "www", None, lambda files, size: None)
    for fault in audit.faults:
        click.echo(f"! {fault.path}: {fault.what}")
    if audit.faults:
        raise Incomplete(f"`packrat-agent verify` finds {len(audit.faults)} faults in {setting.directory / 'www'}")
    click.echo(f"verified {len(audit.repositories)} repositories, {audit.files} files: no faults")


def _prove_one(kind: str, proof: Proof, site: Site) -> None:
    if not is_here(proof):
        click.echo(f"skipped  {kind}: {proof.name} is not installed; to see it: apt-get install {proof.package}")
        return
    for step in proof.run(site):
        click.echo(f"$ {step.command}")
        for line in step.output.splitlines():
            click.echo(f"  {line}")
        if step.exit_code != 0:
            raise Incomplete(f"`{step.command}` ended with exit code {step.exit_code}; above is what it said")
    click.echo(f"proved   {kind}: {proof.name} {proof.shows}")
