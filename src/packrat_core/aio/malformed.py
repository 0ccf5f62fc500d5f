"""Logs that a client sent what is not HTTP: HTTP libraries say it in words of their own, with the bytes that came."""

import structlog

log = structlog.get_logger()


def log_malformed(address: str | None) -> None:
    """Write the line, without a byte of what the client sent; None where the address is not known."""
    log.info("malformed", address=address, text="a client sent what is not an HTTP request; it was refused")
