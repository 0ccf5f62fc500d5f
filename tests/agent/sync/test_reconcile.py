"""reconcile: which package files nothing is known of."""

from packrat_agent.model.entries import Fragment
from packrat_agent.model.records import PackageFile
from packrat_agent.state.packages import Unreadable, WantedFile
from packrat_agent.sync.reconcile import find_unread


def wanted(number: int, unreadable: Unreadable = Unreadable.NO) -> WantedFile:
    file = PackageFile(f"/{number}", "tool", "rhel9", "1.0-1", "rpm", "x86_64", "/f", "tool.rpm", str(number) * 64)
    return WantedFile(file, unreadable=unreadable)


def test_what_was_read_and_what_is_unreadable_is_not_looked_for() -> None:
    items = [wanted(1), wanted(2), wanted(3, Unreadable.UNTIL_FULL_SYNC), wanted(4, Unreadable.UNTIL_RECORD_CHANGES)]
    read = {"2" * 64: Fragment(b"", "tool", "1.0-1", "x86_64", size=1)}
    assert find_unread(items, read) == {"1" * 64}
