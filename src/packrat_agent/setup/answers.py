"""The operator's answers about a new mirror, and the mirror.conf that follows from them."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from packrat_agent.config.load import load
from packrat_agent.config.settings import Config
from packrat_core.errors import ConfigError
from packrat_core.text import printable

USER = "packrat"
ROOT_DIR = Path("/var/www/repo")
STATE_DIR = Path("/var/lib/packratAgent")

_HEADER = (
    "# Written by `packrat-agent init`. docs/configuration.md has all keys; `packrat-agent config` checks the file."
)


@dataclass(frozen=True, slots=True)
class Answers:
    """The packrat server, and how this mirror is reached; each as it is written in mirror.conf.

    Attributes:
        host: The packrat server.
        name: The mirror's name there.
        psk: The mirror's secret there; '' for a server that shows the mirror without a login.
        public_url: The address at which clients reach the mirror.
        root_dir: Where the repositories are built.
        state_dir: Where the state database and the keyring are.
        signs: Whether the mirror has a key.
        further: Section and key of mirror.conf → value, of what else was given.
    """

    host: str
    name: str
    psk: str = field(repr=False)
    public_url: str
    root_dir: Path = ROOT_DIR
    state_dir: Path = STATE_DIR
    signs: bool = True
    further: Mapping[tuple[str, str], str] = field(default_factory=dict)

    @property
    def gnupg_home(self) -> Path:
        """The directory of the keyring."""
        return self.state_dir / "gnupg"


def write_conf(answers: Answers, fingerprint: str) -> str:
    """Write the text of mirror.conf; `fingerprint` is that of the signing key, '' where there is none."""
    packrat = {"host": answers.host, "name": answers.name, "psk": answers.psk}
    mirror = {"root_dir": str(answers.root_dir), "state_db": str(answers.state_dir / "state.db")}
    if answers.signs:
        mirror |= {"gpg_sign_key": fingerprint, "gnupg_home": str(answers.gnupg_home)}
    mirror["public_url"] = answers.public_url
    lines = [_HEADER]
    for section, keys in (("packrat", packrat), ("mirror", mirror)):
        keys |= {key: value for (where, key), value in answers.further.items() if where == section}
        lines += ["", f"[{section}]", *(f"{key}: {value}" for key, value in keys.items() if value)]
    return "\n".join(lines) + "\n"


def _check_encoding(line: str) -> None:
    """Make sure that a line of mirror.conf is UTF-8; the name of a file need not be.

    Raises:
        ConfigError: It is not.
    """
    try:
        line.encode()
    except UnicodeEncodeError:
        key, _, value = line.partition(": ")
        shown = key if key == "psk" else f"{key} {printable(value)}"
        raise ConfigError(f"{shown} is not UTF-8, so mirror.conf can't hold it", hint="give another") from None


def try_conf(answers: Answers, path: Path) -> Config:
    """Read the configuration that follows from the answers as it would be read at `path`, before it is there.

    Raises:
        ConfigError: It can't be used; the message names the keys.
    """
    with tempfile.TemporaryDirectory(prefix="packrat-agent-") as scratch:
        draft = Path(scratch) / "mirror.conf"
        draft.touch(0o600)
        # Any id will do: the keys are not looked at here.
        text = write_conf(answers, "0" * 40)
        for line in text.splitlines():
            _check_encoding(line)
        draft.write_text(text, encoding="utf-8")
        try:
            return load(draft)
        except ConfigError as error:
            text = error.message.replace(str(draft), f"the new {path}")
            raise ConfigError(text, hint=error.hint or "give other answers") from None
