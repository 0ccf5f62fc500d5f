"""What a unit keeps from its agent of the places that mirror.conf names, and the lines that change that."""

from pathlib import Path

import pytest

from packrat_agent.config.load import load
from packrat_agent.setup.sandbox import SETTINGS, list_denials

# As `systemctl show` prints those of the unit.
UNIT = {
    **dict.fromkeys(SETTINGS, ""),
    "ProtectSystem": "strict",
    "ReadWritePaths": "/var/www/repo",
    "StateDirectory": "packratAgent",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
}
KEY = f"gpg_sign_key: {'A' * 40}\n"


def denied(
    place: Path,
    more: str = "",
    *,
    packrat: str = "",
    root: str = "/var/www/repo",
    state: str = "/var/lib/packratAgent/state.db",
    **settings: str,
) -> list[tuple[str, str]]:
    """What the unit, with these settings changed, keeps from the agent of a mirror, and how to change that."""
    config = place / "mirror.conf"
    config.write_text(
        f"[packrat]\nhost: localhost\nname: lab\n{packrat}[mirror]\nroot_dir: {root}\nstate_db: {state}\n{more}"
    )
    config.chmod(0o600)
    # The tests' directories lie in /tmp.
    found = list_denials(load(config), {**UNIT, "PrivateTmp": "no", **settings})
    return [(denial.text, denial.remedy) for denial in found]


def test_the_usual_places_are_open(tmp_path: Path) -> None:
    assert denied(tmp_path, f"{KEY}gnupg_home: /var/lib/packratAgent/gnupg\n") == []


@pytest.mark.parametrize(
    ("name", "lines", "path"),
    [
        ("gnupg_home", f"{KEY}gnupg_home: /srv/keys\n", "/srv/keys"),
        ("the directory of metrics_file,", "metrics_file: /srv/metrics/packrat.prom\n", "/srv/metrics"),
    ],
)
def test_what_it_may_not_write_to_is_named(tmp_path: Path, name: str, lines: str, path: str) -> None:
    said = [(f"the unit does not let the agent write to {name} {path}", f"ReadWritePaths={path}")]
    assert denied(tmp_path, lines) == said
    assert denied(tmp_path, lines, ReadWritePaths=f"/var/www/repo -{path}") == []
    assert denied(tmp_path, lines, ReadWritePaths="/var/www/repo /srv") == []
    assert denied(tmp_path, lines, ProtectSystem="full") == []


def test_root_dir_and_state_count_and_a_path_with_a_space_is_one(tmp_path: Path) -> None:
    elsewhere = {"root": "/srv/our mirror", "state": "/srv/state/state.db"}
    assert [remedy for _, remedy in denied(tmp_path, **elsewhere)] == [
        *('ReadWritePaths="/srv/our mirror"', "ReadWritePaths=/srv/state")
    ]
    assert denied(tmp_path, **elsewhere, ReadWritePaths='"/srv/our mirror" /srv/state') == []


def test_a_home_is_hidden_also_from_reading(tmp_path: Path) -> None:
    lines, packrat = f"{KEY}gnupg_home: /home/keys\npassphrase_file: /root/pass\n", "ca_file: /home/ca.pem\n"
    assert denied(tmp_path, lines, packrat=packrat) == [
        (f"the unit hides {place} from the agent (ProtectHome)", remedy)
        for place, remedy in (
            ("gnupg_home /home/keys", "ProtectHome=no and ReadWritePaths=/home/keys"),
            ("passphrase_file /root/pass", "ProtectHome=no"),
            ("ca_file /home/ca.pem", "ProtectHome=no"),
        )
    ]
    assert denied(tmp_path, lines, packrat=packrat, ProtectHome="no", ReadWritePaths="/var/www/repo /home/keys") == []


@pytest.mark.parametrize(
    ("path", "setting", "value"),
    [
        ("/srv/metrics", "BindPaths", "/srv/metrics:/srv/metrics:rbind"),
        ("/srv/metrics", "BindPaths", "-/mnt/b:/var/b:rbind /mnt/a b:/srv/metrics"),
        ("/srv/our metrics", "BindPaths", "/mnt/a:/srv/our metrics:rbind /mnt/b:/var/b"),
        ("/run/packrat", "RuntimeDirectory", "other packrat"),
        ("/var/cache/packrat", "CacheDirectory", "packrat"),
        ("/var/log/packrat", "LogsDirectory", "packrat"),
        ("/etc/packrat/metrics", "ConfigurationDirectory", "packrat"),
    ],
)
def test_a_place_that_another_setting_opens_is_open(tmp_path: Path, path: str, setting: str, value: str) -> None:
    lines = f"metrics_file: {path}/packrat.prom\n"
    assert denied(tmp_path, lines)
    assert denied(tmp_path, lines, **{setting: value}) == []


def test_the_filesystems_of_the_kernel_are_not_closed(tmp_path: Path) -> None:
    assert denied(tmp_path, "metrics_file: /dev/shm/packrat.prom\n") == []


def test_a_mount_of_the_unit_shows_what_a_tmpfs_hides(tmp_path: Path) -> None:
    lines = f"{KEY}gnupg_home: /home/keys\npassphrase_file: /root/pass\n"
    hidden = denied(tmp_path, lines)
    assert denied(tmp_path, lines, ProtectHome="tmpfs") == hidden
    mounts = {"BindPaths": "/home/keys:/home/keys:rbind", "BindReadOnlyPaths": "/root/pass:/root/pass:rbind"}
    assert denied(tmp_path, lines, ProtectHome="tmpfs", **mounts) == []
    (only,) = denied(tmp_path, lines, ProtectHome="tmpfs", BindReadOnlyPaths="/home:/home /root:/root")
    assert only == ("the unit does not let the agent write to gnupg_home /home/keys", "ReadWritePaths=/home/keys")
    # Below what is inaccessible, systemd mounts nothing.
    assert [text for text, _ in denied(tmp_path, lines, **mounts)] == [text for text, _ in hidden]


@pytest.mark.parametrize("private", ["yes", "disconnected"])
def test_a_mount_of_the_unit_shows_what_a_tmp_of_its_own_hides(tmp_path: Path, private: str) -> None:
    assert denied(tmp_path, PrivateTmp=private)
    assert denied(tmp_path, PrivateTmp=private, BindReadOnlyPaths=f"{tmp_path}:{tmp_path}:rbind") == []


def test_the_unit_has_a_tmp_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "pass").write_text("secret")
    # The configuration, too, lies there.
    assert denied(tmp_path, f"passphrase_file: {tmp_path}/pass\n", PrivateTmp="yes") == [
        (f"the unit hides {name} {tmp_path}/{file} from the agent (PrivateTmp)", "")
        for name, file in (("the configuration", "mirror.conf"), ("passphrase_file", "pass"))
    ]
