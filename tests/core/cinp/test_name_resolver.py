"""What is told of the names that wait for an answer."""

import subprocess
import sys

_NO_THREAD = """
import asyncio, resource, threading
from packrat_core.cinp.name_resolver import NameResolver

async def work():
    end, resolver = threading.Event(), NameResolver()
    print(len(await resolver.resolve("127.0.0.1")), resolver.waiting)
    resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
    try:
        while True:
            threading.Thread(target=end.wait).start()
    except (MemoryError, RuntimeError):
        try:
            await resolver.resolve("127.0.0.1")
        except (MemoryError, RuntimeError) as error:
            print(error, resolver.waiting)
    finally:
        end.set()

asyncio.run(work())
"""


def test_a_name_that_no_thread_asks_for_does_not_wait_for_an_answer() -> None:
    done = subprocess.run([sys.executable, "-c", _NO_THREAD], capture_output=True, text=True, check=False)
    assert done.stdout == "1 []\ncan't start new thread []\n", done.stderr
