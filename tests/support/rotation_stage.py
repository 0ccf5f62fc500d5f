"""A mirror with a repository of each signed type whose key is replaced, phase by phase, and its clients."""

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from packrat_demo.build_deb import Deb
from packrat_demo.build_image import Image, build_oci, write_image
from packrat_demo.build_rpm import Rpm, write_rpm
from packrat_server import admin
from packrat_server.store.database import open_database
from support.keys import Key, make_key
from support.mirror_conf import write_mirror_conf
from support.stage import DEADLINE_S, Stage, packrat_server
from support.web import web_server

REPOS = {"apt": ("bookworm",), "yum": ("rhel9", "sles15"), "docker": ("docker",), "json": ("resource",)}
_OLD_SINCE = "20200101T000000"
_LAYERS = ((("base", b"base\n"),),)


@dataclass(slots=True)
class RotationStage:
    """A Stage with `apt-dev`, `yum-dev`, `docker-dev`, `json-dev`; `old` and `new` are keys in one keyring."""

    lab: Stage
    url: str
    old: Key
    new: Key
    suites: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(REPOS))

    def configure(self, keys: str) -> None:
        """Write mirror.conf with these lines about keys."""
        write_mirror_conf(
            self.lab.directory,
            self.lab.server.url,
            packrat=f"psk: {self.lab.psk}\n",
            mirror=f"public_url: {self.url}\ngnupg_home: {self.old.home}\n{keys}\n",
        )

    def set_phase(self, phase: str | None) -> None:
        """Write mirror.conf as it is in a phase, from None up to `retired`."""
        old, new = self.old.fingerprint, self.new.fingerprint
        lines = {
            None: f"gpg_sign_key: {old}",
            "offered": f"gpg_sign_key: {old}\ngpg_next_key: {new}",
            "switched": f"gpg_sign_key: {new}\ngpg_former_key: {old}",
            "retired": f"gpg_sign_key: {new}\ngpg_retired_keys: {old}",
        }
        self.configure(lines[phase])

    def signers(self, signature: str, signed: str | None = None) -> set[str]:
        """Name the keys whose right signatures a file has: `old`, `new`."""
        files = [str(self.lab.www / name) for name in (signature, signed) if name is not None]
        gpg = ["gpg", "--homedir", str(self.old.home), "--batch", "--status-fd", "1", "--verify", *files]
        told = subprocess.run(gpg, capture_output=True, text=True, check=False, timeout=DEADLINE_S).stdout
        names = {self.old.fingerprint: "old", self.new.fingerprint: "new"}
        return {names[line.split()[2]] for line in told.splitlines() if line.startswith("[GNUPG:] VALIDSIG ")}

    def expire_old(self) -> None:
        """Let the old key have expired some years ago."""
        gpg = ["gpg", "--homedir", str(self.old.home), "--batch", "--faked-system-time", "20200201T000000"]
        expire = ["--quick-set-expire", self.old.fingerprint, "20200301T000000"]
        subprocess.run([*gpg, *expire], check=True, capture_output=True, timeout=DEADLINE_S)

    def put(self, version: str) -> None:
        """Upload a package `hello` of every type."""
        built = self.lab.directory / "built"
        built.mkdir(exist_ok=True)
        server = self.lab.server
        if "apt" in self.suites:
            server.put_deb(Deb("hello", f"{version}-1", "all"))
        if "yum" in self.suites:
            rpm = Rpm("hello", version, "noarch", files=((f"/opt/hello-{version}", version.encode()),))
            server.put(write_rpm(rpm, built), self.suites["yum"])
        if "docker" in self.suites:
            image = Image("hello", version, _LAYERS)
            server.put(write_image(image, built, build_oci(image)), ("docker",))
        if "json" in self.suites:
            path = built / f"hello_{version}.conf"
            path.write_text(version)
            server.put(path, ("resource",))

    def status(self) -> dict[str, object]:
        """What `status --json` says of the main key."""
        told: dict[str, object] = json.loads(self.lab.agent("status", "--json").stdout)["key"]
        return told

    def faults(self, *options: str) -> list[tuple[str, str]]:
        """Let `verify` audit the tree; gives (path, fault) of each."""
        told = self.lab.agent("verify", "--json", *options, expect=None).stdout
        return [(fault["path"], fault["what"]) for fault in json.loads(told)["faults"]]


@contextmanager
def rotation_stage(directory: Path, home: Path, kinds: tuple[str, ...] = tuple(REPOS)) -> Iterator[RotationStage]:
    """Set up a RotationStage that the old key signs.

    Args:
        directory: An empty directory for server, agent and mirror.
        home: An empty GNUPGHOME.
        kinds: The types of its repositories.
    """
    (directory / "www").mkdir()
    (directory / "state").mkdir()
    suites = {kind: REPOS[kind] for kind in kinds}
    with web_server(directory / "www") as url, packrat_server(directory) as server:
        engine = open_database(server.data)
        for kind, versions in suites.items():
            admin.save_repo(engine, admin.NewRepo(f"{kind}-dev", kind, "dev", versions, show_only_latest=False))
        psk = admin.save_mirror(engine, "lab", [f"{kind}-dev" for kind in suites], "Lab")
        engine.dispose()
        assert psk is not None
        old = make_key(home, "Old <o@example.com>", "rsa2048", faked_time=_OLD_SINCE)
        new = make_key(home, "New <n@example.com>", "rsa2048")
        made = RotationStage(Stage(directory, server, psk, old), url, old, new, suites)
        made.configure(f"gpg_sign_key: {old.fingerprint}")
        yield made


@dataclass(frozen=True, slots=True)
class SkopeoClient:
    """A skopeo with the policy that it fetched last."""

    url: str
    place: Path

    def fetch(self) -> None:
        """Fetch the policy and the file for registries.d, as the landing page says."""
        (self.place / "registries.d").mkdir(parents=True, exist_ok=True)
        here = f"{self.url}/docker-dev/sigstore"
        for source, target in (("policy.json", "policy.json"), ("registries.yaml", "registries.d/lab.yaml")):
            subprocess.run(["curl", "-fsSo", self.place / target, f"{here}/{source}"], check=True)

    def pull(self, version: str) -> str:
        """Pull an image whose signature is checked; gives why not, '' if it was."""
        address = self.url.removeprefix("http://")
        registries = self.place / "registries.conf"
        registries.write_text(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')
        options = ["--policy", str(self.place / "policy.json"), "--registries.d", str(self.place / "registries.d")]
        image = [f"docker://{address}/docker-dev/hello:{version}", f"dir:{self.place / version}"]
        done = subprocess.run(
            ["skopeo", *options, "--registries-conf", str(registries), "copy", *image],
            env={**os.environ, "HOME": str(self.place), "XDG_RUNTIME_DIR": str(self.place), "TMPDIR": str(self.place)},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
        )
        return done.stderr if done.returncode else ""
