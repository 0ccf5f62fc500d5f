"""What `packrat-agent sync` says that it did, and with `--dry-run` what it would do."""

from packrat_demo.build_deb import Deb, build_deb
from support.stage import Stage

FIRST = Deb("first", "1", "amd64")


def test_the_summary_counts_what_was_done(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    said = lab.agent("sync").stdout
    assert "+ apt-dev/pool/first/first_1_amd64.deb" in said
    assert "1 added" in said


def test_the_summary_names_a_file_of_two_suites_once(lab: Stage) -> None:
    lab.server.put_deb(FIRST, ("bookworm", "trixie"))
    for option in (["--dry-run"], []):
        said = lab.agent("sync", *option).stdout
        assert said.count("+ apt-dev/pool/first/first_1_amd64.deb") == 1
        assert f"2 {'would be ' if option else ''}added" in said


def test_a_dry_run_says_what_would_be_done_and_touches_nothing(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    done = lab.agent("sync", "--dry-run")
    said = done.stdout
    assert "first_1_amd64.deb" in said
    assert "1 would be added" in said
    assert done.stderr.endswith(" sync` does it\n")
    assert not lab.www.exists()
    assert not any((lab.directory / "state").iterdir())
    lab.agent("sync")
    (lab.www / "stranger").write_text("mine")
    before = lab.tree()
    said = lab.agent("sync", "--dry-run").stdout
    assert "stranger" in said
    assert "kept in their places" not in said
    assert lab.tree() == before


def test_a_dry_run_names_what_adopt_would_take_over_and_what_it_would_remove(lab: Stage) -> None:
    lab.server.put_deb(FIRST)
    place = lab.repo / "pool/first"
    place.mkdir(parents=True)
    (place / FIRST.file_name).write_bytes(build_deb(FIRST))
    (lab.www / "stranger").write_text("mine")
    said = lab.agent("sync", "--dry-run").stdout
    assert "x stranger" in said
    assert f"= apt-dev/pool/first/{FIRST.file_name}\n" in said
    assert said.count(FIRST.file_name) == 1
