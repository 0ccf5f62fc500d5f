"""Knows who asks: passwords and psks as salted slow hashes, sessions by token.

Takes: names, passwords, tokens.
Gives: a Caller.
Touches: the database.

Source: RFC 7914 (scrypt).
"""

import hashlib
import hmac
import secrets
import string
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sqlalchemy import Connection, Engine, bindparam, delete, insert, select, update

from packrat_server.store.database import reading, writing
from packrat_server.store.tables import mirrors, sessions, users

SESSION_S = 14 * 86400.0
_SALT_BYTES = 16
_TOKEN_LENGTH = 32
_NOBODY = bytes(_SALT_BYTES + 32)
"""What no secret hashes to, for names that are not there."""
_ALPHABET = string.ascii_lowercase + string.digits
_SESSION = select(sessions).where(sessions.c.token_hash == bindparam("token_hash"))


class Role(StrEnum):
    """What a caller may do: see nothing, see one mirror, put packages in, everything."""

    NOBODY = "nobody"
    MIRROR = "mirror"
    MANAGER = "manager"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    role: Role

    @property
    def manages(self) -> bool:
        """May upload and promote packages, and see all of them."""
        return self.role in (Role.MANAGER, Role.ADMIN)


ANONYMOUS = Caller("AnonymousUser", Role.NOBODY)


class InvalidSession(Exception):
    """The token is not, or no longer, that of a session."""


class InvalidLogin(Exception):
    """Name and password do not belong together."""


def hash_secret(secret: str) -> bytes:
    """Salt and hash a password or psk."""
    salt = secrets.token_bytes(_SALT_BYTES)
    return salt + _scrypt(secret, salt)


def new_password() -> str:
    """Make a password that nobody guesses."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(20))


def log_in(engine: Engine, name: str, secret: str) -> str:
    """Open a session for a user or a mirror; gives its token.

    Raises: InvalidLogin
    """
    with reading(engine) as connection:
        stored, role = _secret_of(connection, name)
    # As slow for a name that is not there as for one that is.
    matches = _matches(secret, stored or _NOBODY)
    if stored is None or not matches:
        raise InvalidLogin
    token = "".join(secrets.choice(_ALPHABET) for _ in range(_TOKEN_LENGTH))
    now = time.time()
    with writing(engine) as connection:
        # Whoever took the secret away meanwhile has ended all sessions; none may begin behind that.
        if _secret_of(connection, name) != (stored, role):
            raise InvalidLogin
        connection.execute(delete(sessions).where(sessions.c.expires < now))
        connection.execute(
            insert(sessions).values(token_hash=_digest(token), name=name, role=role, expires=now + SESSION_S)
        )
    return token


def find_caller(engine: Engine, name: str | None, token: str | None) -> Caller:
    """Tell whose session a token is; without both headers the caller is anonymous.

    Raises: InvalidSession
    """
    if name is None or token is None:
        return ANONYMOUS
    with reading(engine) as connection:
        return read_caller(connection, name, token)


def read_caller(connection: Connection, name: str | None, token: str | None) -> Caller:
    """The same, for somebody who reads more at once.

    Raises: InvalidSession
    """
    if name is None or token is None:
        return ANONYMOUS
    row = connection.execute(_SESSION, {"token_hash": _digest(token)}).first()
    if row is None or row.name != name or row.expires < time.time():
        raise InvalidSession
    return Caller(row.name, Role(row.role))


def log_out(engine: Engine, token: str) -> None:
    """End one session."""
    with writing(engine) as connection:
        connection.execute(delete(sessions).where(sessions.c.token_hash == _digest(token)))


def change_password(engine: Engine, name: str, password: str) -> None:
    """Set a user's new password; all sessions of that name end."""
    changed = {"password": hash_secret(password), "updated": datetime.now(UTC)}
    with writing(engine) as connection:
        connection.execute(update(users).where(users.c.name == name).values(changed))
        connection.execute(delete(sessions).where(sessions.c.name == name))


def _secret_of(connection: Connection, name: str) -> tuple[bytes | None, Role]:
    user = connection.execute(select(users).where(users.c.name == name)).first()
    if user is not None:
        return (user.password if user.active else None), Role(user.role)
    mirror = connection.execute(select(mirrors.c.psk).where(mirrors.c.name == name)).first()
    return (mirror.psk if mirror is not None else None), Role.MIRROR


def _scrypt(secret: str, salt: bytes) -> bytes:
    return hashlib.scrypt(secret.encode("utf-8", "surrogatepass"), salt=salt, n=2**14, r=8, p=1, dklen=32)


def _matches(secret: str, stored: bytes) -> bool:
    return hmac.compare_digest(_scrypt(secret, stored[:_SALT_BYTES]), stored[_SALT_BYTES:])


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
