"""The server context: what every request works on."""

from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import Engine

from packrat_server.accounts.downloads import Downloads
from packrat_server.accounts.login_delays import LoginDelays
from packrat_server.accounts.login_queue import LoginQueue
from packrat_server.api.addresses import TrustedProxies
from packrat_server.api.admission import Admission
from packrat_server.store.change_notifier import ChangeNotifier


@dataclass(frozen=True, slots=True)
class ServerContext:
    """The database, the data directory, the notifier of changes, and what bounds the callers."""

    engine: Engine
    data_dir: Path
    notifier: ChangeNotifier
    logins: LoginQueue
    downloads: Downloads
    trusted_proxies: TrustedProxies = field(default_factory=TrustedProxies)
    delays: LoginDelays = field(default_factory=LoginDelays)
    admission: Admission = field(default_factory=Admission)
