# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the view shows, where, and that nothing of it is left."""

from __future__ import annotations

import threading

import pytest
from told import OURS, Told

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.felt import Second
from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe.record import Writer
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.live.hearing import Result
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.live.view import View


class FakeScreen:
    """Notes what it is asked for."""

    def __init__(self):
        self.calls, self.shown, self.hidden, self.broken = [], [], False, False
        self.seen = threading.Event()

    def size(self):
        return 80, 24

    def begin(self):
        self.calls.append("begin")

    def end(self):
        self.calls.append("end")

    def hide(self, hidden):
        self.hidden = hidden

    def show(self, lines):
        self.shown = [text for text, _width in lines]
        self.seen.set()
        if self.broken:
            raise OSError("the terminal is gone")


class Heard(Told):
    """A view, told of a rollout."""

    def __init__(self, view):
        super().__init__(view._hearing)
        self.view = view

    def start(self, action, state=""):
        self.view.started(action, {"state": state})

    def end(self, action, kind="ok", host="app1", args=None, **result):
        self.view.heard(Result(kind, action, host, args or {}, result))


@pytest.fixture
def said():
    return []


@pytest.fixture
def noted():
    return []


@pytest.fixture
def make(said, noted):
    """Make a view and somebody who tells it; no thread of it may outlive the test."""
    made = []

    def view(screen=None, **more):
        made.append(View(lambda text, style: said.append(text), noted.append, lambda text, style: text, screen, **more))
        return Heard(made[-1])

    yield view
    for each in made:
        each.stop()
    assert ticking() == []


def ticking():
    return [thread for thread in threading.enumerate() if thread.name == "zero_downtime.deploy.live"]


def test_without_a_screen_there_are_lines_and_no_thread(make, said, noted):
    told = make()
    told.begin()
    told.good_batch("app1")
    assert said[0] == "shop 2.0 | batch 1 of 2 | begins: app1" and len(said) == 5
    assert ticking() == [] and noted == []


def test_with_a_screen_the_lines_go_into_the_log_alone(make, said, noted):
    screen = FakeScreen()
    told = make(screen)
    told.begin()
    told.good_batch("app1")
    assert screen.seen.wait(10) and len(ticking()) == 1
    assert len(said) == 1 and said[0].startswith("✓ batch 1 of 2: app1")
    assert noted[0] == "shop 2.0 | batch 1 of 2 | begins: app1" and len(noted) == 5
    told.finish("succeeded", "Good.")
    assert ticking() == [] and screen.calls == ["begin", "end"]
    assert told.view.told == ["Good."]


def test_a_second_rollout_is_shown_like_the_first(make):
    screen = FakeScreen()
    told = make(screen)
    for _each in range(2):
        told.begin()
        assert screen.seen.wait(10)
        screen.seen.clear()
        told.finish("succeeded", "Good.")
    assert screen.calls == ["begin", "end"] * 2


def test_a_run_that_ends_before_its_rollout_says_where_it_was(make, said):
    told = make(FakeScreen())
    told.begin()
    told.record("batch_begun", "app1")
    told.view.close()
    told.view.close()
    assert len(said) == 1 and "the run ended in batch 1 of 2 (app1)" in said[0]
    assert ticking() == []


def test_who_asks_something_has_the_terminal_for_himself(make):
    screen = FakeScreen()
    told = make(screen)
    told.begin()
    told.start("ansible.builtin.pause")
    assert screen.hidden
    told.start(OURS + "health_check")
    assert not screen.hidden


def test_what_goes_wrong_while_it_redraws_is_handed_on(make):
    screen, trouble = FakeScreen(), threading.Event()
    screen.broken = True
    told = make(screen)
    told.view.trouble = lambda error: (told.view.give_up(), trouble.set())
    told.begin()
    assert trouble.wait(10)
    told.good_batch("app1")
    assert screen.calls == ["begin", "end"]


def test_the_record_that_a_user_names_goes_before_the_one_that_a_probe_names(make, said, tmp_path):
    for name in ("user's", "probe's"):
        writer = Writer(str(tmp_path / name), {"began": 100.0, "urls": [], "rate": 10, "timeout": 5})
        writer.add(101.0, [Second(100, {"ok": len(name)})])
        writer.close()
    for given, expected in (("user's", 6), ("", 7)):
        told = make(record=given and str(tmp_path / given))
        told.view.found_record(str(tmp_path / "probe's"))
        told.begin()
        told.finish("succeeded", "Good.")
        assert said[-1].endswith(f"{expected} requests, 0 failed")


def test_nothing_is_shown_before_there_is_a_rollout(make, said):
    screen = FakeScreen()
    told = make(screen)
    told.check("app1")
    told.view.close()
    assert (said, screen.calls, ticking()) == ([], [], [])
