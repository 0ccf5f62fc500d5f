"""Which hosts are reached without the proxy, how the rate is kept, and what the configuration takes for either."""

import asyncio
import ipaddress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.config.load import load
from packrat_agent.config.settings import Config
from packrat_core.cinp.rate_limit import RateLimit
from packrat_core.cinp.route import bypasses
from packrat_core.errors import ConfigError
from support.mirror_conf import write_mirror_conf


@pytest.mark.parametrize(
    ("host", "entry", "direct"),
    [
        ("packrat.example.com", "example.com", True),
        ("packrat.example.com", ".example.com", True),
        ("example.com", ".example.com", True),
        ("PACKRAT.Example.com", "packrat.example.COM", True),
        ("packrat.example.com.", "example.com", True),
        ("badexample.com", "example.com", False),
        ("example.com", "packrat.example.com", False),
        ("example.com", "*", True),
        ("10.1.2.3", "10.0.0.0/8", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("1.10.1.2", "10.1.2", False),
        ("::1", "::1", True),
        ("[fd00::5]", "fd00::/8", True),
        ("fd00::5", "[fd00::5]", True),
        ("::ffff:10.1.2.3", "fd00::/8", False),
        ("10.example.com", "10.0.0.0/8", False),
    ],
)
def test_a_host_is_reached_directly_where_no_proxy_names_it(host: str, entry: str, direct: bool) -> None:
    assert bypasses(host, ["other.example.org", entry]) == direct
    assert not bypasses(host, [])


@given(st.ip_addresses(), st.ip_addresses(), st.integers(0, 32))
def test_an_address_matches_the_networks_that_it_is_in(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
    other: ipaddress.IPv4Address | ipaddress.IPv6Address,
    bits: int,
) -> None:
    network = ipaddress.ip_network(f"{other}/{bits}", strict=False)
    assert bypasses(str(address), [str(network)]) == (address.version == other.version and address in network)


@given(st.text(), st.lists(st.text(max_size=20)))
def test_bypassing_a_proxy_takes_any_text(host: str, entries: list[str]) -> None:
    assert bypasses(host, entries) in (True, False)


def test_a_rate_is_kept_by_all_together() -> None:
    async def work() -> float:
        rate = RateLimit(100_000)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.gather(*(rate.take(10_000) for _ in range(10)))
        return loop.time() - began

    # 100,000 bytes, of which a quarter of a second's worth may come at once.
    assert asyncio.run(work()) >= 0.74


def with_lines(directory: Path, packrat: str = "", mirror: str = "", host: str = "packrat.example.com") -> Config:
    return load(write_mirror_conf(directory, host, packrat=packrat, mirror=mirror))


@pytest.mark.parametrize(("text", "rate"), [("1k", 1000), ("500k", 500_000), ("20M", 20_000_000), ("12345", 12345)])
def test_a_rate_is_read_with_its_unit(tmp_path: Path, text: str, rate: int) -> None:
    assert with_lines(tmp_path, mirror=f"download_rate_limit: {text}").mirror.download_bytes_per_s == rate


@pytest.mark.parametrize("text", ["0", "999", "fast", "1.5M", "-5", "20 M", "9999999M", "1K"])
def test_malformed_rates_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"download_rate_limit.*bytes a second"):
        with_lines(tmp_path, mirror=f"download_rate_limit: {text}")


def test_each_host_without_the_proxy_is_read(tmp_path: Path) -> None:
    read = with_lines(tmp_path, "no_proxy: example.com, .corp\n  10.0.0.0/8, [::1], *")
    assert read.packrat.no_proxy == {"example.com", ".corp", "10.0.0.0/8", "[::1]", "*"}


@pytest.mark.parametrize(
    "text", ["exa mple.com", "http://example.com", "example.com:80", "10.0.0.0/99", "*.example.com"]
)
def test_malformed_no_proxy_entries_are_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"no_proxy: .* is not a host"):
        with_lines(tmp_path, f"no_proxy: {text}")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("2001:db8::1", "http://[2001:db8::1]"),
        ("[2001:db8::1]:8888", "http://[2001:db8::1]:8888"),
        ("https://[::1]", "https://[::1]"),
        ("packrat", "http://packrat"),
    ],
)
def test_the_host_may_be_an_ipv6_address(tmp_path: Path, host: str, url: str) -> None:
    assert with_lines(tmp_path, host=host).packrat.url == url
