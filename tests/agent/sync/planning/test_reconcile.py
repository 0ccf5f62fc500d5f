"""reconcile: which package files nothing is known of."""

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from packrat_agent.model.entries import Fragment
from packrat_agent.model.records import PackageFile
from packrat_agent.state.file_state import Unreadable
from packrat_agent.state.packages import WantedFile
from packrat_agent.sync.planning.reconcile import _left_in_place, find_unread


def wanted(number: int, unreadable: Unreadable = Unreadable.NO) -> WantedFile:
    file = PackageFile(f"/{number}", "tool", "rhel9", "1.0-1", "rpm", "x86_64", "/f", "tool.rpm", str(number) * 64)
    return WantedFile(file, unreadable=unreadable)


def test_read_and_unreadable_files_are_not_looked_for() -> None:
    items = [wanted(1), wanted(2), wanted(3, Unreadable.UNTIL_FULL_SYNC), wanted(4, Unreadable.UNTIL_RECORD_CHANGES)]
    read = {"2" * 64: Fragment(b"", "tool", "1.0-1", "x86_64", size=1)}
    assert find_unread(items, read) == {"1" * 64}


@given(
    standing=st.sets(st.sampled_from(["a/pool/x/1", "a/pool/x/2", "a/pool/y/1", "b/1"])),
    lacking=st.dictionaries(
        st.sampled_from("1234"), st.sampled_from(["a/pool/x/1", "a/pool/x/2", "a/pool/y/1", "b/1"])
    ),
)
def test_a_file_in_its_place_is_found_whatever_its_kind(standing: set[str], lacking: dict[str, str]) -> None:
    with TemporaryDirectory() as directory:
        root = Path(directory)
        for path in standing:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).symlink_to("nowhere")
        expected = {sha256: path for sha256, path in lacking.items() if path in standing}
        assert _left_in_place(lacking, root) == expected
