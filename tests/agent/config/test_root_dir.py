"""root_dir is a directory of its own: none of the system, none that holds the state, secrets or mirror.conf."""

from pathlib import Path

import pytest

from agent.config.conf_file import faults, written
from packrat_agent.config.load import load


@pytest.mark.parametrize(
    "root",
    [
        *(
            "/",
            "//",
            "/..",
            "/.",
            "/etc",
            "/etc/",
            "/etc/packrat",
            "/usr",
            "/usr/bin/x",
            "/var",
            "/var/www",
            "/var/lib",
        ),
        *(
            "/srv",
            "//srv",
            "/home",
            "/tmp",
            "/root",
            "/opt",
            "/proc/1",
            "/var/www/repo/..",
            "/srv/../etc/x",
            "/lib64/y",
        ),
    ],
)
def test_root_dir_is_no_directory_of_the_system(conf: Path, root: str) -> None:
    (fault,) = faults(written(conf, mirror={"root_dir": root}))
    assert "is a system directory" in fault
    assert "/var/www/repo" in fault


def test_root_dir_is_absolute(conf: Path) -> None:
    (fault,) = faults(written(conf, mirror={"root_dir": "var/www/repo"}))
    assert fault == "line 6: root_dir: must be an absolute path, beginning with /"


def test_root_dir_is_no_link_to_a_directory_of_the_system(conf: Path, tmp_path: Path) -> None:
    (tmp_path / "www").symlink_to("/etc")
    (fault,) = faults(written(conf, mirror={"root_dir": f"{tmp_path}/www"}))
    assert "/etc is a system directory" in fault


@pytest.mark.parametrize(
    ("root", "state_db", "good"),
    [
        ("/srv/m", "/srv/m/state.db", False),
        ("/srv/m", "/srv/m/state/state.db", False),
        ("/srv/m/www", "/srv/m/state.db", False),
        ("/srv/m", "/srv/m/../m/x/state.db", False),
        ("/srv/m/www", "/srv/m/state/state.db", True),
        ("/srv/m", "/srv/m-state/state.db", True),
    ],
)
def test_root_dir_and_the_directory_of_state_db_do_not_overlap(
    conf: Path, root: str, state_db: str, good: bool
) -> None:
    written(conf, mirror={"root_dir": root, "state_db": state_db})
    if good:
        assert load(conf).mirror.root_dir == Path(root)
        return
    (fault,) = faults(conf)
    assert fault.startswith("line 7: state_db: ")
    assert "must not contain each other" in fault


def test_the_overlap_is_seen_through_links(conf: Path, tmp_path: Path) -> None:
    (tmp_path / "www").mkdir()
    (tmp_path / "state").symlink_to(tmp_path / "www")
    written(conf, mirror={"root_dir": f"{tmp_path}/www", "state_db": f"{tmp_path}/state/state.db"})
    (fault,) = faults(conf)
    assert "must not contain each other" in fault


@pytest.mark.parametrize("key", ["gnupg_home", "passphrase_file"])
def test_no_secret_lies_in_root_dir(conf: Path, key: str) -> None:
    (fault,) = faults(written(conf, mirror={key: "/srv/mirror/www/secret"}))
    assert fault.startswith(f"line 8: {key}: /srv/mirror/www/secret lies in root_dir")


def test_the_configuration_does_not_lie_in_root_dir(tmp_path: Path) -> None:
    (fault,) = faults(written(tmp_path / "mirror.conf", mirror={"root_dir": str(tmp_path)}))
    assert "mirror.conf lies in root_dir" in fault
