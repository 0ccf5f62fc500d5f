"""mirror.conf: every documented form is understood, every fault is told with its line, no secret shows."""

import dataclasses
import re
from configparser import ConfigParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from agent.config.conf_file import SECRET, faults, written
from packrat_agent.config.describe import describe
from packrat_agent.config.load import load
from packrat_agent.config.settings import PackageSigning
from packrat_core.errors import ConfigError


def test_the_smallest_file_gives_the_documented_defaults(conf: Path) -> None:
    config = load(written(conf))
    assert dataclasses.asdict(config.packrat) == {
        "url": "http://packrat.example.com",
        "name": "prod",
        "psk": SECRET,
        "proxy": None,
        "no_proxy": frozenset(),
        "ca_file": None,
        "connect_timeout_s": 10,
        "stall_timeout_s": 60,
    }
    assert dataclasses.asdict(config.mirror) == {
        "description": "prod",
        "root_dir": Path("/srv/mirror/www"),
        "state_db": Path("/srv/mirror/state/state.db"),
        "gpg_sign_key": None,
        "gpg_next_key": None,
        "gpg_former_key": None,
        "gpg_retired_keys": frozenset(),
        "gnupg_home": None,
        "passphrase_file": None,
        "full_sync_interval_s": 900,
        "keep_files": frozenset(),
        "grace_period_s": 259200,
        "index_grace_period_s": 3600,
        "keep_generations": 3,
        "max_removals_percent": 50,
        "max_records": 1_000_000,
        "parallel_downloads": 8,
        "download_bytes_per_s": None,
        "max_file_bytes": 20_000_000_000,
        "scan_bytes_per_s": 50_000_000,
        "scan_days": None,
        "apt_origin": "Packrat",
        "apt_label": None,
        "apt_valid_for_s": None,
        "yum_sign_packages": "all",
        "confirm_release_change": frozenset(),
        "public_url": None,
        "docker_signature_api": None,
        "metrics_file": None,
        "metrics_listen": None,
    }


def test_every_key_can_be_given_with_either_separator_and_any_space_around_it(conf: Path) -> None:
    conf.write_text(
        "\ufeff# the mirror of the lab\r\n"
        "[packrat]   ; a section\r\n"
        "HOST=https://packrat.example.com:8443/\r\n"
        "name = lab\r\n"
        "psk : a = b: c # d\r\n"
        "proxy:http://proxy.example.com:3128/\r\n"
        "ca_file = /etc/ssl/ca.pem\r\n"
        "no_proxy: 10.0.0.0/8, .example.com\r\n"
        "connect_timeout=5\r\n"
        "stall_timeout: 30\r\n"
        "\r\n"
        "[ mirror ]\r\n"
        "  description: Spiegel für alle\r\n"
        "root_dir = /srv//mirror/./www/\r\n"
        "state_db = /srv/mirror/state/state.db\r\n"
        "gpg_sign_key: 8BFE 3D3D\r\n"
        "gpg_next_key: 8BFE 3D3E\r\n"
        "gpg_retired_keys: AABBCCDD, AABBCCEE\r\n"
        "gnupg_home: /srv/mirror/gnupg\r\n"
        "passphrase_file: /srv/mirror/passphrase\r\n"
        "full_sync_interval = 3600\r\n"
        "grace_period=0\r\n"
        "index_grace_period: 120\r\n"
        "keep_generations: 5\r\n"
        "max_removals: 100\r\n"
        "max_records: 50000\r\n"
        "parallel_downloads: 64\r\n"
        "download_rate_limit: 2M\r\n"
        "max_file_size: 4G\r\n"
        "scan_rate_limit: 20M\r\n"
        "scan_days: 30\r\n"
        "apt_origin: Example Corp\r\n"
        "apt_label: Packages\r\n"
        "apt_valid_for: 1209600\r\n"
        "yum_sign_packages: Unsigned\r\n"
        "confirm_release_change: apt-dev, apt-prod\r\n"
        "public_url: https://repo.example.com/\r\n"
        "docker_signature_api: Yes\r\n"
    )
    config = load(conf)
    assert dataclasses.astuple(config.packrat) == (
        "https://packrat.example.com:8443",
        "lab",
        "a = b: c # d",
        "http://proxy.example.com:3128/",
        frozenset({"10.0.0.0/8", ".example.com"}),
        Path("/etc/ssl/ca.pem"),
        5,
        30,
    )
    assert dataclasses.astuple(config.mirror) == (
        "Spiegel für alle",
        Path("/srv/mirror/www"),
        Path("/srv/mirror/state/state.db"),
        "8BFE 3D3D",
        "8BFE 3D3E",
        None,
        frozenset({"AABBCCDD", "AABBCCEE"}),
        Path("/srv/mirror/gnupg"),
        Path("/srv/mirror/passphrase"),
        3600,
        frozenset(),
        0,
        120,
        5,
        100,
        50_000,
        64,
        2_000_000,
        4_000_000_000,
        20_000_000,
        30,
        "Example Corp",
        "Packages",
        1209600,
        PackageSigning.UNSIGNED,
        frozenset({"apt-dev", "apt-prod"}),
        "https://repo.example.com",
        True,
        None,
        None,
    )
    assert "docker_signature_api: yes\n" in describe(config)


