"""Explains why a request got no answer: what failed, where, and what to do next.

Source: X509_STORE_CTX_get_error(3) for the codes of certificates.
"""

import errno
import ssl

import aiohttp
from yarl import URL

from packrat_core.errors import ServerUnavailable
from packrat_core.text import printable

_EXPIRED, _NOT_YET = 10, 9
_OTHER_NAME = (62, 64)
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "UNEXPECTED_EOF")
_TOLD_LIMIT = 300

_ROUTES = {
    errno.EHOSTUNREACH: "there is no route to it",
    errno.ENETUNREACH: "there is no route to its network",
    errno.ETIMEDOUT: "nothing answers there",
}


def explain(error: BaseException, what: str, origin: str, proxy: URL | None) -> ServerUnavailable:
    """Explain why a request (`what`) to `origin` failed; a password in the address of the proxy is not shown."""
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return explain_proxy_status(error.status, proxy)
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError):
        by_proxy = proxy is not None and (error.host, error.port) == (proxy.host, proxy.port)
        where, setting = (f"the proxy {proxy.origin()}", "proxy") if proxy and by_proxy else (origin, "host")
        return _explain_connecting(error, where, setting)
    way = way_through(proxy)
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return ServerUnavailable(
            f"{origin} can't be reached{way}: no answer in time when connecting",
            hint=(
                "look whether the server is up and "
                "no firewall is in between, check host in [packrat], or raise connect_timeout"
            ),
        )
    if isinstance(error, TimeoutError):
        return ServerUnavailable(
            f"{what} at {origin}{way}: no answer in time",
            hint="look what keeps the server busy, or raise stall_timeout",
        )
    if isinstance(error, aiohttp.ClientResponseError):
        return ServerUnavailable(
            f"{what} at {origin}{way}: the answer is not HTTP", hint="check scheme, name and port of host in [packrat]"
        )
    return ServerUnavailable(f"{what} at {origin}{way}: {why_broken(error)}", hint="look at the log of the server")


def way_through(proxy: URL | None) -> str:
    """Say which proxy a request took, if any; without its password."""
    return f" through the proxy {proxy.origin()}" if proxy is not None else ""


def explain_proxy_status(status: int, proxy: URL | None) -> ServerUnavailable:
    """Explain with what status a proxy refused."""
    where = f"the proxy {proxy.origin()}" if proxy is not None else "the proxy"
    if status != 407:
        return ServerUnavailable(
            f"{where} refuses to open a connection ({status})",
            hint="look whether the server is up and the proxy allows it, and check proxy and no_proxy in [packrat]",
        )
    if proxy is not None and proxy.user:
        return ServerUnavailable(f"{where} refuses user and password (407)", hint="check them in proxy in [packrat]")
    return ServerUnavailable(f"{where} wants a password (407)", hint="set proxy to http://user:password@host:port")


def why_broken(error: BaseException) -> str:
    """Tell why an answer that had begun did not come to its end."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError | EOFError):
        return "the connection was closed before the answer was complete"
    if isinstance(error, aiohttp.ClientResponseError):
        return "the answer is not valid HTTP"
    number = getattr(error, "errno", None)
    if number in (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED) or isinstance(error, ConnectionResetError):
        return "the connection was reset"
    if isinstance(error, aiohttp.ClientOSError) and number is None:
        # The connection was closed while the request was written; aiohttp doesn't say more.
        return "the connection was closed before the answer was complete"
    text = getattr(error, "strerror", None) or str(error)
    return clean(text) or type(error).__name__


def clean(text: str) -> str:
    """Make a line for a terminal of what others wrote."""
    return printable(text[:_TOLD_LIMIT], " ").strip()


def _explain_connecting(
    error: aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError, where: str, setting: str
) -> ServerUnavailable:
    check = f"check {setting} in [packrat]"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _explain_certificate(error.certificate_error, where, setting)
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
        up = "is the proxy up" if setting == "proxy" else "is the server up"
        return ServerUnavailable(
            f"{unreachable}: nothing listens on port {error.port} (connection refused)", hint=f"{up}? Else {check}"
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
            f"{unreachable}: no TLS is spoken there", hint=f"if that server has plain HTTP only, {check}"
        )
    if "PROTOCOL" in reason:
        return ServerUnavailable(
            f"{unreachable}: it offers only versions of TLS that are not safe any more", hint="upgrade it"
        )
    return ServerUnavailable(
        f"{unreachable}: TLS failed ({clean(reason)})", hint=f"{check}, and look at the log of the server"
    )


def _explain_certificate(cause: Exception, where: str, setting: str) -> ServerUnavailable:
    code = getattr(cause, "verify_code", None)
    message = clean(str(getattr(cause, "verify_message", "") or cause)).rstrip(".")
    text = f"the certificate of {where} is not trusted"
    if code == _EXPIRED:
        return ServerUnavailable(
            f"{text}: it has expired", hint="renew it there, and look at the clock of this machine"
        )
    if code == _NOT_YET:
        return ServerUnavailable(
            f"{text}: it is not valid yet", hint="look at the clock of this machine, then at the certificate"
        )
    if code in _OTHER_NAME:
        return ServerUnavailable(
            f"{text}: it is for another name ({message})", hint=f"set {setting} in [packrat] to a name that it is for"
        )
    return ServerUnavailable(f"{text} ({message})", hint="set ca_file to the certificate of the CA that issued it")
