"""Gives a Status to Prometheus: in a textfile, and on a port of this machine.

Source: Prometheus exposition formats, text format 0.0.4.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import web
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, Metric, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from packrat_agent.config.rotation_phase import Phase
from packrat_agent.config.settings import Config
from packrat_agent.status.reading import read_status
from packrat_agent.status.values import AgentState, Status
from packrat_core import __version__
from packrat_core.aio.serve_http import serving_http
from packrat_core.errors import PackratError
from packrat_core.listen import parse_listen

_CONNECTIONS_LIMIT = 32
"""The agent needs its descriptors for other things."""
_LISTEN_AGAIN_S = 10.0

Tell = Callable[[str | None], None]
"""Hears why the figures can't be had, or that they can (None)."""


def collect(config: Config) -> str | None:
    """Write the current figures to metrics_file, if it is set; return what prevents that.

    This reads every row of the wanted files (0.1 s for 200,000 of them), so call it in a thread.
    """
    path = config.mirror.metrics_file
    if path is None:
        return None
    try:
        _replace(path, render_metrics(read_status(config)))
    except Exception as error:
        told = _explain(error)
        return told if isinstance(error, PackratError) else f"metrics_file {path} can't be written: {told}"
    return None


async def keep_metrics_served(config: Config, tell: Tell, again_s: float = _LISTEN_AGAIN_S) -> None:
    """Serve /metrics until it is cancelled; a port that can't be had is told, and tried again.

    A mirror must not stand still because something else took the port first, such as after the machine started.

    Args:
        config: The configuration.
        tell: Hears whether the port can be had.
        again_s: Seconds before a port that can't be had is tried again.
    """
    while config.mirror.metrics_listen is not None:
        try:
            async with serving_metrics(config):
                tell(None)
                await asyncio.Event().wait()
        except Exception as error:
            told = _explain(error)
            tell(told if isinstance(error, PackratError) else f"metrics_listen can't be served: {told}")
        await asyncio.sleep(again_s)


def _explain(error: Exception) -> str:
    """Say what is wrong; whatever it is, the mirror goes on, and the figures are tried again."""
    if isinstance(error, PackratError):
        return str(error)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"internal error, please report it: {error!r}"


@asynccontextmanager
async def serving_metrics(config: Config) -> AsyncIterator[int | None]:
    """Serve /metrics on metrics_listen while the context lasts; gives the port, or None if it is not set.

    Raises:
        ConfigError: The port can't be listened on.
    """
    if config.mirror.metrics_listen is None:
        yield None
        return
    host, port = parse_listen(config.mirror.metrics_listen, "metrics_listen")
    reading = asyncio.Lock()

    async def answer(_request: web.Request) -> web.Response:
        async with reading:
            try:
                text = render_metrics(await asyncio.to_thread(read_status, config))
            except PackratError as error:
                raise web.HTTPServiceUnavailable(text=f"{error}\n") from None
        return web.Response(body=text, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})

    application = web.Application()
    application.router.add_get("/metrics", answer)
    async with serving_http(application, host, port, "metrics_listen", _CONNECTIONS_LIMIT) as bound:
        yield bound