@pytest.mark.parametrize(
    ("given", "in_force"), [({}, 3600), ({"grace_period": "60"}, 60), ({"grace_period": "7200"}, 3600)]
)
def test_indexes_stay_for_an_hour_unless_everything_stays_for_less(
    conf: Path, given: dict[str, str], in_force: int
) -> None:
    config = load(written(conf, mirror=given))
    assert config.mirror.index_grace_period_s == in_force
    assert f"index_grace_period: {in_force}\n" in describe(config)


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("https://repo.example.com/", "https://repo.example.com"),
        ("http://[2001:db8::1]:8080/packages/~me/a+b,c=d@e/", "http://[2001:db8::1]:8080/packages/~me/a+b,c=d@e"),
        ("http://me:s%40x@host/a%20b", "http://me:s%40x@host/a%20b"),
        ("http://host/a b&c;d$(e)`f`!g'h\"i*|<>é", None),
        ("http://$(a)'&@host/", None),
    ],
)
def test_a_public_url_can_be_pasted_into_a_shell(conf: Path, given: str, understood: str | None) -> None:
    url = load(written(conf, mirror={"public_url": given})).mirror.public_url
    assert url is not None
    assert understood is None or url == understood
    assert unquote(url) == unquote(given).rstrip("/")
    # None of these has a meaning within a word, quoted or not; brackets only if a file is called like that.
    assert re.fullmatch(r"[A-Za-z0-9\[\]:/@%+,=~._-]+", url)


def test_keep_files_come_from_every_line_comma_and_key(conf: Path) -> None:
    written(conf)
    with conf.open("a") as file:
        file.write(
            "keep_file_list: /srv/mirror/www/a, /srv/mirror/www/b,,\n"
            "keep_file: /srv/mirror/www/c\n"
            "keep_file = /srv/mirror/www/with space/d\n"
            "keep_file_list:\n"
            "  /srv/mirror/www/e\n"
            "  # a comment in between\n"
            "\t/srv/mirror/www/f, /srv/mirror/www/a\n"
        )
    kept = {str(path.relative_to("/srv/mirror/www")) for path in load(conf).mirror.keep_files}
    assert kept == {"a", "b", "c", "with space/d", "e", "f"}


def test_a_key_without_a_value_is_unset(conf: Path) -> None:
    optional = ("psk", "proxy", "ca_file")
    written(
        conf,
        dict.fromkeys(optional, ""),
        dict.fromkeys(
            ("description", "gpg_sign_key", "full_sync_interval", "keep_file", "keep_file_list", "apt_origin"), ""
        ),
    )
    config = load(conf)
    assert [getattr(config.packrat, name) for name in optional] == [None, None, None]
    assert config.mirror.description == "prod"
    assert config.mirror.gpg_sign_key is None
    assert config.mirror.full_sync_interval_s == 900
    assert config.mirror.keep_files == frozenset()
    assert config.mirror.apt_origin == "Packrat"


def test_required_keys_that_are_missing_or_empty_are_named(conf: Path) -> None:
    conf.write_text("[packrat]\nhost:\n")
    assert faults(conf) == [
        "[packrat] needs host: the packrat server's host name",
        "[packrat] needs name: this mirror's name on the packrat server",
        "[mirror] needs root_dir: the directory to build the repositories in",
        "[mirror] needs state_db: the path of the state database",
    ]


