"""Drives Chromium without a window, by the protocol of its developer tools over a pair of pipes.

with chromium() as browser:
    page = browser.open("http://127.0.0.1:1234/", width=390)
    page.run("document.title")
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

_LIMIT_S = 60.0
_KEYS = {"Tab": (9, None), "Enter": (13, "\r"), " ": (32, " ")}


@dataclass
class Browser:
    """A running Chromium: messages are JSON that a zero byte ends."""

    to: int
    back: int
    asked: int = 0
    waiting: bytes = b""
    heard: list[dict[str, Any]] = field(default_factory=list)

    def call(self, method: str, session: str | None = None, **parameters: object) -> dict[str, Any]:
        """Give a command, and wait for its answer."""
        self.asked += 1
        message: dict[str, object] = {"id": self.asked, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self.to, data) :]
        while (answer := self._hear()).get("id") != self.asked:
            self.heard.append(answer)
        assert "error" not in answer, answer
        return dict(answer["result"])

    def wait_for(self, method: str, session: str) -> None:
        """Wait for an event, or take one that came before."""
        while True:
            for number, message in enumerate(self.heard):
                if (message.get("method"), message.get("sessionId")) == (method, session):
                    del self.heard[number]
                    return
            self.heard.append(self._hear())

    def _hear(self) -> dict[str, Any]:
        while b"\0" not in self.waiting:
            ready, _, _ = select.select([self.back], [], [], _LIMIT_S)
            assert ready, "Chromium says nothing"
            data = os.read(self.back, 1 << 20)
            assert data, "Chromium has ended"
            self.waiting += data
        told, _, self.waiting = self.waiting.partition(b"\0")
        return dict(json.loads(told))

    def open(self, url: str, *, width: int = 1280, is_dark: bool = False, script: bool = True) -> "Page":
        """Open a page in a tab of its own, and wait until it is loaded, or saved in the place of being shown.

        Args:
            url: Its address.
            width: The width of the window, in pixels.
            is_dark: The user likes it dark.
            script: The browser runs scripts.
        """
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session)
        for domain in ("Page", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        page.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        page.call("Emulation.setEmulatedMedia", features=[scheme])
        page.call("Emulation.setScriptExecutionDisabled", value=not script)
        # What is saved in the place of being shown is never loaded.
        if page.call("Page.navigate", url=url).get("errorText") != "net::ERR_ABORTED":
            self.wait_for("Page.loadEventFired", session)
        return page


@dataclass
class Page:
    """One tab."""

    browser: Browser
    session: str

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Give a command for this tab, and wait for its answer."""
        return self.browser.call(method, self.session, **parameters)

    def run(self, script: str) -> Any:
        """Evaluate an expression in the page, and wait for it if it is a promise."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def until(self, script: str) -> Any:
        """Wait until an expression is true; the page itself looks at every frame."""
        end = time.monotonic() + _LIMIT_S
        while not (found := self.run(f"new Promise((done) => setTimeout(() => done({script}), 20))")):
            assert time.monotonic() < end, (script, self.complaints())
        return found

    def press(self, key: str) -> None:
        """Press Tab, Enter or the space bar."""
        code, text = _KEYS[key]
        more = {"text": text} if text else {}
        self.call("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **more)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def type(self, text: str) -> None:
        """Type text where the focus is."""
        self.call("Input.insertText", text=text)

    def complaints(self) -> list[str]:
        """List what the console said, and what the scripts failed with."""
        found = []
        for message in self.browser.heard:
            if message.get("sessionId") == self.session:
                entry = message["params"].get("entry", {}).get("text")
                failed = message["params"].get("exceptionDetails")
                found += [str(told) for told in (entry, failed) if told]
        return found

    def picture(self, path: Path) -> None:
        """Write a picture of the whole page."""
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run Chromium while the context lasts."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("chromium is not installed: tests/provision.sh installs it")
    ours, theirs = os.pipe(), os.pipe()
    with tempfile.TemporaryDirectory(prefix="packrat-chromium-", ignore_cleanup_errors=True) as profile:
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run")
        # It reads from descriptor 3, and writes to 4.
        shell = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
        ends = (str(ours[0]), str(theirs[1]))
        program_line = (program, *options, "--remote-debugging-pipe", f"--user-data-dir={profile}", "about:blank")
        process = subprocess.Popen(
            ["bash", "-c", shell, "bash", *ends, *program_line],
            pass_fds=(ours[0], theirs[1]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(ours[0])
        os.close(theirs[1])
        try:
            yield Browser(ours[1], theirs[0])
        finally:
            os.close(ours[1])
            os.close(theirs[0])
            process.terminate()
            process.wait(30)
