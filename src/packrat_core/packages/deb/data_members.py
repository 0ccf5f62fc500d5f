"""Finds members of a data archive that no dpkg unpacks where nothing of their names is there already.

1. A hard link to a symbolic link, which `dpkg-deb --build` makes of two symbolic links that are one file, or to a
   directory. dpkg creates the symbolic link under another name first: such a package can replace an earlier version
   that has the symbolic link, but no new client can install it.
2. A symbolic link without a target, unless dpkg passes over it for a directory of its name.
3. A hard link to itself, or to a file that comes behind it: an update would link it to the file of the earlier version.
4. A file that stands in the place of a directory: a directory of its name comes behind it, or a member below it. Pipes
   and devices give way to a directory of their name: dpkg gives files their names at the end, all others at once.
5. A directory or a pipe as a conffile, or a symbolic link to one: dpkg reads it, and fails at the one, and waits for
   ever at the other.

What depends on other packages of the client is taken: a file in a directory that the archive does not have, a hard link
to a file that it does not have, a member that leads through a symbolic link.

    members = DataMembers()
    for member in TarReader(archive):
        members.add(member)
    members.check_conffiles(["etc/tool.conf"])

Source: dpkg's archives.c; measured with dpkg 1.21 and 1.22.
"""

import posixpath
import re
from collections.abc import Iterable

from packrat_core.archives.limits import DirectoryNames
from packrat_core.archives.tar import TarKind, TarMember
from packrat_core.errors import Refused

_SHOWN_LIMIT = 60
_LINKS_LIMIT = 40
"""Symbolic links that Linux follows one after the other."""
_OUT_AGAIN = re.compile(r"(?:^|/)(?!\.{1,2}(?:/|$))[^/]+/+(?:\./+)*\.\.(?:/|$)")
"""`..` behind a name."""


class DataMembers:
    """The members of a data archive so far, by the hashes of their names, since a name may be long."""

    def __init__(self) -> None:
        self._directories: set[int] = set()
        self._links: dict[int, int] = {}
        """Where each symbolic link leads."""
        self._files: set[int] = set()
        """With the hard links."""
        self._pipes_and_devices: set[int] = set()
        self._pipes: set[int] = set()
        """Those of them that are pipes at the end."""
        self._above: set[int] = {hash(".")}
        """Directories above other members; all above one that is in here are in here, too. `.` is the root."""
        self._awaited: dict[int, str] = {}
        """Targets of hard links that are not there yet, and the first link to each."""
        self._names = DirectoryNames()

    def add(self, member: TarMember) -> None:
        """Check the next member.

        Raises:
            Refused: dpkg can't unpack it.
        """
        self._check_way(member)
        if self._awaited and (link := self._awaited.get(hash(member.name))) is not None:
            raise Refused(
                f"its hard link {link!r} stands before the file that it is one to, so that dpkg can't create it"
            )
        name, shown = hash(member.name), member.name[:_SHOWN_LIMIT]
        if member.kind is TarKind.DIRECTORY:
            if name in self._files:
                raise Refused(f"its directory {shown!r} comes behind a file of that name, at which dpkg fails")
            self._pipes_and_devices.discard(name)
            self._directories.add(name)
            return
        if member.kind is TarKind.SYMBOLIC_LINK:
            if not member.target and name not in self._directories:
                raise Refused(f"its symbolic link {shown!r} has no target, so that dpkg can't create it")
            if name not in self._files:
                self._links[name] = hash(_led_to(member))
            return
        if member.kind is TarKind.HARD_LINK:
            self._check_hard_link(member)
        self._links.pop(name, None)
        if name in self._directories:
            # dpkg moves the directory out of the way.
            self._directories.discard(name)
        else:
            is_file = member.kind in (TarKind.FILE, TarKind.HARD_LINK)
            (self._files if is_file else self._pipes_and_devices).add(name)
            if member.kind is TarKind.NAMED_PIPE:
                self._pipes.add(name)
            else:
                self._pipes.discard(name)

    def check_conffiles(self, names: Iterable[str]) -> None:
        """Check the conffiles, once all members are there.

        Raises:
            Refused: dpkg can't read one.
        """
        for name in names:
            number, verb = hash(name), "is"
            for _ in range(_LINKS_LIMIT):
                if number in self._directories or number not in self._links:
                    break
                number, verb = self._links[number], "leads to"
            is_directory = number in self._directories or (verb == "leads to" and number in self._above)
            if is_directory or number in self._pipes:
                what = f"{verb} {'a directory' if is_directory else 'a pipe'}"
                raise Refused(f"its conffile {name[:_SHOWN_LIMIT]!r} {what}, which dpkg can't read as a file")

    def _check_way(self, member: TarMember) -> None:
        way = posixpath.dirname(member.name)
        while way and (name := hash(way)) not in self._above:
            self._names.count(way)
            if name in self._files or name in self._pipes_and_devices:
                shown = member.name[:_SHOWN_LIMIT]
                raise Refused(f"its member {shown!r} stands below a file of the archive, where dpkg can't create it")
            self._above.add(name)
            way = posixpath.dirname(way)

    def _check_hard_link(self, member: TarMember) -> None:
        target = posixpath.normpath(member.target.lstrip("/") or ".")
        for names, what in ((self._links, "a symbolic link"), (self._directories, "a directory")):
            if hash(target) in names or (target == "." and what == "a directory"):
                raise Refused(
                    f"its hard link {member.name[:_SHOWN_LIMIT]!r} is one to {what}, which dpkg can't create",
                    hint="make it a symbolic link",
                )
        shown = member.name[:_SHOWN_LIMIT]
        if target == member.name:
            raise Refused(f"its hard link {shown!r} is one to itself, so that dpkg can't create it")
        number = hash(target)
        if number not in self._files and number not in self._pipes_and_devices:
            self._awaited.setdefault(number, shown)


def _led_to(link: TarMember) -> str:
    """Give the name of the member that a symbolic link leads to, if none of the directories on the way is a link.

    '' where `..` leads out of what need not be a directory of that place: it may be a link, or a file.
    """
    if _OUT_AGAIN.search(link.target):
        return ""
    return posixpath.normpath(posixpath.join("/", posixpath.dirname(link.name), link.target)).lstrip("/") or "."
