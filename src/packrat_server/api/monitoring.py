"""Answers /health and /metrics, for monitoring.

1. /health is open to everybody: 200 and `ok` where the database answers and takes writes, else 503, also where it
   doesn't answer for some seconds. It names nothing.
2. /metrics names mirrors, so it is answered to the addresses of `metrics_from` alone. A request through a proxy that
   is not trusted is refused, even if the proxy's own address is among them: it may come from anywhere. A database that
   doesn't answer for some seconds counts as away.

Source: Prometheus, "Exposition formats".
"""

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

from sqlalchemy import Connection, Engine, func, select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from packrat_core.aio.addresses import name_network
from packrat_core.errors import PackratError
from packrat_server.api.context import ServerContext
from packrat_server.api.messages import CinpError
from packrat_server.api.request_threads import run_to_end
from packrat_server.store.database import reading
from packrat_server.store.tables import events, mirrors, package_files, sessions, uploads
from packrat_server.store.writable import check_writable

T = TypeVar("T")

_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_HEALTH_LIMIT_S = 5.0
"""A database that works answers in milliseconds; a load balancer waits for some seconds."""
_METRICS_LIMIT_S = 8.0
"""Counting many records takes a while; Prometheus waits for ten seconds unless it is told otherwise."""
_HUNG_LOOKS = 2
_COUNTED = {"package_files": package_files, "uploads": uploads, "sessions": sessions}


class SharedLook(Generic[T]):
    """Looks at the database; all who ask meanwhile share one look, and so one thread.

    A session of the database may hang while others work. So a look that takes too long is left behind, _HUNG_LOOKS at
    most, and the next who asks has another one begin.
    """

    def __init__(self, look: Callable[[], T], limit_s: float) -> None:
        self._look = look
        self._limit_s = limit_s
        self._running: asyncio.Task[T] | None = None
        self._hung: set[asyncio.Task[T]] = set()

    async def take(self) -> T | None:
        """Give what the look finds; None if that takes too long."""
        if self._running is None or self._running.done():
            self._running = asyncio.create_task(run_to_end(self._look))
        running = self._running
        done, _ = await asyncio.wait({running}, timeout=self._limit_s)
        if not done and running is self._running and len(self._hung) < _HUNG_LOOKS:
            self._running = None
            self._hung.add(running)
            running.add_done_callback(self._forget)
        return next((task.result() for task in done), None)

    def _forget(self, ended: "asyncio.Task[T]") -> None:
        self._hung.discard(ended)
        # Nobody waits for it any more; asyncio would print a traceback of an error that nobody has retrieved.
        if not ended.cancelled():
            ended.exception()


class Monitoring:
    """Answers both, for one server."""

    def __init__(self, context: ServerContext) -> None:
        self._context = context
        self._health = SharedLook(partial(_is_usable, context.engine), _HEALTH_LIMIT_S)
        self._metrics = SharedLook(partial(_describe_database, context), _METRICS_LIMIT_S)

    async def serve_health(self, address: str) -> Response:
        """Tell whether the database answers, and takes writes: without them nobody can log in.

        Raises:
            CinpError: 429, if too many from this address are answered.
        """
        with self._context.admission.monitoring(address):
            is_usable = await self._health.take()
        if is_usable:
            return PlainTextResponse("ok\n")
        return PlainTextResponse("the database can't be used just now\n", 503)

    async def serve_metrics(self, request: Request, address: str, statuses: Counter[int]) -> Response:
        """Give the metrics to those who may see them.

        Args:
            request: The request.
            address: The exact address that it comes from.
            statuses: Status → number of answers so far.

        Raises:
            CinpError: 403, for everybody else.
        """
        context = self._context
        peer = request.scope["state"]["peer"].host
        is_hidden = "x-forwarded-for" in request.headers and not context.options.trusted_proxies.has(peer)
        if is_hidden or not context.options.metrics_from.has(address):
            raise CinpError(403, "Not Authorized")
        with context.admission.monitoring(name_network(address)):
            lines = await self._metrics.take() or ["packrat_server_database_up 0"]
        # In a thread of the files: a network filesystem that hangs does not even tell its size.
        lines = [*lines, *await run_in_threadpool(_describe_disk, context.data_dir)]
        lines += _describe_process(context, statuses)
        return Response("\n".join(lines) + "\n", media_type=_TYPE)


def _is_usable(engine: Engine) -> bool:
    try:
        with reading(engine) as connection:
            connection.execute(select(1)).all()
        check_writable(engine)
    except PackratError:
        return False
    return True


def _describe_database(context: ServerContext) -> list[str] | None:
    """Describe the database; None if it can't be used."""
    try:
        with reading(context.engine) as connection:
            lines = list(_read(connection))
    except PackratError:
        return None
    return [*lines, *_describe_writing(context)]


def _describe_writing(context: ServerContext) -> Iterator[str]:
    try:
        check_writable(context.engine)
        is_writable = 1
    except PackratError:
        is_writable = 0
    yield from _head("database_writable", "gauge", "Whether the database took the last write.")
    yield f"packrat_server_database_writable {is_writable}"


def _describe_disk(data_dir: Path) -> list[str]:
    try:
        sizes = os.statvfs(data_dir)
    except OSError:
        return []
    return [
        *_head("disk_size_bytes", "gauge", "Size of the filesystem of the data directory."),
        f"packrat_server_disk_size_bytes {sizes.f_blocks * sizes.f_frsize}",
        *_head("disk_free_bytes", "gauge", "What is free there for the server."),
        f"packrat_server_disk_free_bytes {sizes.f_bavail * sizes.f_frsize}",
    ]


def _describe_process(context: ServerContext, statuses: Counter[int]) -> Iterator[str]:
    yield from _head("requests_total", "counter", "Answers of this process, by status.")
    for status, count in sorted(statuses.items()):
        yield f'packrat_server_requests_total{{status="{status}"}} {count}'
    yield from _head("waiting", "gauge", "Requests that wait for a change.")
    yield f"packrat_server_waiting {context.notifier.waiting}"


def _read(connection: Connection) -> Iterator[str]:
    yield from _head("database_up", "gauge", "Whether the database answers.")
    yield "packrat_server_database_up 1"
    for name, table in _COUNTED.items():
        yield from _head(name, "gauge", "Number of records.")
        yield f"packrat_server_{name} {connection.execute(select(func.count()).select_from(table)).scalar()}"
    yield from _head("events", "counter", "Number of the last event.")
    yield f"packrat_server_events {connection.execute(select(func.max(events.c.id))).scalar() or 0}"
    yield from _head("mirror_last_heartbeat_timestamp_seconds", "gauge", "When a mirror was last heard of; 0: never.")
    for row in connection.execute(select(mirrors.c.name, mirrors.c.last_heartbeat).order_by(mirrors.c.name)).all():
        at = 0.0 if row.last_heartbeat is None else row.last_heartbeat.replace(tzinfo=UTC).timestamp()
        yield f'packrat_server_mirror_last_heartbeat_timestamp_seconds{{mirror="{row.name}"}} {at:.3f}'


def _head(name: str, kind: str, text: str) -> Iterator[str]:
    yield f"# HELP packrat_server_{name} {text}"
    yield f"# TYPE packrat_server_{name} {kind}"
