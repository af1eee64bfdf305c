# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Until when a prober goes on, and who wins when a task and a prober decide at the same time."""

from __future__ import annotations

import os
import threading

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe import mandate
from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe.folder import Folder
from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe.mandate import Mandate


def order(**changes):
    return {
        "record": "1.jsonl",
        "urls": [],
        "rate": 10.0,
        "lifetime": 60.0,
        "owner": {"pid": 1, "started": 7},
        **changes,
    }


class Processes:
    """Which processes live, and what happens when somebody looks."""

    def __init__(self, **living):
        self.living, self.at_look = {int(pid[1:]): started for pid, started in living.items()}, lambda: None

    def __call__(self, pid):
        found = self.living.get(pid)
        self.at_look()
        return found is not None, found


@pytest.fixture
def folder(tmp_path):
    made = Folder(str(tmp_path), "shop", Clock())
    made.make()
    made.give(order())
    return made


def of(folder, processes, clock=None):
    return Mandate(folder, os.path.join(folder.path, "1.jsonl"), processes, clock or Clock())


def test_it_goes_on_while_its_owner_lives_and_says_so_when_it_ends(folder):
    processes = Processes(p1=7)
    asked = of(folder, processes)
    assert asked.over() is None
    processes.living.clear()
    assert asked.over() == mandate.OWNER_GONE and folder.order() is None


def test_when_an_owner_started_is_not_always_known(folder):
    folder.give(order(owner={"pid": 1, "started": None}))
    assert of(folder, Processes(p1=8)).over() is None


def test_an_order_that_names_another_record_is_not_its_own(folder):
    folder.give(order(record="2.jsonl"))
    assert of(folder, Processes(p1=7)).over() == mandate.STOPPED
    assert folder.order() is not None


def test_a_new_owner_that_came_at_the_last_moment_is_heeded(folder):
    processes = Processes(p2=9)
    asked = of(folder, processes)
    processes.at_look = lambda: folder.give(order(owner={"pid": 2, "started": 9}))
    assert asked.over() is None and folder.order()["owner"]["pid"] == 2


def test_nothing_is_decided_while_a_task_decides(folder):
    asked = of(folder, Processes())
    with folder.alone():
        assert asked.over() is None
    assert asked.over() == mandate.OWNER_GONE


def test_a_new_order_begins_a_new_lifetime(folder):
    class Ahead(Clock):
        ahead = 0.0

        def monotonic(self):
            return super().monotonic() + self.ahead

    clock = Ahead()
    asked = of(folder, Processes(p1=7), clock)
    assert asked.over() is None
    clock.ahead = 59.0
    folder.give(order())
    assert asked.over() is None
    clock.ahead = 110.0
    assert asked.over() is None
    clock.ahead = 120.0
    assert asked.over() == "its lifetime of 60 s was over"


def test_who_asks_whether_a_prober_runs_waits_for_who_starts_one(folder):
    """To ask is to hold the prober's lock for a moment, which must not look like a prober."""
    answers = []
    asking = threading.Thread(target=lambda: answers.append(folder.runs()))
    with folder.alone():
        asking.start()
        asking.join(0.2)
        assert answers == []
        descriptor = folder.take()
    asking.join(20)
    assert answers == [True]
    os.close(descriptor)
    assert folder.runs() is False
