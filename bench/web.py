"""A real nginx that serves one directory, for what downloads from it."""

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.meter import BenchError

_STARTS_WITHIN_S = 30.0
_LOOK_S = 0.02
_CONFIG = """\
daemon off; master_process off; pid {work}/pid; error_log stderr; user root;
events {{ worker_connections 512; }}
http {{
  access_log off; sendfile on; types {{ }} default_type application/octet-stream;
  client_body_temp_path {work}; proxy_temp_path {work}; fastcgi_temp_path {work}; uwsgi_temp_path {work};
  scgi_temp_path {work};
  server {{ listen 127.0.0.1:{port}; root {root}; }}
}}
"""


@contextmanager
def serving(root: Path, group: Path | None = None) -> Iterator[str]:
    """Serve a directory, in a control group whose `cgroup.procs` is given; gives the address.

    Raises: BenchError
    """
    with tempfile.TemporaryDirectory(prefix="packrat-bench-nginx-") as work:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = int(probe.getsockname()[1])
        config = Path(work) / "nginx.conf"
        config.write_text(_CONFIG.format(work=work, port=port, root=root))
        line = ["nginx", "-c", str(config), "-e", "stderr"]
        process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True)
        try:
            if group is not None:
                group.write_text(str(process.pid))
            _wait_for(port, process)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.communicate()


def _wait_for(port: int, process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + _STARTS_WITHIN_S
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > until:
                process.kill()
                raise BenchError(f"nginx did not start: {process.communicate()[1][-500:]}") from None
            time.sleep(_LOOK_S)
