# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping a forgetful balancer to what was written, with a balancer in memory."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import Unreachable
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.plugins.module_utils._processes import leave_behind
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.hold import Hold
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils._use_cases.fake_balancer import (
    CAN_ALL,
    FakeBalancer,
)

OUT = Change("m1", "disabled", 100)


@pytest.fixture
def lb(tmp_path, monkeypatch):
    """A balancer whose life is a list of (second at which it starts, process)."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    balancer = FakeBalancer()
    balancer.capabilities = replace(CAN_ALL, survives_reload=False)
    balancer.lives = [(-100.0, "1")]

    def running():
        started, process = [life for life in balancer.lives if life[0] <= balancer.clock.time][-1]
        if process is None:
            raise Unreachable("nothing listens")
        if started > 0 and balancer.forgot != started:
            balancer.forgot = started
            balancer.set("m1", state="enabled")
        return process, balancer.clock.time - started

    balancer.running, balancer.forgot = running, None
    return balancer


def held(lb, *changes, seconds=60.0):
    hold = Hold(lb, "app", lb.clock)
    hold.add(changes, seconds, lb.running())
    lb.apply("app", list(changes))
    lb.wrote.clear()
    return hold


@pytest.mark.parametrize("process", ["2", "1"])  # a container's process has the same number each time
def test_what_a_new_process_forgot_is_written_again_once(lb, process):
    hold = held(lb, OUT)
    lb.lives.append((10.0, process))
    hold.keep()
    assert [changes for _time, changes in lb.wrote] == [[("m1", "disabled", 100)]] and 10 <= lb.wrote[0][0] < 10.5
    assert 60 <= lb.clock.time < 61 and not os.path.exists(hold.path)


def test_a_process_that_is_not_there_yet_is_waited_for(lb):
    hold = held(lb, OUT)
    lb.lives += [(10.0, None), (20.0, "2")]
    hold.keep()
    assert lb["m1"].state == "disabled" and 20 <= lb.wrote[0][0] < 20.5


def test_one_that_never_comes_back_is_given_up(lb):
    hold = held(lb, OUT, seconds=900)
    lb.lives.append((10.0, None))
    hold.keep()
    assert 130 <= lb.clock.time < 131


def test_a_member_that_returns_though_the_process_is_the_same_is_disabled_again(lb):
    hold = held(lb, OUT)
    lb.set("m1", state="enabled")  # a reload that no identity shows, another tool
    hold.keep()
    assert [changes for _time, changes in lb.wrote] == [[("m1", "disabled", 100)]] and lb["m1"].state == "disabled"
    assert lb.wrote[0][0] < 1.5


def test_in_a_balancer_that_tells_every_loss_a_change_by_hand_stays(lb):
    lb.running_tells_all = True
    hold = held(lb, OUT)
    lb.set("m1", state="enabled")
    hold.keep()
    assert lb.wrote == [] and lb["m1"].state == "enabled"


def test_a_balancer_that_forgets_nothing_is_looked_at_too(lb):
    """Another tool may replace its file."""
    lb.capabilities = CAN_ALL
    lb.running = None  # it need not tell
    hold = Hold(lb, "app", lb.clock)
    hold.add([OUT], 60.0, hold.identity())
    lb.set("m1", state="enabled")
    hold.keep()
    assert [changes for _time, changes in lb.wrote] == [[("m1", "disabled", 100)]]


def test_who_is_let_go_is_held_no_longer_and_the_others_are(lb):
    hold = held(lb, OUT, Change("m2", "drained", 100))
    assert hold.let_go(["m1", "m4"])["reasserted"] == 0
    lb.lives.append((10.0, "2"))
    lb.set("m2", state="enabled")
    hold.keep()
    assert [changes for _time, changes in lb.wrote] == [[("m2", "drained", 100)]]


def test_when_nothing_is_left_the_keeper_ends(lb):
    hold = held(lb, OUT)
    hold.let_go(["m1"])
    hold.keep()
    assert lb.clock.time < 1 and not os.path.exists(hold.path)


def test_how_often_it_was_written_again_is_told(lb):
    hold = held(lb, OUT, Change("m2", "drained", 100))
    lb.lives.append((10.0, "2"))
    running = lb.running

    def killed_at_fifteen():
        if lb.clock.time > 15:
            raise KeyboardInterrupt
        return running()

    lb.running = killed_at_fifteen
    with pytest.raises(KeyboardInterrupt):
        hold.keep()
    assert hold.let_go(["m1"])["reasserted"] == 1 and hold.let_go(["m1"]) == {}


@pytest.mark.parametrize("garbage", ["", "{", "null", "[]"])
def test_a_file_that_nobody_can_read_holds_nothing(lb, garbage):
    hold = Hold(lb, "app", lb.clock)
    with open(hold.path, "w", encoding="utf-8") as file:
        file.write(garbage)
    assert hold.let_go(["m1"]) == {}
    hold.keep()


def test_a_process_that_is_left_behind_holds_nothing_of_ours_open(tmp_path):
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    go_on = tmp_path / "go-on"
    os.mkfifo(go_on)
    leave_behind(lambda: (tmp_path / "done").write_text(go_on.read_text()))
    os.close(writer)
    assert os.read(reader, 1) == b""  # at its end already, while the other one still lives
    os.close(reader)
    go_on.write_text("done")
