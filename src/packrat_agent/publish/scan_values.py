"""The values of a scan: what it is asked to look at, and what it finds."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from packrat_agent.model.entries import StoredFile
from packrat_agent.publish.scan_slices import Slice
from packrat_agent.publish.walk import Directories
from packrat_agent.state.scanned import ScannedFiles
from packrat_core.fs.verified import Opened

OnHashed = Callable[[str, str, Opened], None]
"""Called with the path, the SHA-256 and the open file."""


@dataclass(slots=True)
class Scan:
    """The files below `root_dir` as a scan found them; all paths are relative to it.

    Attributes:
        files: How many remembered files are right.
        bytes: How large these are.
        read_bytes: How much content was read.
        damaged: Remembered, but missing, of another type or with other bytes.
        untracked: Regular files that nobody remembers; their SHA-256 is '' where they were not, or could not be, read.
        untracked_special: Links, sockets and others that nobody remembers.
        closed: Remembered files and directories that not everybody may read.
        unreadable: The paths of damaged files that this user may not read, which may be sound.
        untold: How many files of a portion were looked at without a call of `on_progress`.
        left_out: How many more are untracked than the scan lists.
        first_left: The first of those that came after the last that was listed.
    """

    files: int = 0
    bytes: int = 0
    read_bytes: int = 0
    damaged: list[StoredFile] = field(default_factory=list)
    untracked: list[StoredFile] = field(default_factory=list)
    untracked_special: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    unreadable: set[str] = field(default_factory=set)
    directories: Directories = field(default_factory=Directories)
    untold: int = 0
    left_out: int = 0
    first_left: str | None = None

    def leave_out(self, path: str) -> None:
        """Count an untracked file that is one too many."""
        self.left_out += 1
        self.first_left = self.first_left or path


@dataclass(frozen=True, slots=True)
class ScanRequest:
    """A scan to do: what to look at, and how.

    Attributes:
        root: root_dir.
        memory: The files as they were last seen. The scan notes there, in portions, how the right ones look, and that
            the next scan reads the damaged ones again.
        content: Which remembered files to read.
        on_progress: Called with (files, bytes read) since the last call, every MiB, after each file that was read, and
            after each portion; what it raises ends the scan.
        on_portion: Called after each portion of files.
        unlock: Called with a directory that this user may not read, before it is tried once more.
        reads_untracked: Whether the content of untracked files is read, too, so that they can be adopted.
        largest: Bytes of the largest untracked file of which the content is read.
        most_untracked: How many untracked files, and how many others of them, are listed.
        untracked_from: The untracked path to begin the lists with, since those before had their turn.
        is_passed_over: Tells of an untracked path that it is neither listed nor counted.
        on_hashed: Called with the path, the SHA-256 and the open file, for each small untracked file that was hashed
            and that nobody can have written to since without a change of its ctime.
    """

    root: Path
    memory: ScannedFiles
    content: Slice
    on_progress: Callable[[int, int], None]
    on_portion: Callable[[], None] = lambda: None
    unlock: Callable[[str], None] | None = None
    reads_untracked: bool = True
    largest: int = sys.maxsize
    most_untracked: int = sys.maxsize
    untracked_from: str = ""
    is_passed_over: Callable[[str], bool] = lambda path: False
    on_hashed: OnHashed | None = None
