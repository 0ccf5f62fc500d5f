"""The running agent's version of mirror.conf is told from another one without keeping what stands in it."""

import hashlib
from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_agent.config.version import describe_version, is_changed
from support.mirror_conf import write_mirror_conf


def test_a_version_is_described_on_a_host_in_fips_mode_which_has_no_scrypt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> bytes:
        raise ValueError("[digital envelope routines] unsupported")

    monkeypatch.setattr(hashlib, "scrypt", refuse)
    (tmp_path / "state").mkdir()
    path = write_mirror_conf(tmp_path)
    described = describe_version(load(path))
    assert not is_changed(load(path), described)
    path.write_text(path.read_text() + "\n# another text\n")
    assert is_changed(load(path), described)
