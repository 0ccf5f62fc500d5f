"""Explains why a request got no answer: what failed, where, and what to do next.

What to do is often to change a setting. Each client says what its user calls the settings (`SettingNames`).

Source: X509_STORE_CTX_get_error(3) for the codes of certificates.
"""

import errno
import ssl
from dataclasses import dataclass

import aiohttp
from yarl import URL

from packrat_core.cinp.bounded_head import MalformedBody
from packrat_core.errors import ServerUnavailable
from packrat_core.text import printable

_EXPIRED, _NOT_YET = 10, 9
_OTHER_NAME = (62, 64)
_NO_ISSUER = (20, 21)
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "UNEXPECTED_EOF")
_TOLD_LIMIT = 300


@dataclass(frozen=True, slots=True)
class SettingNames:
    """The names that users know a client's settings by; '' for one that they can't set.

    Attributes:
        origin: The address of the server.
        ca_file: The certificates of the authorities to trust.
        connect_timeout: How long to wait for a connection.
        stall_timeout: How long to wait for the next byte.
        proxy: The proxy to go through.
        no_proxy: What is reached without the proxy.
        name: The name to log in by.
        psk: The secret to log in with.
        login: Both of them.
    """

    origin: str
    ca_file: str
    connect_timeout: str = ""
    stall_timeout: str = ""
    proxy: str = ""
    no_proxy: str = ""
    name: str = ""
    psk: str = ""
    login: str = ""


MIRROR_CONF = SettingNames(
    "host in [packrat]",
    "ca_file",
    "connect_timeout",
    "stall_timeout",
    "proxy in [packrat]",
    "no_proxy",
    "name in [packrat]",
    "psk in [packrat]",
    "name and psk in [packrat]",
)
"""As mirror.conf has them."""

_ROUTES = {
    errno.EHOSTUNREACH: "there is no route to it",
    errno.ENETUNREACH: "there is no route to its network",
    errno.ETIMEDOUT: "nothing answers there",
}

NO_CLIENT_CERTIFICATE = "there is no setting for one; have the server let this client in without"


def explain(
    error: BaseException, what: str, origin: str, proxy: URL | None, names: SettingNames = MIRROR_CONF
) -> ServerUnavailable:
    """Explain why a request failed; a password in the address of the proxy is not shown.

    Args:
        error: What was raised.
        what: The request.
        origin: The server.
        proxy: What the request went through; None for nothing.
        names: What the settings are called.
    """
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return explain_proxy_status(error.status, proxy, names)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError):
        by_proxy = proxy is not None and (error.host, error.port) == (proxy.host, proxy.port)
        where = f"the proxy {proxy.origin()}" if proxy and by_proxy else origin
        return _explain_connecting(error, where, names.proxy if by_proxy else names.origin, names)
    way = way_through(proxy)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ServerUnavailable(
            f"{origin} can't be reached{way}: no answer in time when connecting",
            hint=(
                f"check whether the server is up and no firewall is in between"
                f"{_or_raise(f', check {names.origin}', names.connect_timeout)}"
            ),
        )
    if isinstance(error, TimeoutError):
        return ServerUnavailable(
            f"{what} at {origin}{way}: no answer in time",
            hint=f"find out what keeps the server busy{_or_raise('', names.stall_timeout)}",
        )
    if isinstance(error, aiohttp.ClientResponseError):
        return ServerUnavailable(
            f"{what} at {origin}{way}: the answer is not HTTP", hint=f"check scheme, name and port of {names.origin}"
        )
    why = why_broken(error)
    # In TLS 1.3, a server refuses a client that shows no certificate only after the handshake.
    if "CERTIFICATE_REQUIRED" in why:
        return ServerUnavailable(f"{what} at {origin}{way}: it wants a client certificate", hint=NO_CLIENT_CERTIFICATE)
    return ServerUnavailable(f"{what} at {origin}{way}: {why}", hint="look at the log of the server")


def explain_unresolved(
    host: str, origin: str, proxy: URL | None, names: SettingNames = MIRROR_CONF
) -> ServerUnavailable:
    """Explain that no name server has answered in time where a host is.

    Args:
        host: The name of the server, or of the proxy.
        origin: The server.
        proxy: What the request was to go through; None for nothing.
        names: What the settings are called.
    """
    where, setting = (f"the proxy {proxy.origin()}", names.proxy) if proxy is not None else (origin, names.origin)
    return ServerUnavailable(
        f"{where} can't be reached: the name {host} can't be resolved (no name server answers in time)",
        hint=f"check the name servers of this machine{_or_raise(f', check {setting}', names.connect_timeout)}",
    )


def way_through(proxy: URL | None) -> str:
    """Say which proxy a request took, if any; without its password."""
    return f" through the proxy {proxy.origin()}" if proxy is not None else ""


