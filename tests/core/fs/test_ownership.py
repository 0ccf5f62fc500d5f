"""ownership: a message names the file, its owner and mode, this user, and the command that mends it."""

import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from packrat_core.errors import ConfigError
from packrat_core.fs.ownership import refuse_root

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to somebody else")

_OTHER = "nobody"
_TOP = Path(__file__).parents[3]
_MODULES = Path(tempfile.gettempdir()) / f"packrat-ownership-{os.getpid()}"


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can reach."""
    directory = Path(tempfile.mkdtemp(prefix="ow-", dir="/tmp"))
    directory.chmod(0o755)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="module", autouse=True)
def modules() -> Iterator[None]:
    """The modules under test, where other users can read them."""
    _MODULES.mkdir(mode=0o755)
    copy_modules(_MODULES)
    yield
    shutil.rmtree(_MODULES)


def as_other(call: str) -> str:
    """Print what a function of the module gives to a user who is not root."""
    script = f"from packrat_core.fs.ownership import *\nfrom pathlib import Path\nprint({call})"
    command = ["setpriv", "--reuid", _OTHER, "--regid", "nogroup", "--clear-groups", "--", *interpreter()]
    done = subprocess.run(
        [*command, "-c", script], env={"PYTHONPATH": str(_MODULES)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def interpreter() -> list[str]:
    """A Python that other users may start: that of the system, where ours lies in root's home."""
    return ["/usr/bin/python3" if os.path.realpath(sys.executable).startswith("/root") else sys.executable]


def copy_modules(target: Path) -> None:
    """Put the modules where other users can read them."""
    for name in ("__init__.py", "errors.py", "fs/__init__.py", "fs/immutable.py", "fs/ownership.py"):
        copy = target / "packrat_core" / name
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(_TOP / "src/packrat_core" / name, copy)
        copy.chmod(0o644)


def mend(told: str) -> None:
    """Run the command that a message holds."""
    command = re.search(r"`([^`]+)`", told)
    assert command is not None, told
    subprocess.run(["sh", "-ec", command[1]], check=True)


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_file_that_may_not_be_read_is_readable_after_the_command_of_the_message(place: Path, mode: int) -> None:
    path = place / "mirror.conf"
    path.write_text("psk: secret")
    path.chmod(mode)
    call = f"explain_unreadable(Path({str(path)!r}))"
    told = as_other(call)
    assert f"{path} belongs to root:root with mode {mode:04o}, and this is user nobody" in told
    # The server says this of its files, too.
    assert "agent" not in told
    mend(told)
    assert as_other(call) == "None"
    assert path.stat().st_mode & 0o007 == 0


def test_a_closed_directory_on_the_way_is_named_in_place_of_the_file(place: Path) -> None:
    directory = place / "etc"
    directory.mkdir(mode=0o700)
    (directory / "mirror.conf").write_text("")
    for function in ("explain_unreadable", "explain_unwritable", "explain_unmakable"):
        told = as_other(f"{function}(Path({str(directory / 'mirror.conf')!r}))")
        assert told.startswith(f"{directory} belongs to root:root with mode 0700")
        assert "agent" not in told
    mend(told)
    assert as_other(f"explain_unreadable(Path({str(directory / 'mirror.conf')!r}))") == "None"


def test_a_directory_that_a_unit_hides_is_not_to_be_opened_or_given_away(place: Path) -> None:
    """ProtectHome= puts an empty directory of root's without any right in the place of /home."""
    home = place / "home"
    home.mkdir()
    home.chmod(0)
    for function in ("explain_unreadable", "explain_unwritable", "explain_unmakable", "first_unusable"):
        told = as_other(f"{function}(Path({str(home / 'keys/gnupg')!r}))")
        assert told.startswith(f"{home} is hidden from this service by the unit that runs it: set ProtectHome=no"), told
        assert "chown" not in told
        assert "chmod" not in told


def test_all_that_may_not_be_changed_is_given_away_by_one_command(place: Path) -> None:
    root, state = place / "it's a root", place / "state.db"
    (root / "deep").mkdir(parents=True)
    state.write_text("")
    call = f"explain_unwritable(*[Path(p) for p in {[str(root), str(state), str(place / 'missing')]!r}])"
    mend(as_other(call))
    assert as_other(call) == "None"
    assert {path.owner() for path in (root, root / "deep", state)} == {_OTHER}
    assert place.owner() == "root"


def test_a_directory_that_may_not_be_made_is_made_by_the_command(place: Path) -> None:
    call = f"explain_unmakable(Path({str(place / 'www/repo')!r}))"
    mend(as_other(call))
    assert (place / "www/repo").owner() == _OTHER
    assert (place / "www").owner() == "root"


def test_anything_in_a_keyring_that_is_roots_is_found(place: Path) -> None:
    home = place / "gnupg"
    (home / "private-keys-v1.d").mkdir(parents=True)
    (home / "private-keys-v1.d/key").write_text("")
    (home / "private-keys-v1.d/key").chmod(0o600)
    call = f"first_unusable(Path({str(home)!r}))"
    told = as_other(call)
    assert "private-keys-v1.d/key belongs to root:root" in told
    mend(told)
    assert as_other(call) == "None"


def test_root_may_work_where_it_owns_what_an_agent_made_even_in_a_place_of_another_user(place: Path) -> None:
    own, around = place / "own", place / "around"
    for path in (own, around):
        path.mkdir()
    shutil.chown(around, _OTHER)
    refuse_root([("own", own)], [("root_dir", around)])
    own.rmdir()
    with pytest.raises(
        ConfigError, match=rf"root_dir {around} belongs to user {_OTHER}, and this is root.*`runuser -u"
    ):
        refuse_root([("own", own)], [("root_dir", around)])
    own.mkdir()
    shutil.chown(own, _OTHER)
    with pytest.raises(ConfigError, match=r"own .* belongs to user"):
        refuse_root([("own", own)], [])
    own.rmdir()
    own.symlink_to("/etc/hostname")
    os.chown(own, pwd.getpwnam(_OTHER).pw_uid, -1, follow_symlinks=False)
    with pytest.raises(ConfigError, match=r"own .* belongs to user"):
        refuse_root([("own", own)], [])


@pytest.mark.parametrize("closed", ["", "records"])
def test_a_path_closed_by_another_user_comes_with_the_command_as_that_user(place: Path, closed: str) -> None:
    records = place / "records"
    records.write_text("")
    call = f"explain_as_owner(Path({str(place)!r}), Path({str(records)!r}))"
    assert as_other(call) == "None"
    (place / closed).chmod(0o700)
    told = as_other(call)
    assert told.startswith(f"{place / closed} belongs to root:root with mode 0700, and this is user nobody; as root: ")
    assert "`runuser -u root -- " in told
    assert "chmod" not in told
    # In a directory of this user's own, a file of somebody else's is a mistake, not a boundary.
    shutil.chown(place, _OTHER)
    assert as_other(call) == "None"
    (place / closed).chmod(0o755)
