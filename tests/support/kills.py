"""Kills the agent again and again, at any moment of its work, and looks what its clients would find after each."""

import os
import random
import re
import subprocess
from pathlib import PurePath

from packrat_agent.verify.tree import verify_tree
from packrat_demo.build_deb import Deb
from support.stage import Stage
from support.warm_agent import RunningAgent

_BESIDE = frozenset({"Packages.gz", "Packages.xz", "Release", "Release.gpg", "InRelease"})
"""Killed between the first pointer and InRelease, the last, those beside it may be newer; apt goes by InRelease."""


def kill_again_and_again(lab: Stage, times: int, seed: int) -> int:
    """Kill `sync` and `run` so many times, each with something new to do; gives how many came to their end before.

    Raises: AssertionError with the seed and the round where a client would find anything wrong, or work is not finished
    in the end.
    """
    dice = random.Random(seed)
    lab.extra = {"grace_period": "0", "keep_generations": "2"}
    lab.write_config()
    offered: dict[str, list[str]] = {}
    published: set[str] = set()
    longest_s = 0.8
    ended = 0
    for number in range(times):
        name = f"package-{number}"
        content = ((f"/usr/share/{name}", dice.randbytes(dice.choice([100, 200_000, 2_000_000]))),)
        offered[name] = lab.server.put_deb(Deb(name, "1", "amd64", files=content))
        if len(offered) > 5:
            for uri in offered.pop(dice.choice([other for other in offered if other != name])):
                lab.server.act(uri, "fail")
        command = "run" if number % 3 == 2 else "sync"
        process = RunningAgent(["--config", str(lab.config), command], os.environ)
        with process.stderr:
            failed = False
            try:
                failed = process.wait(dice.uniform(0.02, longest_s)) != 0
                ended += 1
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            said = process.stderr.read()
        assert not failed, f"round {number} of seed {seed}:\n{said}"
        assert "Traceback" not in said, f"round {number} of seed {seed}:\n{said}"
        _assert_whole(lab, f"round {number} of seed {seed}:\n{said}", published)
    done = lab.agent("sync")
    assert verify_tree(lab.www, None, lambda files, size: None).faults == (), done.stderr
    listed = {line.removeprefix("Package: ") for line in lab.packages().splitlines() if line.startswith("Package: ")}
    assert listed == set(offered)
    assert not list((lab.www / ".packrat-agent" / "staging").iterdir())
    again = lab.agent("sync")
    assert " 0 B downloaded" in again.stdout
    return ended


def _assert_whole(lab: Stage, because: str, published: set[str]) -> None:
    """Audit the tree; `published` has the suites that were there before, and gets those that are there now."""
    published |= {str(path.parent.relative_to(lab.www)) for path in lab.www.glob("apt-dev/dists/*/InRelease")}
    if not (lab.www / "apt-dev/dists").exists():
        # Nothing was published yet.
        return
    found = verify_tree(lab.www, None, lambda files, size: None).faults
    wrong = [fault for fault in found if PurePath(fault.path).name not in _BESIDE or "signature" in fault.what]
    # The landing page names the suites before the first publication of each is over.
    wrong = [
        fault for fault in wrong if fault.path in published or not re.fullmatch("apt-dev/dists/[a-z]+", fault.path)
    ]
    assert not wrong, f"{because}\n{wrong}"
