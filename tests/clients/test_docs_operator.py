"""The pages of configuration, signing and operations, followed one after the other on a mirror that runs."""

import os
import re
import time
from collections.abc import Iterator

import pytest

from support.doc_walk import Walk, page_walk
from support.docs_mirror import DocsMirror, docs_mirror
from support.fresh_root import FreshRoot
from support.stage import DEADLINE_S

_CONF = "/etc/packrat/mirror.conf"
_WWW, _STATE = "/var/www/repo", "/var/lib/packratAgent"
_LOG = "/var/log/packrat-agent.log"
_KEY = "AC418843B048A55266269920B94271513106BFA6"
_OTHER_KEYS = ("5C2B9E1D0F6A47B38E9D21C4A7F0355B6E8D1294", "17D3A60C25B94E8FA1B7C04D96E2F85A3C7B0E61")
_LOOK_S = 0.1
"""How often is looked whether the service has done a full sync."""
_SECRET = re.compile(r"^ssb .*\[S\].*\n +([0-9A-F]{40})$", re.MULTILINE)
_OLD_HOST = f"""\
#!/bin/sh
# In the place of ssh: what is asked of the old host is answered with its files, which lie below /old.
shift
exec unshare --mount sh -c 'mount --bind /old/repo {_WWW}; mount --bind /old/lib {_STATE}; eval "$*"' sh "$@"
"""
_CLONE = """\
git config --global user.email a@example.com; git config --global user.name a
git init -q -b main; git add .; git commit -q -m all; git clone -q --bare . /root/upstream
git remote add origin /root/upstream; git fetch -q; git branch -q --set-upstream-to origin/main
"""

pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can change the root of a process"),
]


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DocsMirror]:
    with docs_mirror(tmp_path_factory.mktemp("docs-operator") / "root") as made:
        yield made


def test_configuration(mirror: DocsMirror) -> None:
    root = mirror.root
    conf = root.path(_CONF)
    ours = conf.read_text()
    with page_walk(root, "configuration.md", mirror.ours) as walk:
        conf.write_text(walk.next("[packrat]", "ini").text)
        assert "full_sync_interval: 900" in walk.type("packrat-agent config")
        walk.run("install -D")
        assert "root_dir: /var/www/repo" in walk.run("packrat-agent config")
        kept = walk.next("keep_file_list:", "ini").text
        conf.write_text(ours + kept)
        root.path(f"{_WWW}/robots.txt").write_text("User-agent: *\n")
        _sync_by_service(walk, "restart")
        assert root.path(f"{_WWW}/robots.txt").exists()
        # As in a directory that somebody else filled.
        walk.type(f"systemctl stop packrat-agent; rm -r {_WWW}/.packrat-agent {_STATE}/state.db*")
        walk.type("runuser -u packrat -- packrat-agent sync", expect=9)
        walk.run("runuser -u packrat -- packrat-agent sync --dry-run")
        walk.type("systemctl start packrat-agent")
        walk.run("packrat-agent sync --accept-removals")


def test_signing(mirror: DocsMirror) -> None:
    root = mirror.root
    with page_walk(root, "signing.md", {"B2CAFB61": "root@example.com"}) as walk:
        # The page makes the key that the README's lines have made.
        # -f: gpg-agent ends when its directory goes, and removes its sockets at the same time.
        walk.type(f"systemctl stop packrat-agent; rm -rf {_STATE}/gnupg")
        walk.type(f"install -d -o packrat -g packrat -m 0700 {_STATE}/gnupg")
        assert "packrat" in walk.run("su -s", typed="whoami\n")
        made = walk.run("export GNUPGHOME", "packrat")
        walk.shows("sec ", made)
        _configure(walk, made)
        _with_a_passphrase(walk)
        _as_root(walk)
        _back_it_up(walk)
        write_own_key = _give_it_to_the_clients(walk)
        _keys_of_their_own(walk)
        walk.run("SUBKEY=", "packrat")
        walk.type(write_own_key, "packrat")
        _sync_by_service(walk, "restart")
        assert "0 faults" in walk.type("packrat-agent verify")


