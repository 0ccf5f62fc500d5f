"""Whatever a mirror.conf holds, it is understood or refused with a configuration error."""

from pathlib import Path

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from yarl import URL

from agent.config.conf_file import written
from packrat_agent.config.checks import warn
from packrat_agent.config.describe import describe
from packrat_agent.config.load import load
from packrat_agent.config.settings import Config
from packrat_core.errors import ConfigError

_keys = st.sampled_from(
    [
        *("host", "name", "psk", "proxy", "ca_file", "root_dir", "state_db", "description", "gpg_sign_key"),
        *("gnupg_home", "passphrase_file", "full_sync_interval", "keep_file", "keep_file_list", "grace_period"),
        *("index_grace_period",),
        *("keep_generations", "apt_valid_for", "public_url", "confirm_release_change", "hots", " keep_file"),
    ]
)

_values = st.one_of(
    st.text(max_size=20),
    st.sampled_from(["/srv/a", "/srv/b/c", "/", "5", "900", "http://x", "https://[::1]:1", "//", "a,b\n /c", "\n /d"]),
    st.from_regex(r"(https?://)?[a-z@:\[\]%./\\0-9]{0,12}"),
    st.integers().map(str),
)

_lines = st.one_of(
    st.sampled_from(["[packrat]", "[mirror]", "[packrat] # x", "[", "[]", "", " ", "\t/x", "# x", ";"]),
    st.tuples(_keys, st.sampled_from([":", "=", " = ", ": ", ""]), _values).map("".join),
    st.text(max_size=10),
)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(_lines, max_size=12).map("\n".join), st.booleans())
@example("host: x\n", True)
def test_any_text_gives_a_configuration_or_a_configuration_error(conf: Path, text: str, completed: bool) -> None:
    if completed:
        text = f"[packrat]\nhost: h\nname: n\n[mirror]\nroot_dir: /srv/r\nstate_db: /srv/s/s\n{text}"
    conf.write_bytes(text.encode("utf-8", "surrogatepass"))
    assert_config_or_error(conf)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_give_a_configuration_or_a_configuration_error(conf: Path, data: bytes) -> None:
    conf.write_bytes(data)
    assert_config_or_error(conf)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_values)
@example("http://a%zz")
@example("http://a..b")
def test_a_host_that_is_accepted_can_be_asked(conf: Path, host: str) -> None:
    written(conf)
    conf.write_bytes(conf.read_bytes().replace(b"packrat.example.com", host.encode("utf-8", "surrogatepass")))
    assert_config_or_error(conf)


def assert_config_or_error(conf: Path) -> None:
    try:
        config = load(conf)
    except ConfigError as error:
        assert str(error)
        return
    assert isinstance(config, Config)
    assert config.mirror.root_dir.is_absolute()
    assert config.mirror.root_dir != Path("/")
    assert URL(config.packrat.url + "/x", encoded=True).host
    describe(config).encode()
    warn(config)
