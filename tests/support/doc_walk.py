"""An operator who follows a page from top to bottom, block by block, in a root."""

import itertools
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from support.doc_pages import NOT_RUN, Block, blocks
from support.fresh_root import FreshRoot

_PLACEHOLDERS = (
    (r"\d{4}-\d\d-\d\d", r"\d{4}-\d\d-\d\d"),
    (r"\d\d:\d\d:\d\d", r"\d\d:\d\d:\d\d"),
    (r"\b[0-9A-F]{40}\b", "[0-9A-F]{40}"),
    (r"\b\d+ (?:days?|hours?|minutes?) ago", r"[\d.]+ \w+ ago"),
    (r"\b[\d,.]+ [kKMGT]?B\b", r"[\d,.]+ (?:[kKMGT]?B|bytes)"),
    (" …", ".*"),
)
"""What differs each time in what a page shows → what may stand in its place."""


def looks_like(shown: str, printed: str) -> bool:
    """Whether lines that a page shows are among those that were printed, but for dates, sizes and fingerprints."""
    pattern = ""
    rest = shown.strip()
    while rest:
        found = [(match, may) for what, may in _PLACEHOLDERS if (match := re.match(what, rest))]
        match, may = found[0] if found else (re.match(r"\w+|.", rest, re.DOTALL), "")
        assert match is not None
        # The width of a column does not belong to what is said.
        pattern += may or (r"\s*" if match[0].isspace() else re.escape(match[0]))
        rest = rest[match.end() :]
    return re.search(pattern, printed) is not None


class Walk:
    """The blocks of a page that are still to be followed; each step takes the next one."""

    def __init__(self, root: FreshRoot, page: str, ours: Mapping[str, str]) -> None:
        self.root = root
        self.ours = dict(ours)
        """What the page's examples are here."""
        self.environment: dict[str, str] = {}
        left_out = {first for of, first in NOT_RUN if of == page}
        found = blocks(page)
        assert left_out <= {block.first for block in found}, f"{page} has no such block: {left_out}"
        self.blocks = [block for block in found if block.first not in left_out]
        self._variables = sorted(set(re.findall(r"^(?:export )?([A-Z_]+)=", _joined(found), re.MULTILINE)))

    def next(self, begins: str, language: str) -> Block:
        """The next block, with ours in place of its examples.

        Args:
            begins: what its first line begins with, so that a block that is new to the page is noticed.
            language: what the page calls its language.
        """
        assert self.blocks, f"the page has no further block: {begins}"
        block = self.blocks.pop(0)
        place = f"{block.page}:{block.line}"
        assert (block.language, block.first.startswith(begins)) == (language, True), f"{place} has {block.first}"
        text = block.text
        for example, real in self.ours.items():
            text = text.replace(example, real)
        return Block(block.page, block.line, block.language, text, block.before)

    def skip(self, begins: str) -> None:
        """Leave out what stands before a block: it was done in another way."""
        while not self.blocks[0].first.startswith(begins):
            self.blocks.pop(0)

    def run(self, begins: str, user: str = "root", typed: str = "", expect: int = 0) -> str:
        """Run the next block; variables stay for the blocks that follow. Gives what it prints, logs included."""
        return self.type(self.next(begins, "sh").text, user, typed, expect)

    def type(self, text: str, user: str = "root", typed: str = "", expect: int = 0) -> str:
        """Run commands in the shell that the page's blocks are run in."""
        state = f"/tmp/shell-of-{user}"
        given = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in self.environment.items())
        keep = "".join(f"[ -z ${{{name}+set}} ] || declare -p {name}\n" for name in self._variables)
        keep += """printf 'cd %q\\n' "$PWD"\n"""
        script = f"[ ! -e {state} ] || . {state}\n{given}{text}\n{{ umask -p\n{keep}}} > {state}"
        done = self.root.run(script, expect, user, typed)
        return done.stdout + done.stderr

    def at_terminal(self, text: str, user: str = "root", asks: str = "[y/N]", answer: str = "n") -> str:
        """Run commands that may ask at a terminal; gives what it shows.

        Args:
            text: the commands.
            user: who runs them.
            asks: what a question contains.
            answer: what is typed then.
        """
        words = shlex.join(["/usr/local/bin/answer", asks, answer, text])
        return self.type(f"TERM=dumb {words}", user).replace("\r", "")

    def session(self, begins: str, user: str = "root") -> None:
        """Run the commands behind `$ ` of the next block at a terminal; they must print what the page shows."""
        block = self.next(f"$ {begins}", "")
        for command, shown in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
            printed = self.at_terminal(f"{command} || true", user)
            assert looks_like(shown, printed), f"{block.page}:{block.line} shows\n{shown}\nand this came\n{printed}"

    def lists(self, begins: str, language: str, directory: str) -> None:
        """The next block lists paths; each is there below a directory, `<…>` standing for any name."""
        block = self.next(begins, language)
        top = self.root.path(directory)
        inside = ""
        for line in re.sub(r"<[^>]+>", "*", block.text).splitlines():
            path, *more = line.split()
            inside = path if path.endswith("/") and not line.startswith(" ") else inside
            at = Path(path if path == inside else f"{inside}{path}")
            beside = itertools.takewhile(lambda name: re.fullmatch(r"[\w*.]+\.\w+", name), more)
            siblings = [at.with_name(name) for name in beside]
            for pattern in (at, *siblings):
                assert list(top.glob(str(pattern).lstrip("/"))), f"{block.page}:{block.line} lists {pattern}"

    def shows(self, begins: str, printed: str, language: str = "text") -> None:
        """The next block shows what was printed."""
        block = self.next(begins, language)
        assert looks_like(block.text, printed), (
            f"{block.page}:{block.line} shows\n{block.text}\nand this came\n{printed}"
        )


def _joined(found: list[Block]) -> str:
    return "\n".join(block.text for block in found)


@contextmanager
def page_walk(root: FreshRoot, page: str, ours: Mapping[str, str] | None = None) -> Iterator[Walk]:
    """Follow a page; what is left of it at the end is a mistake."""
    walk = Walk(root, page, ours or {})
    yield walk
    assert not walk.blocks, f"nobody follows {page}:{walk.blocks[0].line}"
