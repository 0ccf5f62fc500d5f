"""The drop-in that `packrat-agent init` writes for a mirror with paths of its own."""

import shlex
from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_agent.setup import service
from support.mirror_conf import write_mirror_conf


def _lines(directory: Path, more: str = "") -> list[str]:
    """Read the drop-in for a mirror in a directory."""
    directory.mkdir(exist_ok=True)
    mirror = f"description: the lab\n{more}"
    write_mirror_conf(directory, "http://127.0.0.1:1", packrat="psk: x\n", mirror=mirror)
    return service.describe_differences(load(directory / "mirror.conf"), "repo", "repo").splitlines()


def _settings(directory: Path, more: str = "") -> dict[str, str]:
    """Read the drop-in for a mirror in a directory; of a setting that comes twice, the last."""
    return dict(line.split("=", 1) for line in _lines(directory, more) if "=" in line)


def _read(value: str) -> list[str]:
    """Read words as systemd does, which resolves %% after it has taken them apart."""
    return [word.replace("%%", "%") for word in shlex.split(value)]


@pytest.mark.parametrize("name", ["plain", "with space", "100%", "a$b", 'a"b', "a\\b"])
def test_every_path_is_one_word(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    found = _settings(directory)
    config = load(directory / "mirror.conf")
    root, state = str(config.mirror.root_dir), str(config.mirror.state_db.parent)
    assert _read(found["RequiresMountsFor"]) == [root]
    assert _read(found["ReadWritePaths"]) == [root, state]
    assert [word.replace("$$", "$") for word in _read(found["ExecStart"])][-3:] == [
        *(str(config.source), "$PACKRAT_AGENT_OPTIONS", "run")
    ]


def test_the_directory_that_the_unit_names_need_not_be_there(tmp_path: Path) -> None:
    # systemd adds the lines up, and starts nothing where a directory is missing.
    lines = [line for line in _lines(tmp_path) if line.startswith("ReadWritePaths=")]
    assert (lines[0], len(lines)) == ("ReadWritePaths=", 2)


def test_the_agent_may_write_all_that_mirror_conf_names(tmp_path: Path) -> None:
    home, metrics = tmp_path / "keys", tmp_path / "metrics/packrat.prom"
    more = f"gpg_sign_key: {'A' * 40}\ngnupg_home: {home}\nmetrics_file: {metrics}\n"
    assert _read(_settings(tmp_path / "mirror", more)["ReadWritePaths"])[2:] == [f"-{home}", f"-{metrics.parent}"]


def test_what_the_agent_only_reads_in_a_home_is_shown_to_it(tmp_path: Path) -> None:
    more = f"gpg_sign_key: {'A' * 40}\npassphrase_file: /root/passphrase\n"
    assert _settings(tmp_path / "mirror", more)["ProtectHome"] == "no"
    assert "ProtectHome" not in _settings(tmp_path / "other")


def test_a_drop_in_of_other_paths_is_not_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "DROP_IN", tmp_path / "mirror.conf")
    assert not service.has_drop_in("new")
    (tmp_path / "mirror.conf").write_text("old")
    assert not service.has_drop_in("new")
    assert service.has_drop_in("old")
