# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting, poll by poll."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Deadline
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import NotApplied
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Member
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.watch import Watch, healthy, idle
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils._use_cases.fake_balancer import (
    FakeBalancer,
    FakeClock,
)


@pytest.fixture
def lb():
    return FakeBalancer("lb", FakeClock())


def until(lb, names, in_a_row, seconds, content=idle):
    return Watch(lb, "app", lb.clock).until(names, content, in_a_row, Deadline(lb.clock, seconds))


@pytest.mark.parametrize(
    ("flights", "in_a_row", "polls"),
    [([0, 0], 2, 2), ([0], 1, 1), ([1, 0, 0], 2, 3), ([0, 1, 0, 0], 2, 4), ([0, 0, 1, 0, 0, 0], 3, 6)],
)
def test_as_many_polls_in_a_row_as_asked(lb, flights, in_a_row, polls):
    left = iter(flights)
    lb.before_read = lambda lb: lb.set("m1", in_flight=next(left))
    took, _seen = until(lb, ["m1"], in_a_row, 60)
    assert list(took) == ["m1"] and lb.reads == polls


def test_what_was_just_read_is_the_first_poll(lb):
    pool = lb.members("app")
    took, seen = Watch(lb, "app", lb.clock).until(["m1"], idle, 1, Deadline(lb.clock, 60), pool)
    assert took == {"m1": 0.0} and seen == pool and lb.reads == 1


def test_at_the_deadline_the_last_seen_is_told(lb):
    lb.busy_until = {"m1": 99}
    took, seen = until(lb, ["m1", "m2"], 2, 3)
    assert list(took) == ["m2"]
    assert {member.name: member.in_flight for member in seen if member.name in ("m1", "m2")} == {"m1": 3, "m2": 0}
    assert 3 <= lb.clock.time < 3.1


def test_who_became_idle_at_the_last_poll_gets_the_polls_it_lacks(lb):
    lb.busy_until = {"m1": 3}
    assert list(until(lb, ["m1"], 2, 3)[0]) == ["m1"]
    assert 3 < lb.clock.time < 3.1


def test_and_no_more_than_those(lb):
    turn = iter(range(10000))
    lb.before_read = lambda lb: [
        lb.set(name, in_flight=(next(turn) // 2 + index) % 2) for index, name in enumerate(("m1", "m2"))
    ]
    took, _seen = until(lb, ["m1", "m2"], 2, 0)
    assert took == {} and lb.reads <= 2


def test_no_poll_is_long(lb):
    times = []
    lb.before_read = lambda lb: times.append(lb.clock.time)
    lb.busy_until = {"m1": 10}
    until(lb, ["m1"], 2, 60)
    gaps = [late - early for early, late in zip(times, times[1:])]
    assert gaps[0] < 0.05 and max(gaps) <= FakeBalancer.pace.longest + 1e-9


def test_a_member_that_is_gone_is_not_content(lb):
    lb.before_read = lambda lb: lb.clock.time > 1 and setattr(lb, "pool", lb.pool[1:])
    lb.busy_until = {"m1": 99}
    with pytest.raises(NotApplied, match="pool app no longer has m1"):
        until(lb, ["m1", "m4"], 2, 60)


@pytest.mark.parametrize(("health", "content"), [("up", True), ("starting", True), ("down", False), ("unknown", False)])
def test_who_is_healthy(health, content):
    assert healthy(Member("m", "", "drained", 1, health)) is content


@pytest.mark.parametrize(("in_flight", "content"), [(0, True), (1, False), (None, False)])
def test_who_is_idle(in_flight, content):
    assert idle(Member("m", "", "drained", 1, "up", in_flight)) is content
