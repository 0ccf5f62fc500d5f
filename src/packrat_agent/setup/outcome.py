"""Says what a mirror that was set up is good for: where it is, what clients paste, what to back up, what comes next."""

from collections.abc import Iterator
from dataclasses import dataclass
from shlex import join
from urllib.parse import urlsplit

from packrat_agent import DEFAULT_CONFIG
from packrat_agent.config.settings import Config
from packrat_agent.gpg.hints import GpgHints
from packrat_agent.setup.account import Account
from packrat_agent.setup.commands import has_systemd
from packrat_agent.setup.new_mirror import NewMirror
from packrat_agent.sync.landing.site import introduce_repos
from packrat_agent.sync.mirror import open_for_dry_run

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class ClientLines:
    """The lines that a user pastes on a client to use a repository."""

    repo: str
    kind: str
    lines: str


def list_client_lines(account: Account, config: Config) -> list[ClientLines]:
    """List what users paste, the usual way of each repository, as the landing page has it.

    Raises:
        DiskError: The state database can't be read.
        SigningError: The signing key can't be used.
    """

    def read() -> list[ClientLines]:
        with open_for_dry_run(config) as context:
            return [
                ClientLines(introduction.repo.name, introduction.repo.kind, introduction.setups[0].lines)
                for introduction in introduce_repos(context, {})
            ]

    return account.do(read)


def describe_outcome(mirror: NewMirror, clients: list[ClientLines]) -> Iterator[str]:
    """Write the report at the end, line by line."""
    url = mirror.config.mirror.public_url
    yield f"The mirror is at {url}/" if url else "The mirror has no public_url."
    for client in clients[:_SHOWN]:
        yield ""
        yield f"Clients of {client.repo} ({client.kind}):"
        yield from (f"  {line}" for line in client.lines.splitlines())
    if len(clients) > _SHOWN:
        yield ""
        yield f"The page at {url or 'the top of root_dir'} has the lines of all {len(clients)} repositories."
    if not clients:
        yield "The packrat server offers this mirror no repositories yet; they appear here by themselves."
    yield ""
    yield from _describe_backup(mirror)


def _describe_backup(mirror: NewMirror) -> Iterator[str]:
    settings, source = mirror.config.mirror, mirror.config.source
    if mirror.gnupg_home is None:
        yield f"Back up {source}. All else is built again from the packrat server."
        return
    hints = GpgHints(mirror.gnupg_home, settings.passphrase_file)
    export = hints.export_secret_keys([str(settings.gpg_sign_key)])
    yield f"Back up {source}, and the signing key, which exists nowhere else:"
    yield f"  (umask 077; {export} > packrat-signing-key.asc)"
    yield "Keep that file off this machine. All else is built again from the packrat server."


def list_next(mirror: NewMirror) -> Iterator[str]:
    """List what is left to do after the mirror was set up, and what to look at."""
    options = [] if mirror.config.source == DEFAULT_CONFIG else ["--config", str(mirror.config.source)]
    command = join(["packrat-agent", *options])
    settings, web = mirror.config.mirror, mirror.web_server
    public = urlsplit(settings.public_url or "")
    if web is None:
        yield (
            f"serve {settings.root_dir} at {settings.public_url}: install nginx or Apache and run `{command} init` "
            f"again, or try it out with `{command} serve`"
        )
    elif public.scheme == "https":
        yield f"clients will use https: name the certificate in {web.site}, where the lines stand as comments"
    elif public.path.strip("/"):
        yield f"{web.site} serves the mirror at the top of the host: move it below {public.path}"
    if not (mirror.starts and has_systemd()):
        yield f"keep it following the server: have `{command} run` started with the machine, as user {mirror.user}"
    yield f"`{command} doctor` looks whether all of it works; `{command} status` says how the mirror stands"
