"""PgBouncer in front of a PostgreSQL server of the tests."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.postgres import Cluster

_SETTINGS = """
[databases]
* = user=postgres host={cluster}
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {directory}
auth_type = any
pool_mode = {mode}
"""


@contextmanager
def pooler(cluster: Cluster, url: str, mode: str) -> Iterator[str]:
    """Run PgBouncer; gives the URL by which a database of the cluster is reached through it.

    Args:
        cluster: The PostgreSQL server.
        url: The database.
        mode: For how long a client has a session: `session`, `transaction` or `statement`.
    """
    with tempfile.TemporaryDirectory(prefix="pgb-", dir="/tmp") as name:
        settings = Path(name) / "pgbouncer.ini"
        settings.write_text(_SETTINGS.format(cluster=cluster.directory, directory=name, mode=mode))
        command = ["pgbouncer", "-q", str(settings)]
        if os.getuid() == 0:
            shutil.chown(name, "postgres", "postgres")
            command = [
                "setpriv",
                "--reuid=postgres",
                "--regid=postgres",
                "--clear-groups",
                "--pdeathsig=KILL",
                *command,
            ]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            while not (Path(name) / ".s.PGSQL.6432").exists():
                assert process.poll() is None, process.communicate()[1]
            yield f"{url.replace(str(cluster.directory), name)}&port=6432"
        finally:
            process.terminate()
            process.communicate()
