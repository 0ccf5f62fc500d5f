"""Looks at what lies on this machine: configuration, directories and keys, all as the agent's user meets them."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime

from packrat_agent.config.checks import warn as warn_of_config
from packrat_agent.config.load import load
from packrat_agent.config.settings import Config, KeyNames
from packrat_agent.formats.signed_repos import has_signatures
from packrat_agent.gpg.key_warnings import warn as warn_of_key
from packrat_agent.gpg.keyring import find_key
from packrat_agent.gpg.signing_key import SigningKey
from packrat_agent.model.records import Repo
from packrat_agent.publish.claim import check_writable, refuse_unmanaged
from packrat_agent.setup.account import Account
from packrat_agent.setup.doctor.findings import Finding, fault, fault_of, ok, warning
from packrat_agent.status.reading import read_status
from packrat_core.errors import DiskError, PackratError
from packrat_core.fs.disk_errors import as_disk_error


def look_at_configuration(config: Config, account: Account) -> Iterator[Finding]:
    """Look whether the agent's user may read mirror.conf, and at what is unwise in it."""

    def read() -> None:
        load(config.source)

    try:
        account.do(read)
    except PackratError as error:
        yield fault_of("config", error)
        return
    found = [warning("config", text) for text in warn_of_config(config)]
    yield from found or [ok("config", f"{config.source} can be used, and user {account.name} may read it")]


def look_at_directories(config: Config, account: Account) -> Iterator[Finding]:
    """Look whether the agent's user may work in its directories, and whether what is there is the agent's."""
    mirror = config.mirror
    if account.uid != 0 and os.geteuid() not in (0, account.uid):
        yield warning(
            "user", f"this is not user {account.name}, which the agent runs as", "run this as root to see all"
        )
    missing = []
    for path in (mirror.root_dir, mirror.state_db.parent):
        try:
            with as_disk_error("look at", path):
                missing += [] if path.is_dir() else [str(path)]
        except DiskError as error:
            yield fault_of("directories", error)
            return
    if missing:
        yield warning("directories", f"not there yet: {', '.join(missing)}", "run `packrat-agent init`")
        return
    try:
        refuse_unmanaged(mirror.root_dir, mirror.state_db, sorted(mirror.keep_files))
        account.do(lambda: check_writable(mirror.root_dir, mirror.state_db))
    except PackratError as error:
        yield fault_of("directories", error)
        return
    yield ok("directories", f"user {account.name} may write to {mirror.root_dir} and {mirror.state_db.parent}")


def look_at_keys(config: Config, account: Account) -> Iterator[Finding]:
    """Look whether each key can sign, as the agent's user, and which clients refuse it."""
    mirror = config.mirror
    names = _name_keys("", mirror.keys) if mirror.keys is not None else {}
    for section, keys in config.section_keys.items():
        names |= _name_keys(f"[{section}] ", keys)
    if not mirror.gpg_sign_key:
        signed = "only repositories with a key of their own are signed" if names else "nothing is signed"
        yield _judge_no_key(config, signed)
    for section, name in names.items():
        yield from _look_at_key(config, account, section, name)


def _judge_no_key(config: Config, signed: str) -> Finding:
    """Say what follows from a [mirror] without a key.

    Args:
        config: The configuration.
        signed: What is signed all the same.
    """
    if config.mirror.gpg_sign_key is not None:
        return ok("key", f"gpg_sign_key is `none` in [mirror]: {signed}")
    text = f"gpg_sign_key is not set in [mirror]: {signed}"
    if (fingerprint := _find_lost_key(config)) is not None:
        text = f"gpg_sign_key is not set in [mirror], and {fingerprint} has signed what is published: no sync starts"
        return fault("key", text, "name the key again, or write `gpg_sign_key: none` once clients trust it unsigned")
    return warning("key", text, "see docs/signing.md")


def _find_lost_key(config: Config) -> str | None:
    """Give the fingerprint of the key that signed repositories which no key signs now; None where none did.

    Which repositories have a tag, this does not know: with the key of a tag, it says nothing.
    """
    try:
        status = read_status(config)
    except PackratError:
        # `look_at_state` says why.
        return None
    sections = config.section_keys
    if any(section.startswith("tag ") for section in sections):
        return None
    before = {used.section: used.key for used in status.section_keys}
    for repo in status.repos:
        section = f"repo {repo.name}"
        key = before.get(section, status.key)
        if not repo.published or section in sections or key is None or key.fingerprint is None:
            continue
        if has_signatures(Repo(repo.name, "", repo.directory, repo.kind, ()), config.mirror.public_url):
            return key.fingerprint
    return None


def _name_keys(section: str, keys: KeyNames) -> dict[str, str]:
    """Name the keys of a section that have to be able to sign, now or later in a rotation."""
    named = {"": keys.sign_key, "next key: ": keys.next_key, "former key: ": keys.former_key}
    return {f"{section}{what}": key for what, key in named.items() if key is not None}


def _look_at_key(config: Config, account: Account, section: str, name: str) -> Iterator[Finding]:
    mirror, now = config.mirror, datetime.now(UTC)

    def find() -> SigningKey:
        return find_key(name, mirror.gnupg_home, mirror.passphrase_file, now)

    try:
        key = account.do(find)
    except PackratError as error:
        yield fault_of("key", type(error)(f"{section}{error.message}", hint=error.hint))
        return
    yield from (warning("key", f"{section}{text}") for text in warn_of_key(key, now))
    until = f"expires on {key.expires:%Y-%m-%d}" if key.expires is not None else "does not expire"
    yield ok("key", f"{section}{key.algorithm}-{key.bits} {key.fingerprint} signs, and {until}")


def look_at_libraries(kinds: frozenset[str]) -> Iterator[Finding]:
    """Look whether this machine has what repositories of these types need."""
    if "yum" not in kinds:
        return
    try:
        import createrepo_c  # noqa: F401 only whether it can be
    except ImportError as error:
        hint = "install GLib: `apt-get install libglib2.0-0`"
        yield fault_of("libraries", PackratError(f"yum repositories can't be built: {error}", hint=hint))
    else:
        yield ok("libraries", "yum repositories can be built")
