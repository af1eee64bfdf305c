# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guard, for any pool and any changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import guard
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, Refused
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import STATES, Change, Member

HEALTHS = ("up", "down", "starting", "unknown")


def member(name, state="enabled", weight=100, health="up", checked=True):
    return Member(name, "192.0.2.1:80", state, weight, health, 0, checked)


@st.composite
def pools(draw):
    """A pool and changes of some of its members."""
    names = [f"m{number}" for number in range(draw(st.integers(1, 8)))]
    members = [
        member(
            name,
            draw(st.sampled_from(STATES)),
            draw(st.integers(0, 3)),
            draw(st.sampled_from(HEALTHS)),
            draw(st.booleans()),
        )
        for name in names
    ]
    chosen = draw(st.lists(st.sampled_from(names), unique=True))
    changes = [
        Change(name, draw(st.none() | st.sampled_from(STATES)), draw(st.none() | st.integers(0, 3))) for name in chosen
    ]
    return members, changes


floors = st.integers(0, 9).map(str) | st.integers(0, 100).map(lambda share: f"{share}%")


@given(pools(), floors)
def test_what_it_lets_pass_never_costs_a_member_below_the_minimum(pool, floor):
    members, changes = pool
    now, then = guard.available(members), guard.available(guard.after(members, changes))
    try:
        guard.check("here", members, changes, floor)
    except Refused as refusal:
        assert refusal.facts == {"available": now, "would_leave": then, "minimum": guard.minimum(floor, len(members))}
        assert then < now and then < refusal.facts["minimum"]
    else:
        assert then >= guard.minimum(floor, len(members)) or then >= now


@given(pools(), pools(), floors)
def test_read_back_it_refuses_only_what_our_write_cost(pool, _other, floor):
    members, changes = pool
    written = guard.after(members, changes)
    now, without_us = guard.available(written), guard.available(members)
    least = guard.minimum(floor, len(members))
    try:
        guard.check_written("here", members, written, floor)
    except Refused:
        assert now < least and now < without_us
    else:
        assert now >= least or now >= without_us


@given(st.integers(0, 100), st.integers(0, 500))
def test_a_share_is_rounded_up(percent, total):
    least = guard.minimum(f"{percent}%", total)
    assert least * 100 >= percent * total
    assert least == 0 or (least - 1) * 100 < percent * total
    assert least <= total


@pytest.mark.parametrize(
    ("asked", "total", "least"),
    [
        (2, 4, 2),
        ("2", 4, 2),
        (" 3 ", 4, 3),
        ("50%", 3, 2),
        ("50 %", 4, 2),
        ("1%", 200, 2),
        ("0%", 4, 0),
        ("100%", 7, 7),
        ("0", 4, 0),
    ],
)
def test_counts_and_shares(asked, total, least):
    assert guard.minimum(asked, total) == least


@pytest.mark.parametrize("asked", ["", "half", "-1", "1.5", "101%", "%", "1 2", "50%%", None, "0x2"])
def test_what_is_neither_is_refused(asked):
    with pytest.raises(InvalidInput, match="min_available is a count such as 2 or a share such as '50%'"):
        guard.minimum(asked, 4)


@given(pools())
def test_afterwards_each_member_is_what_was_asked_and_the_others_are_untouched(pool):
    members, changes = pool
    wanted = {change.name: change for change in changes}
    for before, after in zip(members, guard.after(members, changes)):
        change = wanted.get(before.name, Change(before.name))
        assert not change.alters(after)
        assert (after.name, after.health, after.checked) == (before.name, before.health, before.checked)
        assert change.state is not None or after.state == before.state
        assert change.weight is not None or after.weight == before.weight


def test_the_refusal_says_who_is_missing_already():
    members = [member("a"), member("b", health="down"), member("c", state="drained"), member("d")]
    with pytest.raises(Refused) as refusal:
        guard.check("Balancer lb, pool app", members, [Change("a", "disabled")], 2)
    assert refusal.value.message == (
        "Balancer lb, pool app: 2 of 4 members are available; this would leave 1, and the minimum is 2 (min_available: 2). "
        "Not available already: b (enabled, down), c (drained, up). "
        "Nothing was touched. Take fewer members at a time (serial, rolling_batches), bring others back, or lower the minimum."
    )


def test_during_an_outage_a_dead_member_may_still_leave():
    members = [member("a", health="down"), member("b", health="down"), member("c")]
    guard.check("here", members, [Change("a", "disabled"), Change("b", "drained")], "100%")
    with pytest.raises(Refused):
        guard.check("here", members, [Change("a", "disabled"), Change("c", "disabled")], 1)


def test_the_available_share_is_of_all_members():
    members = [member("a"), member("b", state="disabled"), member("c", state="disabled"), member("d")]
    assert guard.available(members) == 2
    with pytest.raises(Refused):
        guard.check("here", members, [Change("a", "disabled")], "50%")
