# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy's servers whose state, health or weight is not ours alone: they track another, have no address, or have an agent."""

from __future__ import annotations

import socket
import threading

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import NotApplied, TimedOut
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import bound_to
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import POOL, set_pool, until

CHECK = "check inter 100ms fall 2 rise 2"


class Agent:
    """An agent that gives its answers in turn, and counts how often it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = answers, 0
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.words = f"{CHECK} agent-check agent-inter 100ms agent-port {self.listening.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def close(self):
        # The thread ends before its socket's number is given out anew; else it accepts connections of another test's server.
        self.listening.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listening.close()

    def serve(self):
        while True:
            try:
                client, _address = self.listening.accept()
            except OSError:
                return
            with client:
                client.sendall(self.answers[self.asked % len(self.answers)].encode() + b"\n")
            self.asked += 1

    def asked_again(self, times=3):
        enough = self.asked + times
        until("the agent is asked again", lambda: self.asked >= enough)


@pytest.fixture
def make_agent():
    made = []
    yield lambda *answers: made.append(Agent(*answers)) or made[-1]
    for agent in made:
        agent.close()


@pytest.fixture
def tracking(make_haproxy, apps):
    """`follows` tracks a server of another backend, which other people take out and bring back."""
    return make_haproxy(
        members={"m1": apps["m1"].port, "follows": apps["m2"].port},
        more={
            "server_options": {"m1": CHECK, "follows": "track base/a1"},
            "extra": f"backend base\n    server a1 127.0.0.1:{apps['m2'].port} {CHECK}\n",
        },
        wait=False,
    )


def admin(rig, name, pool=POOL):
    """The bits of `srv_admin_state`."""
    rows = [line.split() for line in rig.ask(f"show servers state {pool}")[0].split("\n")[2:]]
    return next(int(row[6]) for row in rows if row[3] == name)


def agent_is_on(rig, name):
    rows = [line.split() for line in rig.ask(f"show servers state {POOL}")[0].split("\n")[2:]]
    return next(bool(int(row[14]) & 4) for row in rows if row[3] == name)


def test_who_is_out_by_inheritance_alone_is_taken_out_by_us_too(tracking):
    tracking.ask("set server base/a1 state maint")
    done = set_pool(tracking.entry(), ["follows"], state="disabled")
    assert done["changed"] and admin(tracking, "follows") == 0x03
    assert not set_pool(tracking.entry(), ["follows"], state="disabled")["changed"]
    tracking.ask("set server base/a1 state ready")  # their work ends, ours goes on
    assert tracking.members()["follows"].state == "disabled"


def test_a_return_that_fails_leaves_nothing_behind_that_is_hidden_by_what_is_inherited(tracking):
    tracking.ask("set server base/a1 state maint")
    with pytest.raises(
        TimedOut, match=r"in maintenance with base/a1, which it tracks.*as they were before \(follows\)"
    ):
        set_pool(tracking.entry(), ["follows"], state="enabled", weight=50, health_timeout=0.5)
    assert (admin(tracking, "follows"), tracking.members()["follows"].weight) == (0x02, 100)
    tracking.ask("set server base/a1 state ready")
    assert tracking.members()["follows"].state == "enabled"


def test_to_enable_who_is_out_by_inheritance_is_no_failed_write(tracking):
    tracking.ask("set server base/a1 state maint")
    tracking.driver().apply(POOL, [Change("follows", "disabled")])
    members = {member.name: member for member in tracking.driver().apply(POOL, [Change("follows", "enabled")])}
    assert (members["follows"].state, members["follows"].own) == ("disabled", "enabled")


def test_a_slot_whose_name_has_no_address_can_be_taken_out(make_haproxy):
    rig = make_haproxy(
        more={
            "extra": "resolvers none\n    nameserver none 127.0.0.1:9\nbackend slots\n"
            "    server-template s 2 nowhere.example:80 resolvers none init-addr none check\n"
        }
    )
    slots = {member.name: member for member in rig.driver().members("slots")}
    assert (slots["s1"].state, slots["s1"].own, slots["s1"].address) == ("disabled", "enabled", "-")
    assert slots["s1"].vacant and slots["s1"].slot == "nowhere.example"
    rig.driver().apply("slots", [Change("s1", "disabled")])
    assert (admin(rig, "s1", "slots"), admin(rig, "s2", "slots")) == (0x21, 0x20)


def test_an_agent_that_answers_ready_does_not_bring_back_who_is_out(make_haproxy, make_agent):
    mine, other = make_agent("ready"), make_agent("ready")
    rig = make_haproxy(more={"server_options": {"m1": mine.words, "m2": other.words}})
    set_pool(rig.entry(), ["m1"], state="disabled")
    other.asked_again()
    assert rig.members()["m1"].state == "disabled" and not agent_is_on(rig, "m1") and agent_is_on(rig, "m2")
    set_pool(rig.entry(), ["m1"], state="enabled")
    assert agent_is_on(rig, "m1") and rig.members()["m1"].available
    mine.asked_again()


def test_a_return_that_fails_leaves_the_agent_as_it_was(make_haproxy, make_agent, apps):
    agent = make_agent("up")
    rig = make_haproxy(more={"server_options": {"m1": agent.words}})
    apps["m1"].broken = True
    rig.ask(f"set server {POOL}/m1 state maint")  # by hand, so its agent is on
    with pytest.raises(TimedOut, match=r"as they were before \(m1\)"):
        set_pool(rig.entry(), ["m1"], state="enabled", health_timeout=0.5)
    assert rig.members()["m1"].state == "disabled" and agent_is_on(rig, "m1")


def test_an_agent_that_an_operator_has_switched_off_stays_off_while_its_member_is_in(make_haproxy, make_agent):
    rig = make_haproxy(more={"server_options": {"m1": make_agent("up").words}})
    rig.ask(f"disable agent {POOL}/m1")
    set_pool(rig.entry(), ["m1"], state="enabled", weight=50)
    assert not agent_is_on(rig, "m1")


def test_who_has_an_agent_that_writes_weights_returns(make_haproxy, make_agent):
    agent = make_agent(*(f"up {percent}%" for percent in range(60, 95)))
    rig = make_haproxy(more={"server_options": {"m1": agent.words}})
    agent.asked_again(1)
    set_pool(rig.entry(), ["m1"], state="disabled")
    set_pool(rig.entry(), ["m1"], state="enabled")
    assert rig.members()["m1"].available
    driver = rig.driver()
    until("its weight changes", lambda: {m.name: m for m in driver.members(POOL)}["m1"].weight_by == "agent")
    assert not Change("m1", None, 7).alters({m.name: m for m in driver.members(POOL)}["m1"])
    assert {m.name: m for m in driver.members(POOL)}["m2"].weight_by == ""


def test_a_weight_that_an_agent_leaves_alone_is_ours(make_haproxy, make_agent):
    agent = make_agent("up")
    rig = make_haproxy(more={"server_options": {"m1": agent.words}})
    driver = rig.driver()
    driver.members(POOL)
    members = driver.apply(POOL, [Change("m1", None, 7)])
    agent.asked_again()
    assert [{m.name: m for m in seen}["m1"].weight_by for seen in (members, driver.members(POOL))] == ["", ""]


def test_an_agent_that_keeps_a_member_down_is_named(make_haproxy, make_agent):
    agent = make_agent("up")
    rig = make_haproxy(more={"server_options": {"m1": agent.words}})
    set_pool(rig.entry(), ["m1"], state="disabled")
    agent.answers = ("down #too busy",)
    # Its agent has a say again once it is in traffic.
    set_pool(rig.entry(), ["m1"], state="enabled", health="none")
    rig.wait_until("it is down", lambda pool: pool["m1"].health == "down")
    with pytest.raises(TimedOut, match=r"m1 is down \(its agent says down \(too busy\); L7OK"):
        set_pool(rig.entry(), ["m1"], state="enabled", health_timeout=0.5)


def test_how_far_a_check_has_come_is_told(make_haproxy):
    rig = make_haproxy(rise=1000, wait=False)
    set_pool(rig.entry(), ["m1"], state="disabled")
    with pytest.raises((TimedOut, NotApplied)):
        set_pool(rig.entry(), ["m1"], state="enabled", health_timeout=0.1)
    rig.driver().apply(POOL, [Change("m1", "drained")], distrust=True)
    progress = rig.wait_until("one has passed", lambda pool: (pool["m1"].check_progress or (0, 0))[0] > 0)[
        "m1"
    ].check_progress
    assert progress[1] == 1000


def test_requests_that_reach_a_member_that_is_out_are_seen(make_haproxy):
    rig = make_haproxy(more={"defaults": "option persist"})
    client = bound_to(rig.port, "m1")
    set_pool(rig.entry(), ["m1"], state="disabled")
    before = rig.members()["m1"].requests
    assert client.get() == "m1"
    assert rig.members()["m1"].requests == before + 1
