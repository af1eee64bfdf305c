# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Weights and agents of HAProxy's servers, from one reading to the next."""

from __future__ import annotations

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.haproxy_memory import Memory
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change

OFF, ON = "18", "22"


def read(memory, weight, agent=ON, admin="0"):
    """Read m1; who writes its weight."""
    state = {"srv_name": "m1", "srv_uweight": str(weight), "srv_agent_state": agent, "srv_admin_state": admin}
    memory.note([state], {"m1": {"tracked": ""}})
    return memory.servers["m1"].weight_by


def told(memory, change):
    """The commands of a change, without the server's name."""
    (commands,) = memory.orders("app", [change], (), False)
    return [command.replace("set server app/m1 ", "") for command in commands]


def test_a_weight_that_changes_without_us_while_an_agent_is_on_is_the_agents():
    memory = Memory()
    assert [read(memory, weight) for weight in (60, 60, 81, 81)] == ["", "", "agent", "agent"]
    assert told(memory, Change("m1", None, 7)) == []
    assert read(memory, 81, OFF) == "" and told(memory, Change("m1", None, 7)) == ["weight 7"]


def test_a_weight_that_we_wrote_is_ours_until_it_changes():
    memory = Memory()
    read(memory, 60)
    told(memory, Change("m1", None, 7))
    assert [read(memory, 7), read(memory, 7), read(memory, 61)] == ["", "", "agent"]


def test_a_weight_that_changes_without_an_agent_is_another_controllers():
    memory = Memory()
    assert [read(memory, weight, "0") for weight in (60, 81)] == ["", ""]


def test_an_agent_is_put_back_with_the_state_that_it_was_switched_off_in():
    memory = Memory()
    read(memory, 100, ON, "1")
    assert told(memory, Change("m1", "drained")) == ["disable agent app/m1", "state drain"]
    read(memory, 100, OFF, "8")
    assert told(memory, Change("m1", "disabled")) == ["state maint", "enable agent app/m1"]


def test_a_server_that_is_not_known_is_written_to_all_the_same():
    assert told(Memory(), Change("m1", "disabled")) == ["state maint"]