def test_a_file_that_is_something_else_has_no_fault_for_each_of_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "mirror.conf"
    path.write_text("[mirror]\n" + "wrong: x\n" * 60)
    with pytest.raises(ConfigError) as told:
        load(path)
    faults = str(told.value).splitlines()
    assert len(faults) == 51
    assert faults[49].startswith(f"{path}, line 51: [mirror] has no key 'wrong'")
    assert faults[50] == f"{path}: the lines after that were not read"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[mirror]\n[packrt]\n", "line 2: there is no section [packrt]; did you mean packrat?"),
        ("[mirorr]\nx: y\n", "line 1: there is no section [mirorr]; did you mean mirror?"),
        ("[zzz]\n", "line 1: there is no section [zzz]; it may be one of: mirror, packrat"),
        ("[packrat\n", "line 1: '[packrat' is not a section; it should be [packrat] or [mirror]"),
        ("# a\n\nhost: x\n", "line 3: this line stands before the first section; begin the file with [packrat]"),
        ("[packrat]\nhots: x\n", "line 2: [packrat] has no key 'hots'; did you mean host?"),
        ("[mirror]\n\nrootdir: /x\n", "line 3: [mirror] has no key 'rootdir'; did you mean root_dir?"),
        ("[mirror]\npsk: x\n", "line 2: [mirror] has no key 'psk'; it may be one of: "),
        ("[packrat]\nhost packrat\n", "line 2: this line is not `key: value`"),
        ("[packrat]\nhost: a\nname: b\nhost: c\n", "line 4: host was already given in line 2; remove one of the two"),
        ("[packrat]\nhost: a\n[packrat]\nhost: b\n", "line 4: host was already given in line 2; remove one of the two"),
        ("[packrat]\nname: a\f\u2028b\nhots: c\n", "line 3: [packrat] has no key 'hots'; did you mean host?"),
    ],
)
def test_a_wrong_line_is_reported_with_its_number_and_the_nearest_right_name(conf: Path, text: str, fault: str) -> None:
    conf.write_text(text)
    assert any(told.startswith(fault) for told in faults(conf))


def test_all_faults_are_reported_at_once(conf: Path) -> None:
    conf.write_text("[packrat]\nhots: a\nname\n[mirrror]\n[mirror]\nx=1\n")
    assert [told.partition(":")[0] for told in faults(conf)] == ["line 2", "line 3", "line 4", "line 6"]
    written(conf, {"nmae": "prod", "name": "a/b"}, {"root_dir": "www", "keepfile": "x"})
    assert [told.partition(":")[0] for told in faults(conf)] == ["line 5", "line 9", "line 3", "line 7"]
    # The missing name is the one that is misspelled.
    conf.write_text("[packrat]\nhost: a\nnmae: b\n[mirror]\nroot_dir: www\n")
    assert [told.partition(":")[0] for told in faults(conf)] == ["line 3", "line 5"]
    written(conf, {"name": "a/b"}, {"root_dir": "www", "keep_generations": "none", "keep_file": "x"})
    assert sorted(told.partition(":")[0] for told in faults(conf)) == ["line 3", "line 6", "line 8", "line 9"]


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("packrat", "name", "a b"),
        ("packrat", "name", "a" * 51),
        ("packrat", "psk", f"{SECRET}\x00"),
        ("packrat", "psk", SECRET * 101),
        ("packrat", "psk", f"{SECRET}\n  more"),
        ("packrat", "proxy", f"ftp://user:{SECRET}@proxy"),
        ("packrat", "proxy", f"http://user:{SECRET}@"),
        ("packrat", "proxy", f"http://user:{SECRET}@proxy:99999"),
        ("packrat", "no_proxy", "10.0.0.0/8, http://intern"),
        ("packrat", "no_proxy", "intern:8080"),
        ("packrat", "ca_file", "ca.pem"),
        ("packrat", "ca_file", "/etc/ssl/"),
        ("mirror", "description", "two\n lines"),
        ("mirror", "description", "bell \a"),
        ("mirror", "state_db", "/srv/mirror/state/"),
        ("mirror", "state_db", "state.db"),
        ("mirror", "gnupg_home", "~/.gnupg"),
        ("mirror", "full_sync_interval", "9"),
        ("mirror", "full_sync_interval", "1e3"),
        ("mirror", "full_sync_interval", "-900"),
        ("mirror", "full_sync_interval", "15m"),
        ("mirror", "full_sync_interval", "٩٠٠"),
        ("mirror", "full_sync_interval", "9" * 5000),
        ("mirror", "grace_period", "31622401"),
        ("mirror", "keep_generations", "1001"),
        ("mirror", "yum_sign_packages", "vendors"),
        ("mirror", "parallel_downloads", "65"),
        ("mirror", "apt_valid_for", "3599"),
        ("mirror", "keep_file", "robots.txt"),
        ("mirror", "keep_file_list", "/srv/mirror/www/a, b"),
        ("mirror", "public_url", "repo.example.com"),
        ("mirror", "public_url", "http://repo.example.com/?a=b"),
        ("mirror", "public_url", "http://repo.example.com/#top"),
        ("mirror", "docker_signature_api", "true"),
    ],
)
def test_a_wrong_value_is_reported_with_its_line_and_no_secret(conf: Path, section: str, key: str, value: str) -> None:
    written(conf, **{section: {key: value}})
    line = next(n for n, text in enumerate(conf.read_text().split("\n"), 1) if text.startswith(f"{key}:"))
    (fault,) = faults(conf)
    assert fault.startswith(f"line {line}: {key}: ")
    assert SECRET not in fault


