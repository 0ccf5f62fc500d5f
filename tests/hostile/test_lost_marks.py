"""A server whose list of the files that stay is broken does not take the yanked files away by it."""

from pathlib import Path

from packrat_demo.build_wheel import Python, write_wheel
from support.evil import FILE, MIRROR, ROOT, Evil, Send, Victim, answer, file_record, repo_record

COUNT = 12


def as_wheels(evil: Evil, directory: Path) -> None:
    """Make the only repository one of Python, with wheels that the server lists as deprecated."""

    async def describe_mirror(send: Send) -> None:
        await send(answer({"actions": [f"{MIRROR}(changes)"]}))

    async def describe_file(send: Send) -> None:
        await send(answer({"actions": [], "list-filters": {"kept": {}}}))

    evil.lies = {("DESCRIBE", MIRROR): describe_mirror, ("DESCRIBE", FILE): describe_file}
    evil.repos = {"pypi-dev": repo_record("pypi-dev", "pypi-dev") | {"manager_type": "pypi"}}
    evil.files, evil.contents = {}, {}
    for number in range(COUNT):
        path = write_wheel(Python("tool", f"1.{number}"), directory)
        record = file_record(path.name, path.read_bytes())
        evil.files[str(number)] = record | {
            "package": f"{ROOT}Package/Package:tool:",
            "type": "python",
            "version": f"1.{number}",
            "deprocated_at": "2026-01-01",
        }
        evil.contents[f"/files/{path.name}"] = path.read_bytes()


def offered(lured: Victim) -> int:
    """Count the files that the page of the project names."""
    return (lured.www / "pypi-dev/simple/tool/index.html").read_text().count(".whl</a>")


def test_yanked_files_that_a_broken_list_lacks_stay_unless_their_records_say_that_they_failed(
    lured: Victim, tmp_path: Path
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    as_wheels(lured.evil, wheels)
    assert lured.sync().code == 0
    assert offered(lured) == COUNT
    for listed in ([], [f"{FILE}:0:"]):
        lured.evil.listed = listed
        ended = lured.sync()
        assert ended.code == 12
        assert "--accept-removals" in ended.said
        assert offered(lured) == COUNT
    for number in range(1, COUNT):
        lured.evil.files[str(number)] |= {"failed_at": "2026-01-02"}
    assert lured.sync().code == 0
    assert offered(lured) == 1
