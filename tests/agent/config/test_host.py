"""host: what names a server in mirror.conf, and what is refused before anybody is asked."""

from pathlib import Path

import pytest

from agent.config.conf_file import SECRET, faults, written
from packrat_agent.config.load import load


@pytest.mark.parametrize(
    ("given_as", "url"),
    [
        ("packrat", "http://packrat"),
        ("packrat:8888", "http://packrat:8888"),
        ("packrat.example.com/", "http://packrat.example.com"),
        ("http://packrat", "http://packrat"),
        ("https://packrat", "https://packrat"),
        ("HTTPS://Packrat:443", "https://Packrat:443"),
        ("192.0.2.7", "http://192.0.2.7"),
        ("[2001:db8::1]:8888", "http://[2001:db8::1]:8888"),
    ],
)
def test_a_bare_host_means_http(conf: Path, given_as: str, url: str) -> None:
    assert load(written(conf, {"host": given_as})).packrat.url == url


@pytest.mark.parametrize(
    "host",
    [
        "http://packrat/api/v2/",
        "packrat/api",
        "packrat?x",
        "packrat#x",
        "ftp://packrat",
        "http://",
        "http:///x",
        ":8888",
        "packrat:port",
        "packrat:0",
        "packrat:70000",
        "two words",
        "[::1",
        "packrat\\x",
        "pack%zzrat",
        "a..b",
        "a" * 300,
        "http://@packrat",
        f"http://user:{SECRET}@packrat",
    ],
)
def test_a_malformed_host_is_refused(conf: Path, host: str) -> None:
    (fault,) = faults(written(conf, {"host": host}))
    assert fault.startswith("line 2: host: ")
    assert SECRET not in fault


@pytest.mark.parametrize("word", ["none", "None", "off", "direct", "-"])
def test_a_word_for_no_proxy_is_refused_with_what_to_do(conf: Path, word: str) -> None:
    (fault,) = faults(written(conf, {"proxy": word}))
    assert f": proxy: {word} would be a proxy of that name; leave this out to use no proxy" in fault
    assert load(written(conf, {"proxy": f"http://{word}:3128"})).packrat.proxy == f"http://{word}:3128"


@pytest.mark.parametrize(("section", "key"), [("packrat", "host"), ("packrat", "proxy"), ("mirror", "public_url")])
def test_an_international_name_is_refused_with_what_to_write(conf: Path, section: str, key: str) -> None:
    given = {section: {key: "http://päckrat.example"}}
    (fault,) = faults(written(conf, given.get("packrat"), given.get("mirror")))
    assert fault.endswith("write xn--pckrat-bua.example")
