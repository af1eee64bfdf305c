# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A few lines at the bottom of a terminal that are redrawn in place, while others go on writing above them.

The cursor rests below the lines and is never hidden, and no mode of the terminal is changed: however the run ends, there is nothing
to be restored.  Whatever is written to standard output and standard error passes through here while the lines are there: they are
erased first and drawn again when the text has ended with its line.
"""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from typing import Any, Callable, Sequence

# Seconds between two redraws, at least.
LEAST_PAUSE = 0.1
# What a terminal that does not know its size is taken for.
USUAL_SIZE = (80, 24)
# Seconds that a terminal may take nothing before a redraw is left out.
_PATIENCE = 0.5


def erasing(widths: Sequence[int], columns: int) -> str:
    """What takes the cursor from below lines of these widths to where they begin; nothing is erased yet.

    A terminal that has become narrower has broken the lines that no longer fit.
    """
    rows = sum(max(1, -(-width // max(1, columns))) for width in widths)
    return f"\r\x1b[{rows}A" if rows else ""


class Screen:
    """The lines of one terminal.

    :param stream: the terminal, as a text stream: standard output.
    :param clock: seconds of a monotonic clock.
    """

    def __init__(self, stream: Any, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream, self._clock = stream, clock
        self._descriptor = stream.fileno()
        self._encoding = stream.encoding or "utf-8"
        # Never held while anything of Ansible's is called, which has a lock of its own.
        self._lock = threading.Lock()
        self._owner = os.getpid()
        self._wrapped: list[tuple[str, Any, Any]] = []
        self._lines: list[tuple[str, int]] = []  # what is to be seen
        self._drawn: list[tuple[str, int]] = []  # what is
        self._last = -LEAST_PAUSE
        self._writers = 0
        self._mid_line = False
        self._hidden = False

    def size(self) -> tuple[int, int]:
        """Columns and lines of the terminal, as it is now."""
        try:
            columns, lines = os.get_terminal_size(self._descriptor)
        except OSError:
            return USUAL_SIZE
        return columns or USUAL_SIZE[0], lines or USUAL_SIZE[1]

    def begin(self) -> None:
        """Take standard output and standard error, as far as they are this terminal."""
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if not self._wrapped or stream.isatty():
                above = Above(stream, self)
                self._wrapped.append((name, stream, above))
                setattr(sys, name, above)

    def end(self) -> None:
        """Erase the lines and give the streams back."""
        if os.getpid() != self._owner:
            return
        with self._lock:
            self._lines = []
            self._clear()
        while self._wrapped:
            name, stream, above = self._wrapped.pop()
            # Somebody else may have put something else there since.
            if getattr(sys, name) is above:
                setattr(sys, name, stream)

    def show(self, lines: Sequence[tuple[str, int]]) -> None:
        """Show lines, each a text and its width in columns, in place of those that are there."""
        with self._lock:
            self._lines = list(lines)
            self._draw()

    def hide(self, hidden: bool) -> None:
        """Keep the lines away, as long as somebody is asked something; or no longer."""
        with self._lock:
            self._hidden = hidden
            if hidden:
                self._clear()

    def ours(self) -> bool:
        """Whether this is the process that draws, and not one of its workers."""
        return os.getpid() == self._owner

    def make_room(self) -> None:
        """Somebody writes: the lines go."""
        with self._lock:
            self._writers += 1
            self._clear()

    def written(self, text: str) -> None:
        """Somebody has written: the lines come back."""
        with self._lock:
            self._writers -= 1
            if text:
                self._mid_line = not text.endswith("\n")
            self._draw()

    def _draw(self) -> None:
        now = self._clock()
        if self._hidden or self._mid_line or self._writers or now - self._last < LEAST_PAUSE:
            return
        if self._lines == self._drawn:
            return
        back = erasing([width for _text, width in self._drawn], self.size()[0])
        self._put(back + "".join(f"{text}\x1b[K\n" for text, _width in self._lines) + "\x1b[J")
        self._drawn, self._last = list(self._lines), now

    def _clear(self) -> None:
        if self._drawn:
            self._put(erasing([width for _text, width in self._drawn], self.size()[0]) + "\x1b[J")
            self._drawn = []

    def _put(self, text: str) -> None:
        """Write past the stream, whose lock a process that is forked now would inherit."""
        data = text.encode(self._encoding, "replace")
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                # Some programs leave the terminal that they share with us in this mode.
                if not select.select([], [self._descriptor], [], _PATIENCE)[1]:
                    return


class Above:
    """A text stream whose text goes above the lines of a screen; in all else, the stream itself."""

    def __init__(self, stream: Any, screen: Screen) -> None:
        self._stream, self._screen = stream, screen

    def write(self, text: str) -> int:
        """Write `text`; returns how much of it."""
        if not self._screen.ours():
            return self._stream.write(text)
        self._screen.make_room()
        try:
            written = self._stream.write(text)
            self._stream.flush()
            return written
        finally:
            self._screen.written(text)

    def writelines(self, lines: Any) -> None:
        """Write each of `lines`."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
