"""Runs the demo: from an empty directory to packages that real clients install, with an account on stdout."""

import asyncio
import os
import shlex
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
from packrat_agent.sync.mirror import open_mirror
from packrat_agent.upstream.connection import connected
from packrat_agent.verify.tree import verify_tree
from packrat_agent.watch.agent import Agent
from packrat_agent.watch.signals import EndWork, until_signalled
from packrat_agent.web.static import serving
from packrat_core.errors import ConfigError, Incomplete
from packrat_core.text import count_of
from packrat_demo.build_deb import write_deb
from packrat_demo.demo_setup import USER, DemoSetup, set_up, write_config
from packrat_demo.packages import NEXT, upload_samples
from packrat_demo.proofs import Proof, Site, is_installed
from packrat_demo.table import DEMO_TYPES, samples_of
from packrat_server.client.uploader import signed_in
from packrat_server.serving.running import running


def play(directory: Path, host: str, port: int, *, once: bool) -> None:
    """Run the demo until it is stopped.

    Args:
        directory: Where the server, the mirror and the key are made.
        host: The address to serve the mirror on.
        port: The port to serve the mirror on.
        once: Prove the mirror with the clients that the machine has, and end.

    Raises:
        ConfigError: The machine lacks something, or the directory can't be written.
        SigningError: gpg can't make a key, or can't sign.
        Incomplete: The mirror is not complete, or a client does not get what it should.
    """
    if once and shutil.which("apt-get") is None:
        raise ConfigError(
            "apt-get is not installed, so nothing can be proved", hint="run `packrat-agent demo` without --once"
        )
    kinds = _possible_kinds()
    # Unlike Path.resolve, this raises nothing where a link leads round in a circle.
    setup = set_up(Path(os.path.realpath(directory)), kinds)
    try:
        with running(setup.server_data) as server_url:
            demo = _Demo(setup, kinds, (host, port), server_url, asyncio.Event())
            on_signal: dict[signal.Signals, Callable[[EndWork], None]] = {
                signal.SIGUSR1: lambda end: demo.full_sync_wanted.set()
            }
            until_signalled(lambda: _run(demo, once=once), on_signal)
    finally:
        stop_gpg_agent(setup.gnupg_home)


def _possible_kinds() -> tuple[str, ...]:
    """List the types of repositories that this machine can build, and print which it can't."""
    kinds = tuple(DEMO_TYPES)
    try:
        import createrepo_c  # noqa: F401 only whether it can be
    except ImportError as error:
        click.echo(f"left out yum ({error}); to see it: apt-get install libglib2.0-0")
        return tuple(kind for kind in kinds if kind != "yum")
    return kinds


@dataclass(frozen=True, slots=True)
class _Demo:
    """What one run of the demo works on; full_sync_wanted is set by SIGUSR1, as for `packrat-agent run`."""

    setup: DemoSetup
    kinds: tuple[str, ...]
    address: tuple[str, int]
    server_url: str
    full_sync_wanted: asyncio.Event


async def _run(demo: _Demo, *, once: bool) -> None:
    setup, kinds, address, server_url = demo.setup, demo.kinds, demo.address, demo.server_url
    async with serving(setup.directory / "www", *address) as port:
        url = f"http://{address[0]}:{port}"
        write_config(setup, server_url, url)
        write_deb(NEXT, setup.packages)
        async with signed_in(server_url, USER, setup.password) as uploader:
            count = await upload_samples(uploader, setup.packages, samples_of(kinds))
        click.echo(f"server   packrat-server on {server_url}, {count_of(count, 'package file')} uploaded and tagged")
        with open_mirror(load(setup.config), "run") as mirror:
            async with connected(mirror.config) as server:
                summary = await sync(mirror, server, NOTHING_CONFIRMED, lambda what, files, size: None)
            if not summary.complete:
                raise Incomplete(
                    "the demo's mirror could not publish everything", hint="the log above names what and why"
                )
            _show_published(setup, summary)
            if once:
                await asyncio.to_thread(_prove, setup, kinds, url)
                return
            _show_use(setup, url, server_url)
            await Agent(mirror, lambda what, files, size: None, demo.full_sync_wanted).run()


def _show_published(setup: DemoSetup, summary: Summary) -> None:
    added = sum(len(repo_sync.added) for repo_sync in summary.syncs)
    click.echo(
        f"agent    published {count_of(added, 'new file')} in {summary.seconds:.2f} s, signed with {setup.key[-16:]}"
    )
    click.echo(f"         {setup.directory / 'www'}")


def _show_use(setup: DemoSetup, url: str, server_url: str) -> None:
    deb = shlex.quote(str(setup.packages / NEXT.file_name))
    server = _server_command()
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
  PACKRAT_PASSWORD={setup.password} {server} upload --url {server_url} --user {USER} \\
    --distro bookworm --tag dev {deb}

Withdraw it again:
  PACKRAT_PASSWORD={setup.password} {server} fail --url {server_url} --user {USER} {NEXT.file_name}

Ctrl-C ends the demo; {setup.directory} stays and is used again.
""")


def _server_command() -> str:
    """Return how a shell calls the `packrat-server` that belongs to this program."""
    beside = Path(sys.argv[0]).with_name("packrat-server")
    # `python -m packrat_agent` has no programs beside it.
    return shlex.join([str(beside)] if beside.is_file() else [sys.executable, "-m", "packrat_server"])


def _prove(setup: DemoSetup, kinds: tuple[str, ...], url: str) -> None:
    """Install from the mirror with the real clients, each in a private root; then verify the tree."""
    # The clients may run as users of their own, who must be able to read this directory.
    with tempfile.TemporaryDirectory(prefix="packrat-demo-clients-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o755)
        site = Site(url, setup.directory / "www", Path(scratch))
        for kind in kinds:
            for proof in DEMO_TYPES[kind].proofs:
                _prove_one(kind, proof, site)
    audit = verify_tree(setup.directory / "www", None, lambda files, size: None)
    for fault in audit.faults:
        click.echo(f"! {fault.path}: {fault.what}")
    if audit.faults:
        faults = count_of(len(audit.faults), "fault")
        raise Incomplete(f"`packrat-agent verify` finds {faults} in {setup.directory / 'www'}")
    repositories = count_of(len(audit.repositories), "repository", "repositories")
    click.echo(f"verified {repositories}, {count_of(audit.files, 'file')}: no faults")


def _prove_one(kind: str, proof: Proof, site: Site) -> None:
    if not is_installed(proof):
        click.echo(f"skipped  {kind}: {proof.name} is not installed; to see it: apt-get install {proof.package}")
        return
    for step in proof.run(site):
        click.echo(f"$ {step.command}")
        for line in step.output.splitlines():
            click.echo(f"  {line}")
        if step.exit_code != 0:
            raise Incomplete(f"`{step.command}` ended with exit code {step.exit_code}", hint="its output is above")
    click.echo(f"proved   {kind}: {proof.name} {proof.shows}")
