"""The four questions of `packrat-agent init`, answered by options or at a terminal."""

import stat
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from packrat_agent.config import value_types
from packrat_agent.config.settings import Config
from packrat_agent.setup.answers import ROOT_DIR, STATE_DIR, Answers
from packrat_agent.web.mirror_site import this_host
from packrat_core.errors import ConfigError
from packrat_core.fs.open import read_given
from packrat_core.fs.ownership import explain_unread

_PSK_LIMIT = 1000


@dataclass(frozen=True, slots=True)
class _Question:
    """One of the four questions: its option, its text, how an answer is checked."""

    option: str
    text: str
    check: Callable[[str], object]


_SERVER = _Question("--server", "The packrat server (host name or URL)", value_types.read_origin)
_NAME = _Question("--name", "This mirror's name on it", value_types.read_mirror_name)
_URL = _Question("--public-url", "The address at which clients will reach this mirror", value_types.read_public_url)


def ask(given: Mapping[str, Any]) -> Answers:
    """Take the options, and ask for what they don't say.

    Raises:
        ConfigError: An option is missing and there is nobody to ask, or can't be used.
    """
    missing = [question.option for question in (_SERVER, _NAME, _URL) if not given[_parameter(question.option)]]
    missing += ["--psk-file"] if given["psk_file"] is None else []
    if missing and not sys.stdin.isatty():
        raise ConfigError(
            f"there is no terminal to ask at, and {', '.join(missing)} not given",
            hint="give all four, or run this at a terminal",
        )
    host, name = (_answer(question, given, None) for question in (_SERVER, _NAME))
    if given["psk_file"] is not None:
        psk = _read_psk(given["psk_file"])
    else:
        psk = click.prompt("The mirror's psk (empty if it has none)", default="", hide_input=True, err=True)
    _check("--psk-file", value_types.read_line, psk)
    if psk != psk.strip():
        raise ConfigError(
            "the psk begins or ends with a space, which mirror.conf can't hold",
            hint="set another one on the packrat server",
        )
    url = _answer(_URL, given, f"http://{this_host()}")
    further = {("packrat", "proxy"): given["proxy"], ("packrat", "ca_file"): given["ca_file"]}
    further |= {("mirror", "passphrase_file"): given["passphrase_file"]}
    for option, path in (("--ca-file", given["ca_file"]), ("--passphrase-file", given["passphrase_file"])):
        if path is not None:
            _check_file(option, path)
    return Answers(
        host=host,
        name=name,
        psk=psk,
        public_url=url,
        root_dir=(given["root_dir"] or ROOT_DIR).absolute(),
        state_dir=(given["state_dir"] or STATE_DIR).absolute(),
        signs=not given["no_key"],
        further={
            key: str(value.absolute() if isinstance(value, Path) else value) for key, value in further.items() if value
        },
    )


def _read_psk(path: Path) -> str:
    """Read the psk from its file, or for `-` from stdin.

    Raises:
        ConfigError: The file can't be read, or is not text.
    """
    try:
        data = sys.stdin.buffer.read(4 * _PSK_LIMIT) if path == Path("-") else read_given(path, 4 * _PSK_LIMIT)
        return data.decode("utf-8-sig").strip()
    except OSError as error:
        raise ConfigError(
            f"--psk-file: {path} can't be read: {explain_unread(path, error)}", hint="give another --psk-file"
        ) from None
    except UnicodeDecodeError:
        raise ConfigError(f"--psk-file: {path} is not text", hint="give a text file, in UTF-8") from None


def _check_file(option: str, path: Path) -> None:
    """Make sure that there is a file, which perhaps only the agent's user may read.

    Raises:
        ConfigError: There is none, or nobody can tell.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigError(
            f"{option}: {path} can't be read: {explain_unread(path, error)}", hint=f"give another {option}"
        ) from None
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{option}: {path} is not a file", hint=f"give another {option}")


def _answer(question: _Question, given: Mapping[str, Any], default: str | None) -> str:
    """Give the option's value, or ask until the answer can be used."""
    value = given[_parameter(question.option)]
    if value:
        _check(question.option, question.check, value)
        return str(value)

    def read(text: str) -> str:
        try:
            question.check(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from None
        return text

    return str(click.prompt(question.text, default=default, value_proc=read, err=True))


def _check(option: str, check: Callable[[str], object], value: str) -> None:
    try:
        check(value)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}", hint=f"give another {option}") from None


def _parameter(option: str) -> str:
    return option.removeprefix("--").replace("-", "_")


def refuse_contradiction(config: Config, given: Mapping[str, Any]) -> None:
    """Refuse options that contradict the mirror.conf that is there.

    Raises:
        ConfigError: An option does.
    """
    for question, value in (
        (_SERVER, config.packrat.url),
        (_NAME, config.packrat.name),
        (_URL, config.mirror.public_url),
    ):
        answer = given[_parameter(question.option)]
        if answer:
            _check(question.option, question.check, answer)
            if question.check(answer) != value:
                raise ConfigError(
                    f"{question.option} {answer} is not what {config.source} says ({value})",
                    hint=f"edit {config.source}, or leave out {question.option}",
                )
    for option, path, place in (
        ("--root-dir", given["root_dir"], config.mirror.root_dir),
        ("--state-dir", given["state_dir"], config.mirror.state_db.parent),
    ):
        if path is not None and path.absolute() != place:
            raise ConfigError(
                f"{option} {path} is not what {config.source} says ({place})",
                hint=f"edit {config.source}, or leave out {option}",
            )
