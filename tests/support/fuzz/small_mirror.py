"""A small mirror as a packrat server tells of it, without a server: what it answers to each question."""

from typing import Any

from packrat_demo.build_deb import Deb, build_deb
from support.evil import FILE, MIRROR, REPO, answer, file_record, repo_record


class SmallMirror:
    """Three repositories with three package files each."""

    def __init__(self) -> None:
        self.contents = {name: build_deb(Deb(name, "1", "all")) for name in ("one", "two", "three")}

    def file(self, target: str) -> bytes:
        """Answer a download."""
        content = self.contents.get(target.removeprefix("/files/").partition("_")[0], b"?" * 100)
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(content), content)

    def value(self, verb: str, target: str) -> tuple[Any, dict[str, str]]:
        """Give the JSON value and the headers of any other answer."""
        model, _, rest = target.partition(":")
        if verb == "LIST":
            return [f"{FILE}:{number}:" for number in (1, 2, 3)], {"Total": "3"}
        if verb == "DESCRIBE":
            return {"api-version": "2.0", "actions": [f"{MIRROR}(changes)"]}, {}
        if verb == "CALL" and "login" in target:
            return "token", {}
        if verb == "CALL":
            changes = {f"{REPO}:apt-dev:": ["one"], f"{MIRROR}:lab:": None}
            return {"position": "7", "changes": changes} if "changes" in target else ["one"], {}
        if model == MIRROR:
            names = ("apt-dev", "apt-more", "py")
            return {"name": "lab", "description": "d", "repo_list": [f"{REPO}:{name}:" for name in names]}, {}
        ids = rest.removesuffix(":").split(":")
        return {f"{model}:{number}:": self._record(model, number) for number in ids}, {}

    def say(self, verb: str, target: str) -> bytes:
        """Answer rightly."""
        if target.startswith("/files/"):
            return self.file(target)
        value, headers = self.value(verb, target)
        return answer(value, **headers)

    def _record(self, model: str, one: str) -> dict[str, Any]:
        if model == REPO:
            return {**repo_record(one, one), "manager_type": "pypi" if one == "py" else "apt"}
        if model == FILE:
            name = {"1": "one", "2": "two"}.get(one, "three")
            return file_record(f"{name}_1_all.deb", self.contents[name])
        return {"name": one, "distro": "debian", "version": "12", "file_type": "deb"}
