"""Tells systemd how the service stands; where systemd did not start it, nothing is sent.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

import os
import socket
import time
from contextlib import suppress

_SEND_TIMEOUT_S = 1.0


def ready(status: str = "") -> bool:
    """Say that the start, or the reload that `reloading` began, is over."""
    return _tell("READY=1", *_status(status))


def status(text: str) -> bool:
    """Set the line that `systemctl status` shows."""
    return _tell(*_status(text))


def still_starting(within_s: float) -> bool:
    """Say that the start takes longer: the next message comes within that time."""
    return _tell(f"EXTEND_TIMEOUT_USEC={within_s * 1_000_000:.0f}")


def reloading() -> bool:
    """Say that the configuration is being read again; `ready` ends it."""
    return _tell("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")


def stopping() -> bool:
    """Say that the service ends."""
    return _tell("STOPPING=1")


def watchdog() -> bool:
    """Say that the service is alive."""
    return _tell("WATCHDOG=1")


def watchdog_interval_s() -> float | None:
    """Say how often to call `watchdog`, half of what systemd allows; None where it does not watch this process."""
    try:
        limit_us = int(os.environ.get("WATCHDOG_USEC", ""))
        watched = int(os.environ.get("WATCHDOG_PID", os.getpid()))
    except ValueError:
        return None
    return limit_us / 2_000_000 if limit_us > 0 and watched == os.getpid() else None


def _status(text: str) -> tuple[str, ...]:
    return (f"STATUS={' '.join(text.split())}",) if text else ()


def _tell(*lines: str) -> bool:
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not lines or address[:1] not in ("/", "@"):
        return False
    if address.startswith("@"):
        # A name in the abstract namespace begins with a zero byte.
        address = "\0" + address[1:]
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as to_systemd:
        to_systemd.settimeout(_SEND_TIMEOUT_S)
        to_systemd.connect(address)
        to_systemd.send("\n".join(lines).encode())
        return True
    return False
