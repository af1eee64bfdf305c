# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's Chromium without a screen, driven over a pipe with its own protocol: the standard library is enough.

    python tests/support/browser/chromium.py PAGE.html SHOT.png [WIDTH] [light|dark]

takes a picture of a whole page.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Iterator

PATIENCE = 60.0  # seconds for what takes a fraction of one
FLAGS = (
    "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--disable-extensions", "--disable-dev-shm-usage", "--hide-scrollbars", "--force-color-profile=srgb",
    "--remote-debugging-pipe",
)  # fmt: skip


def find() -> str | None:
    """The program; None where it is not installed."""
    return shutil.which("chromium")


class Chromium:
    """One browser with one page.

    :param program: what to start.
    :param profile: an empty directory.
    """

    def __init__(self, program: str, profile: Path) -> None:
        self._numbers = 0
        self._buffer = b""
        self.events: list[dict[str, Any]] = []
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        # It reads from descriptor 3 and writes to 4. A shell puts them there; by their paths, because it takes no number above 9.
        command = [
            program,
            *FLAGS,
            *(["--no-sandbox"] if os.geteuid() == 0 else []),
            f"--user-data-dir={profile}",
            "about:blank",
        ]
        self._log = (profile / "chromium.log").open("wb")
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", f'exec "$@" 3</dev/fd/{theirs_in} 4>/dev/fd/{theirs_out}', "chromium", *command],
            pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log,
        )  # fmt: skip
        os.close(theirs_in)
        os.close(theirs_out)
        (target,) = [each for each in self.ask("Target.getTargets")["targetInfos"] if each["type"] == "page"][:1]
        self._session = self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Security"):
            self.page(f"{domain}.enable")

    def ask(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """One command and its answer; what happens meanwhile is kept in `events`."""
        self._numbers += 1
        message = {
            "id": self._numbers,
            "method": method,
            "params": params,
            **({"sessionId": session} if session else {}),
        }
        os.write(self._out, json.dumps(message).encode() + b"\0")
        wanted = self._numbers
        while True:
            told = self._next()
            if told.get("id") == wanted:
                assert "error" not in told, f"{method}: {told['error']}"
                return told["result"]

    def page(self, method: str, **params: Any) -> dict[str, Any]:
        """A command to the page."""
        return self.ask(method, self._session, **params)

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + PATIENCE
        while b"\0" not in self._buffer:
            ready = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            assert ready[0], f"Chromium said nothing for {PATIENCE:g} s, see {self._log.name}"
            read = os.read(self._in, 1 << 20)
            assert read, f"Chromium has ended: {Path(self._log.name).read_text(errors='replace')[-2000:]}"
            self._buffer += read
        line, _end, self._buffer = self._buffer.partition(b"\0")
        told: dict[str, Any] = json.loads(line)
        if "method" in told:
            self.events.append(told)
        return told

    def show(self, width: int, scheme: str = "light") -> None:
        """How wide the window is, and whether the reader likes it light or dark."""
        self.page(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        self.page("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def open(self, url: str) -> float:
        """Go to `url`; returns the milliseconds until it was loaded and laid out."""
        self.events.clear()
        self.page("Page.navigate", url=url)
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self._next()
        return float(self.run("(document.body.getBoundingClientRect(), performance.now())"))

    def run(self, expression: str) -> Any:
        """The value of some JavaScript."""
        told = self.page("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def point_at(self, x: float, y: float) -> None:
        """Move the mouse there."""
        self.page("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def complaints(self) -> list[str]:
        """What the console has said since the page was opened, and what was loaded beside the page itself."""
        said = []
        for event in self.events:
            params = event["params"]
            if event["method"] == "Runtime.consoleAPICalled":
                said.append(f"console.{params['type']}: {params['args']}")
            elif event["method"] == "Runtime.exceptionThrown":
                said.append(f"exception: {params['exceptionDetails']}")
            elif event["method"] == "Log.entryAdded":
                said.append(f"log: {params['entry']['text']}")
            elif event["method"] == "Network.requestWillBeSent" and params["type"] != "Document":
                said.append(f"request: {params['request']['url']}")
        return said

    def picture(self, path: Path, whole: bool = True) -> None:
        """Write a picture of the page, all of it or what the window shows."""
        shot = self.page("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self) -> bytes:
        """The page as it is printed."""
        return base64.b64decode(self.page("Page.printToPDF", printBackground=False)["data"])

    def close(self) -> None:
        """End it, and wait until it has."""
        with contextlib.suppress(OSError, AssertionError):
            self.ask("Browser.close")
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)
        self._log.close()


@contextlib.contextmanager
def browser(program: str) -> Iterator[Chromium]:
    """A browser with a profile that is thrown away."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        there = Chromium(program, Path(profile))
        try:
            yield there
        finally:
            there.close()


if __name__ == "__main__":
    page, shot, *rest = sys.argv[1:]
    with browser(find() or "chromium") as chromium:
        chromium.show(int(rest[0]) if rest else 1280, rest[1] if len(rest) > 1 else "light")
        print(f"{chromium.open(Path(page).resolve().as_uri()):.0f} ms", *chromium.complaints(), sep="\n")
        chromium.picture(Path(shot))
