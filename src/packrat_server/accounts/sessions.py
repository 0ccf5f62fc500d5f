"""Opens and ends the sessions of users and mirrors, and tells from a request's token who the caller is.

A session's token is stored as a hash only, so a copy of the database opens no session.
"""

import hashlib
import secrets
import string
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, Select, bindparam, delete, insert, select, update

from packrat_server.accounts.passwords import UNMATCHED, hash_secret, matches
from packrat_server.accounts.rights import ROLES, Role
from packrat_server.store.database import reading, writing
from packrat_server.store.events import Author, Event, add_event
from packrat_server.store.tables import mirrors, sessions, user_rights, users

SESSION_S = 14 * 86400.0
_TOKEN_LENGTH = 32
_ALPHABET = string.ascii_lowercase + string.digits


@dataclass(frozen=True, slots=True)
class Caller:
    """The user or mirror that a request comes from.

    Attributes:
        name: The name.
        role: The role.
        further: The rights that a user has beyond those of the role.
    """

    name: str
    role: Role
    further: frozenset[str] = frozenset()

    @property
    def rights(self) -> frozenset[str]:
        """All rights of the caller."""
        return ROLES[self.role] | self.further if self.further else ROLES[self.role]

    @property
    def is_stranger(self) -> bool:
        """Whether the caller has no session."""
        return self.role in (Role.NOBODY, Role.PUBLIC)


ANONYMOUS = Caller("AnonymousUser", Role.NOBODY)
PUBLIC = Caller("AnonymousUser", Role.PUBLIC)
READER = Caller("packrat-server", Role.READER)
"""The server itself, where it reads what many callers get."""


class InvalidSession(Exception):
    """No session has this token, or the session has ended."""


class InvalidLogin(Exception):
    """Name and password do not belong together."""


@dataclass(frozen=True, slots=True)
class Secret:
    """The stored form of a name's password or psk.

    Attributes:
        hash: Its hash; UNMATCHED for a name that does not exist, or must not log in.
        role: The role of the name; NOBODY where it does not exist.
        further: The rights that a user has beyond those of the role.
        proof: What a mirror proved its psk with the last time; None for a user, and before the first login.
    """

    hash: bytes
    role: Role
    further: frozenset[str] = frozenset()
    proof: bytes | None = field(default=None, compare=False)

    @property
    def is_usable(self) -> bool:
        """Whether the name may log in at all."""
        return self.hash != UNMATCHED


def find_secret(engine: Engine, name: str) -> Secret:
    """Find the stored form of a name's secret.

    An unknown name takes the same work here, and later when a secret is checked, as a known one: how long an answer
    takes does not tell which names exist.
    """
    with reading(engine) as connection:
        return _secret_of(connection, name)


def check_secret(engine: Engine, name: str, secret: str) -> Secret:
    """Check the secret of a user or mirror; this takes a while, since it hashes the secret.

    Args:
        engine: The database.
        name: The name of the user or mirror.
        secret: The user's password or the mirror's psk.

    Returns:
        What is stored of the secret.

    Raises:
        InvalidLogin: There is no such name, or the secret does not belong to it.
    """
    stored = find_secret(engine, name)
    if not matches(secret, stored.hash) or not stored.is_usable:
        raise InvalidLogin
    return stored


def open_session(engine: Engine, name: str, stored: Secret, proof: bytes) -> str:
    """Open a session for a user or a mirror.

    Args:
        engine: The database.
        name: The name of the user or mirror.
        stored: What was stored when the secret was checked.
        proof: What a mirror proves its psk with from now on.

    Returns:
        The token of the new session.

    Raises:
        InvalidLogin: The secret was changed while it was checked. That ended all sessions, and none may begin now.
    """
    token = "".join(secrets.choice(_ALPHABET) for _ in range(_TOKEN_LENGTH))
    now = time.time()
    session = {"token_hash": digest(token), "name": name, "role": stored.role, "expires": now + SESSION_S}
    # A change of a user's rights ends the user's sessions, so those of a session never change.
    session["rights"] = " ".join(sorted(stored.further))
    with writing(engine) as connection:
        if _secret_of(connection, name) != stored:
            raise InvalidLogin
        connection.execute(delete(sessions).where(sessions.c.expires < now))
        connection.execute(insert(sessions).values(session))
        if stored.role == Role.MIRROR and stored.proof != proof:
            connection.execute(update(mirrors).where(mirrors.c.name == name).values(proof=proof))
    return token


