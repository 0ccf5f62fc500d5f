"""What is allowed in mirror.conf, and not wise, is warned of."""

from pathlib import Path

import pytest

from agent.config.conf_file import SECRET, faults, written
from packrat_agent.config.checks import warn
from packrat_agent.config.load import load
from packrat_agent.config.plain_http import warn_of_plain_http


@pytest.mark.parametrize(
    ("host", "psk", "mode", "warned"),
    [
        ("https://packrat.example.com", SECRET, 0o640, []),
        ("https://packrat.example.com", SECRET, 0o644, ["chmod 0640"]),
        ("https://packrat.example.com", SECRET, 0o602, ["chmod 0640"]),
        ("packrat.example.com", "", 0o644, ["anonymously"]),
    ],
)
def test_unwise_settings_are_warned_of(conf: Path, host: str, psk: str, mode: int, warned: list[str]) -> None:
    written(conf, {"host": host, "psk": psk}).chmod(mode)
    found = warn(load(conf))
    assert len(found) == len(warned)
    assert all(word in text for word, text in zip(warned, found, strict=True))
    assert SECRET not in "".join(found)


@pytest.mark.parametrize(
    ("host", "more", "is_warned_of"),
    [
        ("packrat.example.com", {}, True),
        ("http://packrat.example.com:8888", {"psk": ""}, True),
        ("https://packrat.example.com", {}, False),
        ("localhost:8888", {}, False),
        ("LocalHost.", {}, False),
        ("127.0.0.1", {}, False),
        ("[::1]", {}, False),
        ("localhost.example.com", {}, True),
        ("127.example.com", {}, True),
        ("10.0.0.1", {}, True),
        ("[fe80::1]:8888", {}, True),
        ("localhost", {"proxy": "http://proxy.example.com:3128"}, True),
        ("localhost", {"proxy": "http://proxy.example.com:3128", "no_proxy": "localhost"}, False),
        ("localhost", {"proxy": "http://127.0.0.1:3128"}, False),
        ("packrat.example.com", {"proxy": "https://proxy.example.com"}, True),
        ("https://packrat.example.com", {"proxy": "http://proxy.example.com"}, False),
    ],
)
def test_plain_http_is_warned_of_where_others_could_answer_in_the_servers_place(
    conf: Path, host: str, more: dict[str, str], is_warned_of: bool
) -> None:
    told = warn_of_plain_http(load(written(conf, {"host": host, **more})).packrat)
    assert (told is not None) == is_warned_of
    if told is not None:
        assert "unencrypted" in told
        assert ("the psk" in told) == (more.get("psk") != "")
        assert SECRET not in told


def test_a_passphrase_that_everyone_can_read_is_warned_of(conf: Path, tmp_path: Path) -> None:
    passphrase = tmp_path / "pass phrase"
    passphrase.touch(0o600)
    conf = written(conf, {"host": "localhost"}, {"passphrase_file": str(passphrase)})
    conf.chmod(0o600)
    assert warn(load(conf)) == ()
    passphrase.chmod(0o644)
    assert warn(load(conf)) == (
        f"{passphrase} holds the passphrase and everyone can read it; `chmod 0600 '{passphrase}'`",
    )


def test_files_that_the_agent_trusts_and_others_can_write_are_warned_of(conf: Path, tmp_path: Path) -> None:
    home, state = tmp_path / "gnu pg", tmp_path / "state"
    for directory in (home, state):
        directory.mkdir()
    database = state / "state.db"
    database.touch()
    mirror = {"gnupg_home": str(home), "state_db": str(database)}
    conf = written(conf, {"host": "localhost", "psk": ""}, mirror)

    def told(path: Path, mode: int) -> bool:
        before = path.stat().st_mode
        path.chmod(mode)
        found = [text for text in warn(load(conf)) if "can write to" in text]
        path.chmod(before)
        assert all(str(path) in text and "`chmod " in text for text in found)
        assert len(found) <= 1
        return bool(found)

    for path, mode in ((home, 0o770), (home, 0o702), (state, 0o777), (database, 0o646), (conf, 0o646)):
        assert told(path, mode), (path, oct(mode))
    for path, mode in ((home, 0o755), (state, 0o775), (state, 0o1777), (database, 0o664), (conf, 0o664)):
        assert not told(path, mode), (path, oct(mode))


def test_a_keep_file_outside_root_dir_is_warned_of(conf: Path) -> None:
    conf = written(conf, {"host": "localhost"}, {"keep_file": "/srv/mirror/wwww/a"})
    conf.chmod(0o600)
    (found,) = warn(load(conf))
    assert found == "keep_file /srv/mirror/wwww/a does not lie in root_dir /srv/mirror/www: it has no effect"


@pytest.mark.parametrize(
    ("paths", "told"),
    [
        ("/srv/mirror/www/a /srv/mirror/www/b", "separate several by commas"),
        ("/srv/mirror/www/a; /srv/mirror/www/b", "separate several by commas"),
        ("/srv/mirror/www/a:/srv/mirror/www/b", "separate several by commas"),
        ("/srv/mirror/www/*.asc", "there are no wildcards"),
        ("/srv/mirror/www/a[12]", "there are no wildcards"),
        ("/srv/mirror/www/my key, /srv/mirror/www/b:c", ""),
    ],
)
def test_a_path_that_stands_for_several_files_is_warned_of(conf: Path, paths: str, told: str) -> None:
    found = warn(load(written(conf, mirror={"keep_file_list": paths})))
    assert [told in text for text in found] == ([True] if told else [])


