# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Shows what is heard of a rollout, redrawn in a terminal or line by line."""

from __future__ import annotations

import os
import threading
import time
from typing import Any, Callable, Mapping

from .felt import felt_so_far
from .frame import columns, frame
from .hearing import ENDED, Hearing, News, Result
from .screen import Screen
from .words import PRETTY, Line, Signs, interrupted, lasting_lines, log_lines

# Seconds between two looks at what has changed.
TICK = 0.2
# Seconds between two readings of the probe's record, at least; and the share of the time that they may take.
FELT_EVERY, FELT_SHARE = 1.0, 0.05
# Tasks that ask somebody something.
ASKING = frozenset(("pause", "ansible.builtin.pause", "ansible.legacy.pause"))


class View:
    """What the callback has: it is told, and it shows.

    :param say: prints a line that stays, `say(text, style)`.
    :param note: notes a line in the log file, if there is one.
    :param paint: gives a text its style's colours.
    :param screen: the terminal that is redrawn; None where lines are printed.
    :param record: the file into which a probe writes, if it is known.
    """

    def __init__(
        self,
        say: Callable[[str, str], None],
        note: Callable[[str], None],
        paint: Callable[[str, str], str],
        screen: Screen | None = None,
        signs: Signs = PRETTY,
        record: str = "",
        check_mode: bool = False,
    ) -> None:
        self._say, self._note, self._paint = say, note, paint
        self._screen, self._signs, self._record = screen, signs, record
        self._hearing = Hearing(check_mode)
        # Ansible calls from more than one thread, and the ticker is one more.
        self._lock = threading.RLock()
        self._ticker: threading.Thread | None = None
        self._over = threading.Event()
        self._given_up = False
        self._owner = os.getpid()
        self._felt: Mapping[str, Any] | None = None
        self._next_reading = 0.0
        self.trouble: Callable[[Exception], None] = lambda error: None

    @property
    def told(self) -> list[str]:
        """How the last rollout has told its end; empty before."""
        rollout = self._hearing.rollout
        return rollout.lines if rollout is not None and rollout.ended is not None else []

    def found_record(self, path: str) -> None:
        """A probe says into which file it writes; what the user has named goes first."""
        self._record = self._record or path

    def started(self, action: str, args: Mapping[str, Any]) -> None:
        """A task begins."""
        if self._screen:
            self._screen.hide(action in ASKING)
        with self._lock:
            news = self._hearing.started(action, args, time.time())
        self._tell(news)

    def heard(self, result: Result) -> None:
        """A task has ended on a host."""
        with self._lock:
            news = self._hearing.heard(result, time.time())
            under_way = self._hearing.rollout is not None and self._hearing.rollout.ended is None
        self._tell(news)
        if under_way and self._screen and self._ticker is None and not self._given_up:
            self._begin(self._screen)

    def close(self) -> None:
        """The run has ended; if its rollout has not, say where it was."""
        if os.getpid() != self._owner:
            return
        self.stop()
        with self._lock:
            rollout, self._hearing = self._hearing.rollout, Hearing()
        if rollout is not None and rollout.ended is None:
            self._say(*interrupted(rollout, time.time()))

    def give_up(self) -> None:
        """Stop, and do not begin again, whatever is told of in the meantime."""
        self._given_up = True
        self.stop()

    def stop(self) -> None:
        """Take the lines off the terminal, and leave nothing behind."""
        self._over.set()
        ticker, self._ticker = self._ticker, None
        if ticker is None or os.getpid() != self._owner:
            return
        if ticker is not threading.current_thread():
            ticker.join(2.0)
        if self._screen:
            self._screen.end()

    def _tell(self, news: list[News]) -> None:
        for each in news:
            if each.what == ENDED:
                self.stop()
                self._read(at_once=True)
            now = time.time()
            lines = log_lines(each, self._felt, now)
            if self._screen is None:
                self._print(lines)
            else:
                for text, _style in lines:
                    self._note(text)
                self._print(lasting_lines(each, self._felt, self._screen.size()[0], now, self._signs))

    def _print(self, lines: list[Line]) -> None:
        for text, style in lines:
            self._say(text, style)

    # The part that is redrawn

    def _begin(self, screen: Screen) -> None:
        self._over.clear()
        screen.begin()
        self._ticker = threading.Thread(
            target=self._tick, args=(screen,), name="zero_downtime.deploy.live", daemon=True
        )
        self._ticker.start()

    def _tick(self, screen: Screen) -> None:
        try:
            while not self._over.is_set():
                self._read()
                self._redraw(screen)
                self._over.wait(TICK)
        except Exception as error:
            self.trouble(error)

    def _redraw(self, screen: Screen) -> None:
        width, height = screen.size()
        with self._lock:
            rollout = self._hearing.rollout
            if rollout is None or rollout.ended is not None:
                return
            lines = frame(rollout, self._felt, width, height, time.time(), self._signs)
        screen.show(
            [
                ("".join(self._paint(text, style) for text, style in line), sum(columns(text) for text, _style in line))
                for line in lines
            ]
        )

    def _read(self, at_once: bool = False) -> None:
        began = time.monotonic()
        if not self._record or (began < self._next_reading and not at_once):
            return
        self._felt = felt_so_far(self._record)
        took = time.monotonic() - began
        self._next_reading = began + max(FELT_EVERY, took / FELT_SHARE)
