"""What another user put below root_dir, with modes that the agent may not change, stops nothing else."""

import os
import subprocess
from pathlib import Path

import pytest

from packrat_demo.build_deb import Deb
from support.calls import number, watch
from support.evil import FILE, repo_record, victim

NO_RIGHT_TO_OTHERS_FILES = ("setpriv", "--bounding-set=-fowner", "--inh-caps=-fowner")
NO_PRIVILEGE = "-fowner,-dac_override,-dac_read_search"
ANOTHER = 4321


only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@only_root
def test_closed_paths_of_another_user_stop_no_other_repository(tmp_path: Path) -> None:
    with victim(tmp_path) as mirror:
        mirror.limit = NO_RIGHT_TO_OTHERS_FILES
        mirror.evil.repos["apt-two"] = repo_record("apt-two", "apt-two")
        assert mirror.sync().code == 0
        package = mirror.www / "apt-dev/pool/good/good_1_all.deb"
        good = package.read_bytes()
        package.unlink()
        package.write_bytes(good)
        package.chmod(0o404)
        os.chown(package, ANOTHER, ANOTHER)
        locked = mirror.www / "apt-two/pool"
        locked.chmod(0o705)
        os.chown(locked, ANOTHER, ANOTHER)
        mirror.evil.add("2", Deb("more", "1", "all"))
        ended = mirror.sync()
        assert ended.code == 0, ended.said
        told = "damaged path={} text=\"not everybody may read it, and it is another user's: make it the agent's"
        assert told.format("apt-dev/pool/good/good_1_all.deb") in ended.said
        assert told.format("apt-two/pool") in ended.said
        assert (package.stat().st_uid, package.stat().st_mode & 0o777, package.read_bytes()) == (0, 0o644, good)
        assert (mirror.www / "apt-dev/pool/more/more_1_all.deb").exists()
        assert (mirror.www / "apt-two/pool/more/more_1_all.deb").exists()
        assert told.format("apt-dev/pool/good/good_1_all.deb") not in mirror.sync().said


@only_root
def test_a_directory_that_another_user_took_stops_its_own_repository_alone(tmp_path: Path) -> None:
    names = [f"apt-{number}" for number in range(8)]
    with victim(tmp_path) as mirror:
        mirror.limit = ("setpriv", f"--bounding-set={NO_PRIVILEGE}", f"--inh-caps={NO_PRIVILEGE}")
        mirror.evil.repos.update({name: repo_record(name, name) for name in names})
        assert mirror.sync().code == 0
        taken = mirror.www / "apt-dev/pool/good"
        (taken / "good_1_all.deb").write_text("bad")
        os.chown(taken, ANOTHER, ANOTHER)
        for untracked in ("untracked", "apt-1/pool/untracked", "apt-dev/pool/untracked"):
            (mirror.www / untracked).write_text("stays where the disk refuses something")
        mirror.evil.add("2", Deb("more", "1", "all"))
        ended = mirror.sync()
        # The exit code and the last line are those of a disk that fails.
        assert ended.code == 7
        assert f"packrat-agent: can't publish {taken}/good_1_all.deb: Permission denied" in ended.said
        published = [name for name in names if (mirror.www / name / "pool/more/more_1_all.deb").exists()]
        assert published == names
        assert not (mirror.www / "untracked").exists()
        assert not (mirror.www / "apt-1/pool/untracked").exists()
        assert (mirror.www / "apt-dev/pool/untracked").exists()
        os.chown(taken, 0, 0)
        assert mirror.sync().code == 0
        assert (mirror.www / "apt-dev/pool/more/more_1_all.deb").exists()
        assert (taken / "good_1_all.deb").read_bytes() == mirror.evil.contents["/files/good_1_all.deb"]
        assert not (mirror.www / "apt-dev/pool/untracked").exists()