def _configure(walk: Walk, made: str) -> None:
    """Name the new key in mirror.conf, and restart."""
    shown = _SECRET.search(made)
    assert shown is not None
    walk.ours[_KEY] = shown[1]
    for line in walk.next("[mirror]", "ini").text.splitlines()[1:]:
        _set(walk.root, line)
    _sync_by_service(walk, "start")
    walk.shows("apt: Signing distro", walk.root.path(_LOG).read_text())


def _sync_by_service(walk: Walk, command: str) -> None:
    """Start, restart or reload the service, ask it for a full sync, and wait until one is over."""
    log = walk.root.path(_LOG)

    def checked() -> int:
        return log.read_text().count(" checked ") if log.exists() else 0

    before, until = checked(), time.monotonic() + DEADLINE_S
    walk.type(f"systemctl {command} packrat-agent; packrat-agent sync")
    while checked() == before:
        assert time.monotonic() < until, log.read_text()
        time.sleep(_LOOK_S)


def _set(root: FreshRoot, line: str) -> None:
    """Write a line of [mirror] in the place of what the file says."""
    conf = root.path(_CONF)
    name = line.partition(":")[0]
    text = re.sub(rf"^{name}:.*\n", "", conf.read_text(), flags=re.MULTILINE)
    conf.write_text(text.replace("[mirror]\n", f"[mirror]\n{line}\n", 1))


def _with_a_passphrase(walk: Walk) -> None:
    """The other way to make a key, in a directory of its own: the page has one or the other."""
    walk.type(f"install -d -m 700 {_STATE}/other {_STATE}/other/gnupg; cp /tmp/shell-of-packrat /tmp/kept", "packrat")
    ours, walk.ours = walk.ours, {_STATE: f"{_STATE}/other"}
    walk.run("umask 077", "packrat")
    walk.type(f"rm -rf {_STATE}/other", "packrat")
    walk.type("cp /tmp/kept /tmp/shell-of-packrat")
    walk.ours = ours


def _as_root(walk: Walk) -> None:
    walk.type("gpg --batch --passphrase '' --quick-generate-key root@example.com rsa3072 sign never")
    assert "root@example.com" in walk.run("gpg --list-keys")
    unit = walk.root.path("/etc/systemd/system/packrat-agent.service").read_text()
    for name in re.findall(r"^(\w+)=", walk.next("[Service]", "ini").text, re.MULTILINE):
        assert f"\n{name}=" in unit
    assert "secret keys imported: 1" in walk.run("gpg --export-secret-keys")


def _back_it_up(walk: Walk) -> None:
    walk.run("umask 077", "packrat")
    walk.type(f"install -d -m 700 {_STATE}/restored", "packrat")
    restore = walk.next("gpg --batch --import", "sh").text
    assert "secret keys imported: 1" in walk.type(f"GNUPGHOME={_STATE}/restored {restore}", "packrat")
    walk.run("gpg --batch --yes --delete-secret-keys", "packrat")
    assert "sec#" in walk.type("gpg --list-secret-keys", "packrat")
    _sync_by_service(walk, "restart")
    # "To add a subkey or extend the key later, import the backup again."
    walk.type(restore, "packrat")


def _give_it_to_the_clients(walk: Walk) -> str:
    """Write a key file of the operator's own, and have apt trust it; gives the commands that write it."""
    root = walk.root
    _set(root, f"keep_file: {_WWW}/repo-key")
    _sync_by_service(walk, "restart")
    write_own_key = walk.next('gpg --armor --export-options export-minimal --export "$KEY"', "sh").text
    walk.type(write_own_key, "packrat")
    _sync_by_service(walk, "restart")
    walk.type("systemctl restart nginx || true; packrat-agent site nginx > /etc/nginx/sites-enabled/default; nginx -t")
    walk.type("service nginx restart")
    assert "W:" not in walk.run("install -d -m 0755 /etc/apt/keyrings")
    walk.type("apt-get install tool")
    assert walk.ours[_KEY] in walk.run("gpg --show-keys")
    return write_own_key


