# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The commands for a change, by how the server is at that moment."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.haproxy_orders import Now, orders
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change

IN, OUT = Now("enabled", has_agent=True, agent_on=True), Now("disabled", has_agent=True)


def commands(change, now=None, distrust=False):
    """What is said of the server, without its name."""
    return [order.replace("set server app/m1 ", "") for order in orders("app/m1", change, now or Now(), distrust)]


def test_who_leaves_does_so_before_its_weight_changes_and_who_returns_after():
    assert commands(Change("m1", "disabled", 5)) == ["state maint", "weight 5"]
    assert commands(Change("m1", "enabled", 6)) == ["weight 6", "state ready"]
    assert commands(Change("m1", None, 7)) == ["weight 7"]


def test_who_leaves_maintenance_distrusted_is_held_down_in_the_same_line():
    # Bound clients reach a drained member that counts as up: nothing may come between the two.
    assert commands(Change("m1", "drained", 5), distrust=True) == ["weight 5", "state drain", "health down"]


def test_who_would_lose_its_sessions_is_not_marked_down_nor_who_has_no_check_of_its_own():
    for now in (Now(tracks=True), Now(spared=True)):
        assert commands(Change("m1", "drained"), now, distrust=True) == ["state drain"]


def test_an_agent_leaves_before_its_member_and_returns_after_it():
    assert commands(Change("m1", "disabled"), IN) == ["disable agent app/m1", "state maint"]
    assert commands(Change("m1", "drained"), IN) == ["disable agent app/m1", "state drain"]
    assert commands(Change("m1", "enabled"), OUT) == ["state ready", "enable agent app/m1"]


@pytest.mark.parametrize(
    ("change", "now"),
    [
        (Change("m1", None, 5), IN),
        (Change("m1", "enabled"), IN),
        (Change("m1", "enabled"), Now("enabled", has_agent=True)),  # an operator has switched it off
        (Change("m1", "drained"), OUT),  # on its way back, and not there yet
        (Change("m1", "disabled"), OUT),
        (Change("m1", "enabled"), Now("disabled")),  # it has none
    ],
)
def test_other_agents_are_left_alone(change, now):
    assert not any("agent" in command for command in commands(change, now))


def test_an_agent_that_this_task_switched_off_returns_with_the_state_that_it_was_in():
    now = Now("drained", has_agent=True, left_at="disabled")
    assert commands(Change("m1", "disabled"), now) == ["state maint", "enable agent app/m1"]


def test_a_weight_that_its_agent_writes_is_not_written():
    assert commands(Change("m1", "enabled", 60), Now("enabled", weight_by="agent")) == ["state ready"]