def test_a_file_that_is_missing_unreadable_or_no_text_is_one_clear_sentence(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no configuration file .*missing\.conf; `packrat-agent init` makes one"):
        load(tmp_path / "missing.conf")
    with pytest.raises(ConfigError, match="can't read"):
        load(tmp_path)
    conf = tmp_path / "mirror.conf"
    conf.write_bytes(b"[packrat]\nhost: x\nname: caf\xe9\n")
    with pytest.raises(ConfigError, match="line 3: not UTF-8"):
        load(conf)
    conf.write_bytes(b"#" * (1 << 20) + b"#")
    with pytest.raises(ConfigError, match="larger than 1048576 bytes"):
        load(conf)


def test_the_printed_configuration_can_be_read_again(conf: Path, tmp_path: Path) -> None:
    config = load(
        written(
            conf,
            {"proxy": f"http://user:{SECRET}@proxy:3128/"},
            {"keep_file_list": "/srv/mirror/www/b,/srv/mirror/www/a", "grace_period": "5", "apt_label": "L"},
        )
    )
    text = describe(config)
    assert SECRET not in text
    assert SECRET not in repr(config)
    assert text.startswith(f"# in force, from {conf}\n[packrat]\nhost: http://packrat.example.com\nname: prod\n")
    assert "\npsk: ***\nproxy: http://***@proxy:3128/\n" in text
    assert "\nkeep_file_list: /srv/mirror/www/a, /srv/mirror/www/b\n" in text
    again = tmp_path / "again.conf"
    again.write_text(text)
    assert load(again).mirror == config.mirror
    assert describe(load(again)).splitlines()[1:] == text.splitlines()[1:]


def test_a_psk_that_is_not_set_is_not_masked_as_if_it_were(conf: Path) -> None:
    assert "\npsk:\n" in describe(load(written(conf, {"psk": ""})))


def test_keys_may_be_indented_as_the_original_agents_reader_takes_them(conf: Path) -> None:
    conf.write_text(
        "[packrat]\n  host: packrat.example.com\n  name: prod\n  psk: abc\n"
        "  [mirror]\n\troot_dir: /srv/www\n\tkeep_file_list:\n"
        "\t\t/srv/www/a\n\t  /srv/www/b\n\tstate_db: /srv/state/state.db\n"
    )
    config = load(conf)
    theirs = ConfigParser()
    theirs.read(conf)
    assert {section: set(theirs[section]) for section in theirs.sections()} == {
        "packrat": {"host", "name", "psk"},
        "mirror": {"root_dir", "keep_file_list", "state_db"},
    }
    assert (config.packrat.url, config.packrat.name) == ("http://packrat.example.com", "prod")
    assert config.mirror.keep_files == {Path("/srv/www/a"), Path("/srv/www/b")}
    assert config.mirror.state_db == Path("/srv/state/state.db")


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("full_sync_interval", '"900"', "leave them out"),
        ("root_dir", "'/srv/mirror/www'", "leave them out"),
        ("full_sync_interval", "900 # a quarter of an hour", "a line of its own"),
        ("grace_period", "60 ; short", "a line of its own"),
    ],
)
def test_a_wrong_value_that_is_right_in_another_syntax_is_told_so(conf: Path, key: str, value: str, said: str) -> None:
    [fault] = faults(written(conf, mirror={key: value}))
    assert fault.endswith(said)