def test_a_directory_that_somebody_takes_away_stops_its_own_repository_alone(tmp_path: Path) -> None:
    with victim(tmp_path) as mirror:
        names = ["apt-dev", *(f"apt-{number}" for number in range(8))]
        mirror.evil.repos.update({name: repo_record(name, name) for name in names})
        assert mirror.sync().code == 0
        mirror.evil.add("2", Deb("more", "1", "all"))
        # It is gone when the agent flushes what it has placed there.
        watched = watch(mirror.directory / "state", [mirror.www])
        faults = {"fail": "fsync", "errno": number("ENOENT"), "path": "/apt-dev/pool/more"}
        given = watched.environment(**faults).items() - os.environ.items()
        mirror.limit = ("env", *(f"{name}={value}" for name, value in given))
        ended = mirror.sync()
        assert ended.code == 7
        assert f"can't flush {mirror.www}/apt-dev/pool/more: No such file or directory" in ended.said
        assert ended.said.count("INFO    published repo=apt-") == len(names) - 1
        assert f"failed repo=apt-dev reason=\"can't flush {mirror.www}/apt-dev/pool/more" in ended.said
        mirror.limit = ()
        assert mirror.sync().code == 0
        assert (mirror.www / "apt-dev/pool/more/more_1_all.deb").exists()


@only_root
def test_a_file_that_may_not_be_removed_keeps_no_other_garbage(tmp_path: Path) -> None:
    with victim(tmp_path) as mirror:
        mirror.extra = "grace_period: 0\nkeep_generations: 1\n"
        mirror.limit = ("setpriv", f"--bounding-set={NO_PRIVILEGE}", f"--inh-caps={NO_PRIVILEGE}")
        assert mirror.sync().code == 0
        taken = mirror.www / "apt-dev/pool/good"
        del mirror.evil.files["1"]
        mirror.evil.add("2", Deb("more", "1", "all"))
        assert mirror.sync().code == 0
        assert (taken / "good_1_all.deb").exists()
        os.chown(taken, ANOTHER, ANOTHER)
        (mirror.www / "untracked").write_text("goes")
        mirror.evil.add("3", Deb("other", "1", "all"))
        for _ in range(2):
            ended = mirror.sync()
            assert ended.code == 0, ended.said
            assert "untracked path=apt-dev/pool/good/good_1_all.deb" in ended.said
            assert not (mirror.www / "untracked").exists()
        os.chown(taken, 0, 0)
        assert mirror.sync().code == 0
        assert not taken.exists()


def test_a_look_alike_of_server_data_hides_no_damaged_file(tmp_path: Path) -> None:
    with victim(tmp_path) as mirror:
        assert mirror.sync().code == 0
        repo = mirror.www / "apt-dev"
        for name in ("files", "incoming"):
            (repo / name).mkdir()
        (repo / "database").touch()
        package = repo / "pool/good/good_1_all.deb"
        status, good = package.stat(), package.read_bytes()
        package.chmod(0o644)
        package.write_bytes(good[:-1] + b"x")
        os.utime(package, ns=(status.st_atime_ns, status.st_mtime_ns))
        ended = mirror.sync()
        assert 'path=apt-dev text="data directory of a packrat-server' in ended.said
        assert "damaged path=apt-dev/pool/good/good_1_all.deb" in ended.said
        assert package.read_bytes() == good
        assert "damaged" not in mirror.sync().said


@only_root
def test_the_immutable_attribute_is_reported_instead_of_the_owner(tmp_path: Path) -> None:
    with victim(tmp_path) as mirror:
        assert mirror.sync().code == 0
        page, untracked = mirror.www / "index.html", mirror.www / "untracked"
        untracked.write_text("x")
        try:
            if subprocess.run(["chattr", "+i", page, untracked], capture_output=True, check=False).returncode:
                pytest.skip("this filesystem has no attributes")
            assert f"{untracked} has the attribute immutable; as root: `chattr -i {untracked}`" in mirror.sync().said
            mirror.evil.add("2", Deb("more", "1", "all"))
            ended = mirror.sync()
            assert ended.code == 7
            assert f"{page} has the attribute immutable; as root: `chattr -i {page}`" in ended.said
            assert (mirror.www / "apt-dev/pool/more/more_1_all.deb").exists()
        finally:
            subprocess.run(["chattr", "-i", page, untracked], check=True)
        assert mirror.sync().code == 0
        assert not untracked.exists()


