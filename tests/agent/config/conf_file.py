"""Writes a mirror.conf that is good save for what a test puts in, and gives what is said of a wrong one."""

from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_core.errors import ConfigError

SECRET = "s3cr3t-psk"

PACKRAT = {"host": "packrat.example.com", "name": "prod", "psk": SECRET}

MIRROR = {"root_dir": "/srv/mirror/www", "state_db": "/srv/mirror/state/state.db"}


def written(conf: Path, packrat: dict[str, str] | None = None, mirror: dict[str, str] | None = None) -> Path:
    """Write a file that is good save for what is given."""
    sections = {"packrat": PACKRAT | (packrat or {}), "mirror": MIRROR | (mirror or {})}
    conf.write_text(
        "".join(
            f"[{section}]\n" + "".join(f"{key}: {value}\n" for key, value in keys.items())
            for section, keys in sections.items()
        )
    )
    return conf


def faults(path: Path) -> list[str]:
    """What load says of a wrong file, without the file's name."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert caught.value.exit_code == 2
    lines = str(caught.value).splitlines()
    assert all(line.startswith(str(path)) for line in lines)
    return [line.removeprefix(str(path)).lstrip(",: ") for line in lines]
