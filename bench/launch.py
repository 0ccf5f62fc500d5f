"""Runs one command and reports its time and peak memory; started as a program of its own.

Its arguments are the seconds at most, a file for the command's stdout (`-`: none), and the command. It prints one JSON
object: code, seconds, peak_kib, cpu_s, written_bytes (of the command and all that it waited for).

The kernel counts the memory of the process that starts a program to that program, so the starter has to be small: this
file imports nothing of ours and is run without site-packages.
"""

import json
import os
import signal
import sys
import time


def main() -> None:
    """Run it."""
    timeout_s, stdout, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    target = os.devnull if stdout == "-" else stdout
    started = time.perf_counter()
    child = os.posix_spawnp(
        command[0],
        command,
        os.environ,
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
        ],
        setpgroup=0,
    )
    signal.signal(signal.SIGALRM, lambda number, frame: os.killpg(child, signal.SIGKILL))
    signal.signal(signal.SIGTERM, lambda number, frame: os.killpg(child, signal.SIGKILL))
    signal.alarm(timeout_s)
    try:
        # Its account of bytes is gone with the process.
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        written_bytes = read_written_bytes(child)
        _, status, usage = os.wait4(child, 0)
    except KeyboardInterrupt:
        os.killpg(child, signal.SIGKILL)
        raise
    seconds = time.perf_counter() - started
    told = {
        "code": os.waitstatus_to_exitcode(status),
        "seconds": seconds,
        "peak_kib": usage.ru_maxrss,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "written_bytes": written_bytes,
    }
    json.dump(told, sys.stdout)


def read_written_bytes(pid: int) -> int:
    """Bytes that a process gave to the disk. Source: proc_pid_io(5)."""
    with open(f"/proc/{pid}/io") as file:  # noqa: PTH123
        fields = dict(line.split(": ") for line in file)
    return int(fields["write_bytes"]) - int(fields["cancelled_write_bytes"])


if __name__ == "__main__":
    main()