def test_a_few_of_very_many_directories_left_alone_are_reported_by_name(tmp_path: Path) -> None:
    with victim(tmp_path) as mirror:
        assert mirror.sync().code == 0
        for number in range(1100):
            data = mirror.www / f"apt-dev/pool/data-{number}"
            for name in ("files", "incoming"):
                (data / name).mkdir(parents=True)
            (data / "database").touch()
            closed = mirror.www / f"apt-dev/pool/closed-{number}"
            closed.mkdir(mode=0o700)
            (closed / "file").touch()
        said = mirror.sync().said.splitlines()
        for word, text in (("untracked", "data directory of"), ("damaged", "its mode is set right")):
            told = [line for line in said if f" {word} " in line and text in line]
            assert len(told) == 1001
            assert "count=100 " in told[-1]


def test_a_file_of_the_server_takes_the_place_of_nothing_that_is_left_alone(tmp_path: Path) -> None:
    with victim(tmp_path) as mirror:
        assert mirror.sync().code == 0
        kept = mirror.www / "apt-dev/pool/kept/kept_1_all.deb/deep/file"
        mirror.extra = f"keep_file: {kept}\n"
        nested = mirror.www / "apt-two/pool/nested/nested_1_all.deb"
        data = mirror.www / "apt-three/pool/data/data_1_all.deb/deep"
        theirs = (kept, nested / "file", data / "files/theirs", data / "database", nested / ".packrat-agent/mark")
        for path in (*theirs, data / "incoming/theirs"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("theirs")
        mirror.evil.repos |= {name: repo_record(name, name) for name in ("apt-two", "apt-three", "apt-four")}
        for number, name in enumerate(("kept", "nested", "data", "other")):
            mirror.evil.add(str(number), Deb(name, "1", "all"))
        mirror.evil.listed_of = {
            repo: [f"{FILE}:{number}:" for number in numbers]
            for repo, numbers in {"apt-dev": (0, 3), "apt-two": (1, 3), "apt-three": (2, 3), "apt-four": (3,)}.items()
        }
        ended = mirror.sync()
        assert ended.code == 7
        assert [path.read_text() for path in theirs] == ["theirs"] * len(theirs)
        assert "kept_1_all.deb is kept by keep_file" in ended.said
        assert (
            f"can't publish {nested}: in the directory that stands there, nested_1_all.deb is left alone" in ended.said
        )
        assert f"can't publish {data.parent}: in the directory that stands there, data_1_all.deb/deep is" in ended.said
        for repo in ("apt-dev", "apt-four"):
            assert (mirror.www / repo / "pool/other/other_1_all.deb").is_file()


@pytest.mark.parametrize("name", ["Release", "Release/file"])
def test_an_index_takes_the_place_of_nothing_that_the_operator_keeps(tmp_path: Path, name: str) -> None:
    with victim(tmp_path) as mirror:
        mirror.evil.repos["apt-two"] = repo_record("apt-two", "apt-two")
        assert mirror.sync().code == 0
        indexes = sorted(mirror.www.glob("apt-dev/**/Release"))
        kept = indexes[0].parent / name
        mirror.extra = f"keep_file: {kept}\n"
        indexes[0].unlink()
        kept.parent.mkdir(exist_ok=True)
        kept.write_text("mine")
        mirror.evil.add("2", Deb("more", "1", "all"))
        ended = mirror.sync()
        assert ended.code == 7
        assert "Release can't be published: it is kept by keep_file" in ended.said
        assert kept.read_text() == "mine"
        assert (mirror.www / "apt-two/pool/more/more_1_all.deb").exists()


@pytest.mark.parametrize("directory", ["other", "other/deep"])
def test_no_repository_is_built_in_the_root_dir_of_another_mirror(tmp_path: Path, directory: str) -> None:
    with victim(tmp_path) as mirror:
        assert mirror.sync().code == 0
        theirs = mirror.www / "other/dists/Release"
        for path in (theirs, mirror.www / "other/.packrat-agent/mark"):
            path.parent.mkdir(parents=True)
            path.write_text("theirs")
        mirror.evil.repos["evil"] = repo_record("evil", directory)
        mirror.evil.add("2", Deb("more", "1", "all"))
        ended = mirror.sync()
        assert ended.code == 12
        assert f"its directory {directory} is, or lies in, other, the root_dir of another mirror" in ended.said
        assert sorted(path.name for path in (mirror.www / "other").iterdir()) == [".packrat-agent", "dists"]
        assert theirs.read_text() == "theirs"
        assert (mirror.www / "apt-dev/pool/more/more_1_all.deb").exists()
