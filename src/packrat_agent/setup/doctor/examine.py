"""Looks at everything that can be wrong with a mirror on this machine, in the order in which it has to be right."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from packrat_agent.config.load import load
from packrat_agent.config.settings import Config
from packrat_agent.setup.account import Account, account_of
from packrat_agent.setup.doctor.findings import Finding, fault, fault_of, warning
from packrat_agent.setup.doctor.local import look_at_configuration, look_at_directories, look_at_keys, look_at_libraries
from packrat_agent.setup.doctor.serving import look_at_site
from packrat_agent.setup.doctor.state import look_at_disks, look_at_service, look_at_state
from packrat_agent.setup.doctor.upstream import look_at_server
from packrat_agent.setup.owner import find_owner
from packrat_agent.setup.service import check_program, find_agent_account
from packrat_agent.status.lock_holder import find_holder
from packrat_agent.status.reading import load_and_read, read_status
from packrat_agent.status.values import RepoStatus
from packrat_core.errors import DiskError, PackratError
from packrat_core.fs.disk_errors import explain_os_error
from packrat_core.fs.in_time import in_time


def examine(path: Path) -> Iterator[Finding]:
    """Look at everything; what is wrong with one thing keeps nothing else from being looked at.

    Args:
        path: mirror.conf.
    """
    try:
        # Of a disk that hangs nothing more is told: whatever looks there next would never end.
        in_time(lambda: _look_at_disk(path), path)
    except DiskError as error:
        yield fault_of("disk", error)
        return
    try:
        config = load(path)
    except PackratError as error:
        yield fault_of("config", error)
        return
    account = account_of(os.geteuid())
    try:
        named = find_agent_account(config)
        if named is None:
            yield warning("user", "the agent's user does not exist yet", "run `packrat-agent init`")
        if os.geteuid() == 0:
            # The unit may name a user that is gone; what is there need not be root's for that.
            account = named or find_owner(config) or account
    except PackratError as error:
        yield fault_of("user", error)
        if os.geteuid() == 0:
            # As root, what lies there could have gpg start anything.
            return
    for look in _list_looks(config, account):
        try:
            yield from look()
        except PackratError as error:
            yield fault_of("doctor", error)
        except OSError as error:
            yield fault_of(
                "doctor", explain_os_error(error) or PackratError(str(error), hint="run `packrat-agent doctor` as root")
            )


def _look_at_disk(path: Path) -> None:
    with suppress(PackratError, OSError):
        load_and_read(path)


def _list_looks(config: Config, account: Account) -> list[Callable[[], Iterator[Finding]]]:
    repos = _read_repos(config)
    return [
        lambda: look_at_configuration(config, account),
        lambda: _look_at_program(account),
        lambda: look_at_directories(config, account),
        lambda: look_at_keys(config, account),
        lambda: look_at_libraries(frozenset(repo.kind for repo in repos)),
        lambda: look_at_server(config, account),
        lambda: look_at_disks(config),
        lambda: _look_at_lock(config),
        lambda: look_at_service(config),
        lambda: look_at_state(config),
        lambda: look_at_site(config, repos),
    ]


def _look_at_program(account: Account) -> Iterator[Finding]:
    try:
        check_program(account)
    except PackratError as error:
        yield fault_of("program", error)


def _look_at_lock(config: Config) -> Iterator[Finding]:
    holder = find_holder(config.mirror.state_db)
    if holder is not None and not holder.here:
        text = f"process {holder.pid} on {holder.host} holds the state database {config.mirror.state_db}"
        yield fault("lock", text, "two machines must not share it: stop the agent there, or give this one its own")


def _read_repos(config: Config) -> tuple[RepoStatus, ...]:
    try:
        return read_status(config).repos
    except PackratError:
        # Why it can't be read, `look_at_state` says.
        return ()