def render_metrics(status: Status) -> bytes:
    """Write a Status in the text format, without the figures that are not known."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(status))
    return generate_latest(registry)


def _replace(path: Path, text: bytes) -> None:
    spare = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        spare.write_bytes(text)
        spare.chmod(0o644)
        spare.replace(path)
    finally:
        spare.unlink(missing_ok=True)


class _Families(Collector):
    """One gauge a figure, all of one Status."""

    def __init__(self, status: Status) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        """Give all figures."""
        yield from _of_agent(self._status)
        yield from _of_full_syncs(self._status)
        yield from _of_repos(self._status)
        yield from _of_key_and_disks(self._status)


def _of_agent(status: Status) -> Iterator[Metric]:
    info = GaugeMetricFamily(
        "packrat_agent_info", "Always 1; the labels say which agent this is.", labels=("version", "mirror", "server")
    )
    info.add_metric((__version__, status.mirror, status.server.url), 1)
    yield info
    running = status.agent.state is AgentState.RUNNING
    yield _gauge("running", "1 while `packrat-agent run` is at work.", float(running))
    yield from _known("started_timestamp_seconds", "When `packrat-agent run` started.", status.agent.started)
    yield _gauge("failing", "1 while the agent can't work.", float(bool(status.failure or status.root_lost)))
    yield _gauge(
        "configuration_refused",
        "1 while the configuration on disk can't be used.",
        float(status.config_error is not None),
    )
    beside = "Number of things that fail beside the repositories, such as the landing page."
    yield _gauge("side_faults", beside, len(status.side_faults))
    yield _gauge("status_timestamp_seconds", "When these figures were read.", status.at)
    yield from _known("server_up", "1 while the packrat server answers.", status.server.up)
    yield from _known("server_since_timestamp_seconds", "When server_up last changed.", status.server.since)
    refused = float(status.server.login_refused is not None)
    yield _gauge("login_refused", "1 while the server refuses the psk, and is read without a login.", refused)
    unencrypted = float(status.server.plain_http is not None)
    yield _gauge("plain_http", "1 if the server is reached by plain http, and is not on this machine.", unencrypted)


def _of_full_syncs(status: Status) -> Iterator[Metric]:
    if (last := status.full_pass) is not None:
        yield from _known("full_pass_ended_timestamp_seconds", "When the last full sync ended.", last.ended)
        yield from _known("full_pass_duration_seconds", "How long the last full sync took.", last.seconds)
        yield from _known("full_pass_files", "Files that the last full sync found right.", last.files)
        yield from _known("full_pass_bytes", "Bytes that the last full sync read on disk.", last.bytes)
        yield from _known(
            "full_pass_damaged_files", "Files that the last full sync found changed or missing.", last.damaged
        )
        yield from _known(
            "full_pass_foreign_files", "Files that the last full sync found that are not the mirror's.", last.foreign
        )
        yield from _known("full_pass_complete", "1 if the last full sync left nothing out.", last.complete)
    if (content := status.scan_round) is not None:
        text = "When the last read of the content of all files ended."
        yield from _known("content_read_timestamp_seconds", text, content.ended)
    yield _gauge("scan_running", "1 while a full sync reads the disk.", float(status.scan is not None))
    if (scan := status.scan) is not None:
        yield from _known("scan_files", "Files that the running full sync has read.", scan.files)
        yield from _known("scan_bytes", "Bytes that the running full sync has read.", scan.bytes)
        yield from _known("scan_expected_files", "Files that the running full sync is going to read.", scan.of_files)


def _of_repos(status: Status) -> Iterator[Metric]:
    files = _family("repo_files", "Package files that the server names, by state.", "repo", "kind", "state")
    published = _family("repo_published_timestamp_seconds", "When the repository last changed.", "repo")
    checked = _family(
        "repo_checked_timestamp_seconds", "When the repository was last compared with the server.", "repo"
    )
    lag = _family("repo_lag_seconds", "Age of the oldest change that is known and not published.", "repo")
    held = _family("repo_held", "1 while a change is held back until it is confirmed.", "repo")
    ahead = _family(
        "repo_dated_ahead", "1 if clients refuse the repository, since it is dated ahead of the clock.", "repo"
    )
    failed = _family("repo_failed", "1 if the repository can't be built.", "repo")
    generations = _family("repo_old_generations", "Earlier publications whose indexes are on disk.", "repo")
    old_bytes = _family("repo_old_index_bytes", "Bytes that earlier indexes hold on disk.", "repo")
    for repo in status.repos:
        for state in ("live", "pending", "refused"):
            files.add_metric((repo.name, repo.kind, state), getattr(repo, state))
        for family, value in (
            (published, repo.published),
            (checked, repo.checked),
            (lag, repo.lag_s),
            (held, float(repo.held is not None)),
            (ahead, float(repo.ahead is not None)),
            (failed, float(repo.error is not None)),
            (generations, repo.old_generations),
            (old_bytes, repo.old_index_bytes),
        ):
            if value is not None:
                family.add_metric((repo.name,), value)
    yield from (files, published, checked, lag, held, ahead, failed, generations, old_bytes)
    yield _gauge("left_out_files", "Files that were refused or rejected, or failed so far.", status.troubles_total)
    yield _gauge("rejected_records", "Records of the mirror itself that can't be used.", len(status.rejected))


def _of_key_and_disks(status: Status) -> Iterator[Metric]:
    if status.key is not None:
        signing = float(any(key.fingerprint is not None for _, key in status.named_keys()))
        yield _gauge("signing", "1 if the repositories are signed.", signing)
        yield from _known("key_expires_timestamp_seconds", "When the signing key expires.", status.key.expires)
        stale = float(any(key.stale is not None for _, key in status.named_keys()))
        yield _gauge("kept_key_stale", "1 if a kept public key is missing or not the signing key's.", stale)
    expiry = _family(
        "section_key_expires_timestamp_seconds", "When the key of a section of mirror.conf expires.", "section"
    )
    for section_key in status.section_keys:
        if section_key.key.expires is not None:
            expiry.add_metric((section_key.section,), section_key.key.expires)
    yield expiry
    phases = [phase.value for phase in Phase]
    rotation = _family("key_rotation_phase", "1 offered, 2 the new key signs, 3 the former no longer signs.", "section")
    for section, key in [
        ("mirror", status.key),
        *((section_key.section, section_key.key) for section_key in status.section_keys),
    ]:
        if key is not None and key.phase in phases:
            rotation.add_metric((section,), 1 + phases.index(key.phase))
    yield rotation
    size = _family("disk_size_bytes", "Size of the filesystem.", "holds")
    free = _family("disk_free_bytes", "Bytes that are free for the agent.", "holds")
    for disk in status.disks:
        size.add_metric((disk.holds,), disk.size_bytes)
        free.add_metric((disk.holds,), disk.free_bytes)
    yield from (size, free)


def _family(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"packrat_agent_{name}", text, labels=labels)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"packrat_agent_{name}", text, value=value)


def _known(name: str, text: str, value: float | None) -> Iterator[Metric]:
    if value is not None:
        yield _gauge(name, text, float(value))
