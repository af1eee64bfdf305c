# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of a terminal as a program needs that draws lines in place: what a person would see."""

from __future__ import annotations

import re

SEQUENCE = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])|\r|\n|[^\x1b\r\n]")


class Terminal:
    """Takes what is written, and knows what is to be seen.

    :param columns: its width; longer lines are broken.
    :attr lines: everything from the first line on, what has scrolled away included.
    :attr colored: whether any colour was set.
    """

    def __init__(self, columns: int = 80) -> None:
        self.columns = columns
        self.lines = [""]
        self.row = self.column = 0
        self.colored = False
        self._rest = ""

    def write(self, text: str) -> None:
        """Take in what a program writes."""
        text = self._rest + text
        end = 0
        for match in SEQUENCE.finditer(text):
            assert match.start() == end or "\x1b" in text[end : match.start()], "what is not understood"
            end = match.end()
            self._do(match)
        self._rest = text[end:]
        assert len(self._rest) < 20, f"not understood: {self._rest!r}"

    def _do(self, match: re.Match[str]) -> None:
        what, given = match.group(2), match.group(1)
        if what is None:
            self._sign(match.group(0))
        elif what == "A":
            self.row = max(0, self.row - int(given or 1))
        elif what == "K":
            self.lines[self.row] = self.lines[self.row][: self.column]
        elif what == "J":
            self.lines[self.row] = self.lines[self.row][: self.column]
            del self.lines[self.row + 1 :]
        elif what == "m":
            self.colored = self.colored or given not in ("", "0")
        else:
            raise AssertionError(f"not understood: {match.group(0)!r}")

    def _sign(self, sign: str) -> None:
        if sign == "\r":
            self.column = 0
            return
        if sign == "\n" or self.column >= self.columns:
            self.row, self.column = self.row + 1, 0
            if self.row == len(self.lines):
                self.lines.append("")
        if sign != "\n":
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + sign + line[self.column + 1 :]
            self.column += 1
