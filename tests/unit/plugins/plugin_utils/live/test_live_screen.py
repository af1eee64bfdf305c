# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lines that are redrawn at the bottom of a real terminal."""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import termios

import pytest
from terminal import Terminal

from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.live.screen import USUAL_SIZE, Screen, erasing

MARK = "\x1b[99m"


class Rig:
    """A terminal, a screen in it, and a clock that goes when it is told to."""

    def __init__(self, monkeypatch):
        self.monkeypatch, self.begun = monkeypatch, False
        self.master, self.slave = os.openpty()
        self.resize(80, 24)
        self.stream = os.fdopen(self.slave, "w", encoding="utf-8")
        self.terminal, self.raw, self.now = Terminal(), "", 0.0
        self.screen = Screen(self.stream, lambda: self.now)

    def resize(self, columns, lines):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def begin(self, errors=None):
        """Make the terminal standard output, and begin; not in a fixture, after which pytest puts its own in place."""
        self.monkeypatch.setattr(sys, "stdout", self.stream)
        self.monkeypatch.setattr(sys, "stderr", errors or self.stream)
        self.screen.begin()
        self.begun = True

    def show(self, *lines, later=1.0):
        if not self.begun:
            self.begin()
        self.now += later
        self.screen.show([(line, len(line)) for line in lines])

    @property
    def seen(self):
        """What a person sees, without the line on which the cursor rests."""
        # What is written comes out a little later: up to a mark.
        os.write(self.slave, MARK.encode())
        text = ""
        while not text.endswith(MARK):
            text += os.read(self.master, 1 << 16).decode()
        text = text[: -len(MARK)]
        self.raw += text
        self.terminal.write(text)
        *lines, last = self.terminal.lines
        assert last == ""
        return lines


@pytest.fixture
def rig(monkeypatch):
    """A rig."""
    rig = Rig(monkeypatch)
    yield rig
    rig.screen.end()
    rig.stream.close()
    os.close(rig.master)


def test_lines_take_the_place_of_those_before(rig):
    for lines in (["one", "two"], ["three", "four", "five"], ["six"]):
        rig.show(*lines)
        assert rig.seen == lines


def test_what_others_write_goes_above(rig):
    rig.show("view")
    rig.now += 1
    print("first")
    assert rig.seen == ["first", "view"]
    rig.now += 1
    print("second", file=sys.stderr)
    assert rig.seen == ["first", "second", "view"]
    rig.show("later")
    assert rig.seen == ["first", "second", "later"]


def test_a_line_that_is_not_at_its_end_is_left_alone(rig):
    rig.show("view")
    sys.stdout.write("Password: ")
    rig.show("other")
    sys.stdout.write("ok\n")
    assert rig.seen == ["Password: ok", "other"]


def test_it_redraws_ten_times_a_second_at_most(rig):
    for number in range(1000):
        rig.show(f"view {number}", later=0.001)
    rig.show("last")
    assert rig.seen == ["last"]
    assert 5 < rig.raw.count("view") <= 11


def test_what_has_not_changed_is_not_drawn_again(rig):
    rig.show("view")
    rig.show("view")
    assert rig.seen == ["view"] and rig.raw.count("view") == 1


def test_it_is_gone_at_the_end_and_nothing_is_left(rig):
    rig.show("one", "two")
    print("text")
    rig.show("three")
    rig.screen.end()
    assert sys.stdout is rig.stream and sys.stderr is rig.stream
    print("more")
    assert rig.seen == ["text", "more"]
    rig.screen.end()


def test_the_cursor_is_never_hidden(rig):
    rig.show("one")
    print("text")
    rig.show("two")
    rig.screen.end()
    assert rig.seen == ["text"] and "\x1b[?" not in rig.raw


def test_who_has_put_something_else_in_place_of_a_stream_keeps_it(rig):
    with open(os.devnull, "w") as other:
        sys.stderr = other
        rig.screen.end()
        assert sys.stderr is other


def test_somebody_is_asked_something(rig):
    rig.show("view")
    rig.screen.hide(True)
    rig.show("other")
    assert rig.seen == []
    rig.screen.hide(False)
    rig.show("view")
    assert rig.seen == ["view"]


def test_a_worker_process_writes_as_if_nothing_were_there(rig, monkeypatch):
    rig.show("view")
    assert rig.seen == ["view"]
    monkeypatch.setattr(os, "getpid", lambda: -1)
    print("from a worker", flush=True)
    rig.screen.end()
    assert rig.seen == ["view", "from a worker"] and sys.stdout is not rig.stream
    monkeypatch.undo()


def test_streams_are_what_they_were_in_all_else(rig):
    rig.begin()
    assert sys.stdout.isatty() and sys.stdout.fileno() == rig.slave and sys.stdout.encoding == "utf-8"
    sys.stdout.writelines(["a\n", "b\n"])
    assert rig.seen == ["a", "b"]


def test_only_what_is_a_terminal_is_watched(rig, tmp_path):
    with open(tmp_path / "errors", "w") as errors:
        rig.begin(errors)
        assert sys.stdout is not rig.stream and sys.stderr is errors
        rig.screen.end()


@pytest.mark.parametrize(
    ("widths", "columns", "up"),
    [([], 80, 0), ([0, 79], 80, 2), ([80], 80, 1), ([79, 40], 50, 3), ([79], 20, 4), ([5], 0, 5)],
)
def test_lines_that_a_narrower_terminal_has_broken_are_found_again(widths, columns, up):
    assert erasing(widths, columns) == (f"\r\x1b[{up}A" if up else "")


def test_the_size_is_asked_for_each_time(rig):
    rig.resize(40, 10)
    assert rig.screen.size() == (40, 10)
    rig.show("x" * 39)
    rig.resize(20, 10)
    rig.show("view")
    assert "\x1b[2A" in "".join([*rig.seen, rig.raw])
    rig.resize(0, 0)
    assert rig.screen.size() == USUAL_SIZE
