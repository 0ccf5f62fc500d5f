"""The server context: what every request works on."""

from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine

from packrat_server.accounts.callers import Callers
from packrat_server.accounts.downloads import Downloads
from packrat_server.accounts.login_delays import LoginDelays
from packrat_server.accounts.login_queue import LoginQueue
from packrat_server.api.access_log import AccessLog
from packrat_server.api.admission import Admission
from packrat_server.api.change_notifier import ChangeNotifier
from packrat_server.api.serve_options import ServeOptions


@dataclass(frozen=True, slots=True)
class ServerContext:
    """The database, the data directory, the notifier of changes, and what bounds the callers."""

    engine: Engine
    data_dir: Path
    notifier: ChangeNotifier
    logins: LoginQueue
    downloads: Downloads
    callers: Callers
    options: ServeOptions = field(default_factory=ServeOptions)
    access_log: AccessLog | None = None
    delays: LoginDelays = field(default_factory=LoginDelays)
    admission: Admission = field(default_factory=Admission)
    is_on_network: bool = False
    """Whether the package files are on a network disk."""