def _keys_of_their_own(walk: Walk) -> None:
    for number, example in enumerate(_OTHER_KEYS):
        make = f'gpg --batch --passphrase "" --quick-generate-key key{number}.example.com ed25519 sign never'
        walk.type(make, "packrat")
        listed = walk.type(f"gpg --with-colons --list-keys key{number}.example.com", "packrat")
        walk.ours[example] = listed.split("fpr:::::::::")[1].partition(":")[0]
    walk.ours["yum-tools"] = "yum-prod"
    conf = walk.root.path(_CONF)
    conf.write_text(conf.read_text() + walk.next("[tag prod]", "ini").text)
    _sync_by_service(walk, "restart")
    assert walk.root.path(f"{_WWW}/repo-keys/apt-prod.gpg").exists()


def test_operations(mirror: DocsMirror) -> None:
    root = mirror.root
    with page_walk(root, "operations.md") as walk:
        walk.run("packrat-agent sync --trust-clock")
        assert "0 faults" in walk.run("packrat-agent verify")
        _monitoring(walk)
        root.run(_CLONE)
        walk.type("cd /root")
        assert "agent      running" in walk.run("cd packrat-agent")
        walk.run("systemctl stop packrat-agent")
        _move(walk)


def _monitoring(walk: Walk) -> None:
    """The line of `check`, who may ask for it, and the figures that the rules name."""
    root = walk.root
    printed = walk.type("packrat-agent check || true")
    shown = walk.next("PACKRAT", "").text
    assert re.match(r"PACKRAT \w+ - .* \| live=", printed)
    for figure in re.findall(r"(\w+)=\d+", shown):
        assert f"{figure}=" in printed
    root.path("/etc/sudoers.d/packrat-check").write_text(walk.next("# /etc/sudoers.d", "").text)
    walk.type("chmod 0440 /etc/sudoers.d/packrat-check; visudo -c; useradd nagios")
    asked = walk.type("sudo -u packrat /opt/packrat-agent/bin/packrat-agent check --max-lag 60 || true", "nagios")
    assert asked.startswith("PACKRAT ")
    _set(root, "metrics_file: /var/lib/packratAgent/packrat.prom")
    # The expiry of a section's key is told where there is one.
    conf = root.path(_CONF)
    key = re.search(r"^gpg_sign_key: \w+\n", conf.read_text(), re.MULTILINE)
    assert key is not None
    conf.write_text(f"{conf.read_text()}\n[repo elsewhere]\n{key[0]}")
    _sync_by_service(walk, "reload")
    figures = root.path(f"{_STATE}/packrat.prom").read_text()
    for figure in re.findall(r"packrat_agent_\w+", walk.next("groups:", "yaml").text):
        assert f"\n{figure}" in figures, figure


def _move(walk: Walk) -> None:
    """The old host's files lie below /old; the new host has the key and mirror.conf, as the first step says."""
    root = walk.root
    walk.type(f"mkdir /old; mv {_WWW} /old/repo; mv {_STATE} /old/lib")
    walk.type(f"install -d -o packrat -g packrat {_WWW} {_STATE}; cp -a /old/lib/gnupg {_STATE}")
    root.path("/usr/local/bin/old-host").write_text(_OLD_HOST)
    root.path("/usr/local/bin/old-host").chmod(0o755)
    walk.environment["RSYNC_RSH"] = "old-host"
    walk.run("rsync -aH")
    walk.run("rsync -aH")
    printed = walk.run("runuser -u packrat -- packrat-agent sync --dry-run")
    assert "0 B downloaded" in printed
    assert "agent      running" in printed