@pytest.mark.parametrize("name", ["a b/c", "a*"])
def test_a_kept_path_that_exists_is_meant_as_it_stands(conf: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "www" / name).mkdir(parents=True)
    mirror = {"root_dir": f"{tmp_path}/www", "keep_file": f"{tmp_path}/www/{name}"}
    assert not [text for text in warn(load(written(conf, mirror=mirror))) if "keep_file" in text]


def test_a_home_directory_is_named_where_a_path_can_not_begin_so(conf: Path) -> None:
    (fault,) = faults(written(conf, mirror={"gnupg_home": "~/gnupg"}))
    assert fault.endswith("~ is not replaced by a home directory: write that out")


@pytest.mark.parametrize("key", ["keep_file", "keep_file_list"])
def test_root_dir_itself_is_not_kept(conf: Path, key: str) -> None:
    (fault,) = faults(written(conf, mirror={key: "/srv/mirror/www/a, /srv/mirror/www/"}))
    assert fault.startswith(f"line 8: {key}: /srv/mirror/www is root_dir itself")


@pytest.mark.parametrize("key", ["state_db", "metrics_file", "passphrase_file"])
def test_a_directory_in_the_place_of_a_file_is_refused_by_its_key(conf: Path, tmp_path: Path, key: str) -> None:
    directory = tmp_path / "figures.prom"
    directory.mkdir()
    (fault,) = faults(written(conf, mirror={key: str(directory)}))
    assert f": {key}: {directory} is a directory; name a file, such as {directory}/" in fault


def test_a_file_in_the_place_of_gnupg_home_is_refused(conf: Path) -> None:
    (fault,) = faults(written(conf, mirror={"gnupg_home": str(conf)}))
    assert f": gnupg_home: {conf} is a file; name the directory" in fault


def test_a_missing_directory_of_the_figures_is_warned_of(conf: Path, tmp_path: Path) -> None:
    config = load(written(conf, mirror={"metrics_file": f"{tmp_path}/missing/packrat.prom"}))
    assert any(text.startswith(f"metrics_file {tmp_path}/missing/packrat.prom: there is no") for text in warn(config))
    (tmp_path / "missing").mkdir()
    assert not any("metrics_file" in text for text in warn(config))


@pytest.mark.parametrize(
    ("section", "key", "value", "told"),
    [
        ("packrat", "psk", f'"{SECRET}"', "psk: quotes"),
        ("packrat", "psk", f"{SECRET} ; of the lab", "psk: a comment"),
        ("mirror", "root_dir", "/srv/mirror/www # all of it", "root_dir: a comment"),
        ("mirror", "keep_file", "/srv/mirror/www/a # ours", "keep_file_list: a comment"),
        ("mirror", "gpg_sign_key", "'B2CAFB61'", "gpg_sign_key: quotes"),
        ("mirror", "apt_origin", '"Example"', "apt_origin: quotes"),
        ("mirror", "apt_label", "Example # ours", "apt_label: a comment"),
        ("mirror", "confirm_release_change", "'apt-prod'", "confirm_release_change: quotes"),
        ("packrat", "psk", f"{SECRET}%%x", "psk: %% stays"),
        ("mirror", "root_dir", "/srv/mirror/%(name)s", "root_dir: %(…)s is not replaced"),
        ("mirror", "gnupg_home", "/srv/${HOME}/gnupg", "gnupg_home: ${…} is not replaced"),
        ("mirror", "description", 'The "best" mirror # 1', ""),
        ("packrat", "psk", "a#b;c'", ""),
        ("packrat", "proxy", f"http://agent:{SECRET}%%40@proxy:3128", "proxy: %% stays"),
        ("packrat", "psk", f"%({SECRET})s", "psk: %(…)s is not replaced"),
        ("packrat", "psk", f"${{{SECRET}}}", "psk: ${…} is not replaced"),
        ("mirror", "description", "100%% ours", "description: %% stays"),
        ("packrat", "psk", "a%b$c~", ""),
        ("packrat", "psk", "~a", ""),
    ],
)
def test_a_value_that_is_meant_otherwise_in_another_syntax_is_reported(
    conf: Path, section: str, key: str, value: str, told: str
) -> None:
    given = {section: {key: value}}
    found = warn(load(written(conf, given.get("packrat"), given.get("mirror"))))
    assert [text.startswith(told) for text in found] == ([True] if told else [])
    assert SECRET not in "".join(found)


def test_keys_that_are_meant_otherwise_in_another_syntax_are_reported_for_each_section(conf: Path) -> None:
    keys = {"gpg_sign_key": "B2CAFB61", "gpg_next_key": "'C2CAFB61'", "gpg_retired_keys": "00000001, 00000002 # stolen"}
    written(conf, mirror=keys)
    conf.write_text(f'{conf.read_text()}[repo apt-prod]\ngpg_sign_key: "D2CAFB61"\ngpg_former_key: B2CAFB61 # old\n')
    found = [text.partition(" belong")[0] for text in warn(load(conf)) if "belong" in text]
    assert found == [
        "gpg_next_key: quotes",
        "gpg_retired_keys: a comment after a value",
        "[repo apt-prod] gpg_sign_key: quotes",
        "[repo apt-prod] gpg_former_key: a comment after a value",
    ]