def find_caller(engine: Engine, name: str, token: str) -> Caller:
    """Find the caller as `read_caller` does, in a transaction of its own.

    Args:
        engine: The database.
        name: The name that the request gives.
        token: Its token.
    """
    with reading(engine) as connection:
        return read_caller(connection, name, token)


def read_caller(connection: Connection, name: str, token: str | None) -> Caller:
    """Find the caller by the headers of a request.

    Args:
        connection: An open transaction.
        name: The header Auth-Id.
        token: The header Auth-Token; None where the caller has no session.

    Returns:
        The caller; ANONYMOUS without a token.

    Raises:
        InvalidSession: The token is not, or no longer, that of a session of this name.
    """
    if token is None:
        return ANONYMOUS
    row = connection.execute(_SESSION, {"token_hash": digest(token)}).first()
    return caller_of(name, (row.name, row.role, row.expires, row.rights) if row is not None else None)


def session_query() -> Select[tuple[str, str, float, str]]:
    """Build the query for what `caller_of` takes; its parameter is `token_hash`."""
    columns = (sessions.c.name, sessions.c.role, sessions.c.expires, sessions.c.rights)
    return select(*columns).where(sessions.c.token_hash == bindparam("token_hash"))


_SESSION = session_query()


def caller_of(name: str, session: tuple[str, str, float, str] | None) -> Caller:
    """Find the caller by the stored session of a token.

    Args:
        name: The header Auth-Id.
        session: Its name, its role, when it ends, and its further rights; None where no session has the token.

    Raises:
        InvalidSession: It is not, or no longer, a session of this name.
    """
    if session is None or session[0] != name or session[2] < time.time():
        raise InvalidSession
    return Caller(session[0], Role(session[1]), frozenset(session[3].split()))


def log_out(engine: Engine, token: str) -> None:
    """End one session."""
    with writing(engine) as connection:
        connection.execute(delete(sessions).where(sessions.c.token_hash == digest(token)))


def change_password(engine: Engine, name: str, old: str, new: str) -> None:
    """Set a user's password and end all of the user's sessions.

    Args:
        engine: The database.
        name: The user.
        old: The present password: a session alone, which may be somebody else's by now, does not suffice.
        new: The new password.

    Raises:
        InvalidLogin: The present password is another one.
    """
    stored = check_secret(engine, name, old)
    changed = {"password": hash_secret(new), "updated": datetime.now(UTC)}
    with writing(engine) as connection:
        # Hashing takes a while; the password may have been changed in that time.
        if _secret_of(connection, name) != stored:
            raise InvalidLogin
        connection.execute(update(users).where(users.c.name == name).values(changed))
        connection.execute(delete(sessions).where(sessions.c.name == name))
        states = {"password": "the old one"}, {"password": "a new one"}
        add_event(connection, Author(name), Event("change_password", "Auth/User", name, *states))


def _secret_of(connection: Connection, name: str) -> Secret:
    """The stored secret of a name; users and mirrors share one set of names."""
    # All are always asked, so that the number of queries does not tell which of them there is.
    user = connection.execute(select(users).where(users.c.name == name)).first()
    mirror = connection.execute(select(mirrors.c.psk, mirrors.c.proof).where(mirrors.c.name == name)).first()
    further = connection.execute(select(user_rights.c.right).where(user_rights.c.user == name)).scalars().all()
    if user is not None:
        return Secret(user.password if user.active else UNMATCHED, Role(user.role), frozenset(further))
    if mirror is not None:
        return Secret(mirror.psk, Role.MIRROR, proof=mirror.proof)
    return Secret(UNMATCHED, Role.NOBODY)


def digest(token: str) -> bytes:
    """Hash a token as it is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
