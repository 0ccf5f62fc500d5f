"""The server context: what every request works on."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from packrat_server.accounts.login_queue import LoginQueue
from packrat_server.store.change_notifier import ChangeNotifier


@dataclass(frozen=True, slots=True)
class ServerContext:
    """The database, the data directory, the notifier of changes, and the queue of logins."""

    engine: Engine
    data_dir: Path
    notifier: ChangeNotifier
    logins: LoginQueue