def explain_proxy_status(status: int, proxy: URL | None, names: SettingNames) -> ServerUnavailable:
    """Explain with what status a proxy refused.

    Args:
        status: The status.
        proxy: The proxy; None where the client goes through none, and one answers nevertheless.
        names: What the settings are called.
    """
    where = f"the proxy {proxy.origin()}" if proxy is not None else "the proxy"
    if status != 407:
        also = f", and {names.no_proxy}" if names.no_proxy else ""
        return ServerUnavailable(
            f"{where} refuses to open a connection ({status})",
            hint=f"check whether the server is up and the proxy allows it; check {names.proxy}{also}",
        )
    if proxy is not None and proxy.user:
        return ServerUnavailable(f"{where} refuses user and password (407)", hint=f"check them in {names.proxy}")
    hint = f"set {names.proxy} to http://user:password@host:port" if names.proxy else f"check {names.origin}"
    return ServerUnavailable(f"{where} wants a password (407)", hint=hint)


def why_broken(error: BaseException) -> str:
    """Tell why an answer that had begun did not come to its end."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, MalformedBody | aiohttp.ClientResponseError):
        return "the answer is not valid HTTP"
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError | EOFError):
        return "the connection was closed before the answer was complete"
    number = getattr(error, "errno", None)
    if number in (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED) or isinstance(error, ConnectionResetError):
        return "the connection was reset"
    if isinstance(error, aiohttp.ClientOSError) and number is None:
        # The connection was closed while the request was written; aiohttp doesn't say more.
        return "the connection was closed before the answer was complete"
    text = getattr(error, "strerror", None) or str(error)
    return clean(text) or type(error).__name__


def clean(text: str) -> str:
    """Make text from others one line that is safe to print at a terminal."""
    return printable(text[:_TOLD_LIMIT], " ").strip()


def _explain_connecting(
    error: aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError,
    where: str,
    setting: str,
    names: SettingNames,
) -> ServerUnavailable:
    """Explain why there is no connection.

    Args:
        error: What was raised.
        where: The server or the proxy.
        setting: The name of the setting that leads there.
        names: What the settings are called.
    """
    check = f"check {setting}"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _explain_certificate(error.certificate_error, where, setting, names.ca_file)
    cause = error.os_error
    unreachable = f"{where} can't be reached"
    # aiohttp derives its errors from each other, so the narrow ones come first.
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        why = clean(cause.strerror or str(cause))
        return ServerUnavailable(
            f"{unreachable}: the name {error.host} can't be resolved ({why})",
            hint=f"{check}, and the name servers of this machine",
        )
    # The TLS library's own words tell an operator little, so the two usual causes are named.
    if isinstance(cause, ssl.SSLError):
        return _explain_tls(cause, unreachable, check)
    if isinstance(cause, ConnectionRefusedError):
        what = "server" if setting == names.origin else "proxy"
        return ServerUnavailable(
            f"{unreachable}: nothing listens on port {error.port} (connection refused)",
            hint=f"see whether the {what} is up; if it is, {check}",
        )
    if cause.errno in _ROUTES:
        return ServerUnavailable(
            f"{unreachable}: {_ROUTES[cause.errno]}", hint=f"{check}, and the network of this machine"
        )
    return ServerUnavailable(f"{unreachable}: {why_broken(cause)}", hint=check)


def _explain_tls(cause: ssl.SSLError, unreachable: str, check: str) -> ServerUnavailable:
    reason = str(cause.reason or cause)
    if any(word in reason for word in _NO_TLS):
        return ServerUnavailable(
            f"{unreachable}: that port does not speak TLS", hint=f"if that server has plain HTTP only, {check}"
        )
    if "PROTOCOL" in reason:
        return ServerUnavailable(
            f"{unreachable}: it offers only versions of TLS that are not safe any more", hint="upgrade it"
        )
    if "HANDSHAKE_FAILURE" in reason:
        return ServerUnavailable(
            f"{unreachable}: it ends the TLS handshake ({clean(reason)})",
            hint=f"if it wants a client certificate: {NO_CLIENT_CERTIFICATE}; else look at its log",
        )
    return ServerUnavailable(
        f"{unreachable}: TLS failed ({clean(reason)})", hint=f"{check}, and look at the log of the server"
    )


def _explain_certificate(cause: Exception, where: str, setting: str, ca_file: str) -> ServerUnavailable:
    """Explain why a certificate is not trusted.

    Args:
        cause: What the TLS library raised.
        where: The server or the proxy.
        setting: The name of the setting that leads there.
        ca_file: The name of the setting that says which authorities to trust.
    """
    code = getattr(cause, "verify_code", None)
    message = clean(str(getattr(cause, "verify_message", "") or cause)).rstrip(".")
    text = f"the certificate of {where} is not trusted"
    if code == _EXPIRED:
        return ServerUnavailable(f"{text}: it has expired", hint="renew it there, and check the clock of this machine")
    if code == _NOT_YET:
        return ServerUnavailable(
            f"{text}: it is not valid yet", hint="check the clock of this machine, then the certificate"
        )
    if code in _OTHER_NAME:
        return ServerUnavailable(
            f"{text}: it is for another name ({message})", hint=f"set {setting} to a name that it is for"
        )
    hint = f"set {ca_file} to the certificate of the CA that issued it"
    if code in _NO_ISSUER:
        hint += "; if the CA is known here, have the server send the certificates of the CAs in between, too"
    return ServerUnavailable(f"{text} ({message})", hint=hint)


def _or_raise(check: str, timeout: str) -> str:
    """End a hint that may name a limit of time: `, check host, or raise connect_timeout`."""
    return f"{check}, or raise {timeout}" if timeout else check
