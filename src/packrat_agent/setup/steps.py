"""The steps of `packrat-agent init`, in their order. Each can tell whether it is done, so a second run goes on.

for step in list_steps(mirror):
    if not step.is_done():
        step.do()
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from packrat_agent.config.settings import Config
from packrat_agent.setup import service, signing
from packrat_agent.setup.account import find_account, need_account
from packrat_agent.setup.answers import Answers, write_conf
from packrat_agent.setup.commands import has_systemd, run_command
from packrat_agent.setup.directories import OwnDirectory
from packrat_agent.setup.new_mirror import NewMirror, find_mirror_key
from packrat_agent.setup.web_server import install_site
from packrat_agent.status.reading import read_status
from packrat_core.errors import PackratError, SigningError
from packrat_core.fs.atomic import write_whole


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that is made; `what` names it."""

    what: str
    is_done: Callable[[], bool]
    do: Callable[[], None]


def list_steps(mirror: NewMirror) -> list[Step]:
    """List what a mirror consists of, each after what it needs."""
    settings, web, unit = mirror.config.mirror, mirror.web_server, mirror.starts and has_systemd()
    steps = [_user(mirror)] if os.geteuid() == 0 else []
    steps += [_directory(directory, mirror.user) for directory in mirror.directories]
    if mirror.gnupg_home is not None:
        steps.append(_key(mirror, mirror.gnupg_home))
    if mirror.answers is not None:
        steps.append(_configuration(mirror, mirror.answers))
    path = mirror.config.source
    steps.append(
        Step(
            f"first sync, as {mirror.user}",
            lambda: has_synced(mirror.config),
            lambda: service.run_first_sync(need_account(mirror.user), path),
        )
    )
    if web is not None:
        steps.append(Step(f"site file {web.site}", web.is_enabled, lambda: install_site(web, settings)))
    if unit:
        steps += _service(mirror)
    return steps


def has_synced(config: Config) -> bool:
    """Tell whether a full sync of the mirror has ended."""
    try:
        last = read_status(config).full_pass
    except PackratError:
        return False
    return last is not None and last.ended is not None


def _user(mirror: NewMirror) -> Step:
    name, home = mirror.user, str(mirror.config.mirror.state_db.parent)

    def make() -> None:
        run_command(
            *("useradd", "--system", "--user-group", "--no-create-home", "--home-dir", home),
            *("--shell", "/usr/sbin/nologin", name),
        )
        service.check_program(need_account(name))

    return Step(f"user {name}", lambda: find_account(name) is not None, make)


def _directory(directory: OwnDirectory, user: str) -> Step:
    return Step(
        f"directory {directory.path}",
        lambda: directory.is_made(find_account(user)),
        lambda: directory.make(need_account(user)),
    )


def _key(mirror: NewMirror, home: Path) -> Step:
    def has_key() -> bool:
        account = find_account(mirror.user)
        return account is not None and find_mirror_key(mirror, account, home) is not None

    def make() -> None:
        account = need_account(mirror.user)
        if mirror.key_file is not None:
            signing.take_key(account, home, mirror.key_file)
        else:
            settings = mirror.config.mirror
            user_id = urlsplit(settings.public_url or "").hostname or mirror.user
            signing.make_key(account, home, user_id, settings.passphrase_file)

    source = f"from {mirror.key_file}" if mirror.key_file is not None else f"in {home}"
    return Step(f"signing key {source}", has_key, make)


def _configuration(mirror: NewMirror, answers: Answers) -> Step:
    path = mirror.config.source

    def make() -> None:
        account = need_account(mirror.user)
        fingerprint = ""
        if mirror.gnupg_home is not None:
            found = find_mirror_key(mirror, account, mirror.gnupg_home)
            if found is None:
                raise SigningError(f"there is no key in {mirror.gnupg_home}", hint="run `packrat-agent init` again")
            fingerprint = found.fingerprint
        # The psk is in it: nobody else may be able to read it at any moment.
        is_root = os.geteuid() == 0
        owner, mode = ((0, account.gid), 0o640) if is_root else (None, 0o600)
        write_whole(path, write_conf(answers, fingerprint).encode(), mode, owner=owner)

    return Step(f"configuration {path}", lambda: os.path.lexists(path), make)


def _service(mirror: NewMirror) -> list[Step]:
    account = find_account(mirror.user)
    group = account.group if account is not None else mirror.user
    drop_in = service.describe_differences(mirror.config, mirror.user, group)
    steps = [Step(f"unit {service.UNIT}", lambda: service.find_unit() is not None, service.install_unit)]
    if drop_in:
        is_there, write = lambda: service.has_drop_in(drop_in), lambda: service.write_drop_in(drop_in)
        steps.append(Step(f"drop-in {service.DROP_IN}", is_there, write))
    return [*steps, Step("service packrat-agent, now and at boot", service.is_running, service.start_service)]
