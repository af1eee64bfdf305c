# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Members and changes of them."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change, Member, undo


def member(state="enabled", weight=100, health="up", checked=True):
    return Member("m", "192.0.2.1:80", state, weight, health, 3, checked, "L7OK 200")


@pytest.mark.parametrize(
    ("seen", "available"),
    [
        (member(), True),
        (member(health="starting"), True),
        (member(health="down"), False),
        (member(health="unknown"), False),
        (member(health="unknown", checked=False), True),
        (member(weight=0), False),
        (member(weight=0, checked=False), False),
        (member(state="drained"), False),
        (member(state="disabled", health="unknown", checked=False), False),
    ],
)
def test_who_takes_new_work(seen, available):
    assert seen.available is available


@pytest.mark.parametrize(
    ("change", "alters"),
    [
        (Change("m"), False),
        (Change("m", "enabled"), False),
        (Change("m", "drained"), True),
        (Change("m", None, 100), False),
        (Change("m", None, 0), True),
        (Change("m", "enabled", 100), False),
        (Change("m", "enabled", 99), True),
    ],
)
def test_whether_a_change_is_one(change, alters):
    assert change.alters(member()) is alters


@pytest.mark.parametrize("seen", [member(), member("disabled", 0), member("drained", 7)])
def test_undoing_leads_back(seen):
    assert not undo(seen).alters(seen)
    assert (undo(seen).state, undo(seen).weight) == (seen.state, seen.weight)


def test_how_a_result_shows_it():
    shown = member().as_dict()
    assert {key: shown[key] for key in ("name", "address", "state", "weight", "health", "in_flight")} == {
        "name": "m",
        "address": "192.0.2.1:80",
        "state": "enabled",
        "weight": 100,
        "health": "up",
        "in_flight": 3,
    }
    assert member("drained", 5).describe() == "drained, weight 5"
