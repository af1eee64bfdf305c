# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any balancer: taking members out under load."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import TimedOut
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Aside, Bound, Load, bound_to
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.marks import OUT
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import POOL, set_pool, until


@pytest.mark.each_version
@pytest.mark.needs("traffic")
def test_nobody_notices_that_members_leave_are_replaced_and_return(rig, apps):
    with Load(rig.port) as load:
        for name, app in apps.items():
            result = set_pool(rig.entry(), [name], state="disabled", min_available=3)
            served = app.served
            assert result["changed"] and result["balancers"][0]["members"][0]["after"]["state"] == "disabled"
            app.kill()
            enough = load.requests + 50
            until("the load goes on without it", lambda enough=enough: load.requests >= enough)
            assert app.served == served
            app.start()
            set_pool(rig.entry(), [name], state="enabled", **rig.gently([10, 50], 0.05))
            until(f"{name} serves again", lambda app=app, served=served: app.served > served)
    assert rig.unforced(load.failures) == [] and load.requests > 200
    assert {m.state for m in rig.members().values()} == {"enabled"}
    assert {m.weight for m in rig.members().values()} == {rig.weight}


@pytest.mark.each_version
@pytest.mark.needs("in_flight", "traffic")
@pytest.mark.parametrize("state", OUT)
def test_requests_in_flight_are_waited_for(rig, apps, state):
    client = bound_to(rig.port, "m1")
    slow = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m1"].holding == 1)
    leaving = Aside(lambda: set_pool(rig.entry(), ["m1"], state=state))
    rig.wait_until(
        "m1 is written, and the request is all that is left", lambda pool: pool["m1"].state == state and pool["m1"].in_flight == 1
    )
    assert leaving.runs
    apps["m1"].gate.set()
    assert slow.ended().result == "m1"
    (member,) = leaving.ended().result["balancers"][0]["members"]
    assert member["waited"]["for"] == "in flight 0" and member["waited"]["seconds"] > 0
    assert member["after"]["in_flight"] == 0


@pytest.mark.needs("in_flight", "traffic")
def test_at_the_deadline_fail_puts_the_members_back_and_cuts_nobody(rig, apps):
    client = bound_to(rig.port, "m1")
    slow = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m1"].holding == 1)
    busy, said = ({"m1": 1}, "m1: 1") if rig.counts_each else ({"m1": 1, "m2": 1}, "m1: 1, m2: 1")
    with pytest.raises(TimedOut, match=rf"in flight \({said}\).*as they were before \(m1, m2\)") as failure:
        set_pool(rig.entry(), ["m1", "m2"], state="disabled", drain_timeout=0.3)
    assert failure.value.facts["in_flight"] == busy
    assert {m.state for m in rig.members().values()} == {"enabled"}
    apps["m1"].gate.set()
    assert slow.ended().result == "m1"


@pytest.mark.needs("cut", "traffic")
def test_at_the_deadline_cut_ends_the_requests_and_says_how_many(rig, apps):
    client = bound_to(rig.port, "m1")
    slow = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m1"].holding == 1)
    result = set_pool(rig.entry(), ["m1", "m2"], state="disabled", drain_timeout=0.2, on_drain_timeout="cut")
    by_name = {member["name"]: member for member in result["balancers"][0]["members"]}
    assert by_name["m1"]["waited"]["cut"] == 1 and "cut" not in by_name["m2"]["waited"]
    assert slow.ended().error is not None
    assert rig.members()["m1"].state == "disabled"


@pytest.mark.needs("in_flight")
def test_an_idle_member_leaves_without_any_time_to_wait(rig):
    longest = rig.balancer().timing(POOL).leave or 0  # less than what a busy member may take is refused
    result = set_pool(rig.entry(), ["m1"], state="disabled", drain_timeout=longest)
    assert result["balancers"][0]["members"][0]["after"]["state"] == "disabled"


@pytest.mark.needs("sticky_drain", "traffic")
def test_a_drained_member_keeps_its_bound_clients_and_gets_no_others(rig):
    client = bound_to(rig.port, "m1")
    set_pool(rig.entry(), ["m1"], state="drained")
    assert [client.get() for each in range(5)] == ["m1"] * 5
    assert "m1" not in {Bound(rig.port).get() for each in range(20)}


@pytest.mark.needs("traffic")
def test_a_disabled_member_hands_its_bound_clients_over(rig):
    client = bound_to(rig.port, "m1")
    set_pool(rig.entry(), ["m1"], state="disabled")
    assert client.get() != "m1"


@pytest.mark.needs("health_readback", "traffic")
@pytest.mark.parametrize("state", OUT)
def test_a_member_that_is_down_already_leaves_at_once(rig, apps, state):
    apps["m1"].kill()
    rig.wait_until("m1 is down", lambda pool: pool["m1"].health == "down")
    set_pool(rig.entry(), ["m1"], state=state, min_available=4, drain_timeout=5)
    assert rig.members()["m1"].state == state


@pytest.mark.each_version
def test_a_second_run_changes_nothing(rig):
    can = rig.balancer().capabilities
    weights = [{"weight": 30}] if can.weight_range else []
    drained = [{"state": "drained"}] if can.sticky_drain else []
    for options in ({"state": "disabled"}, *drained, *weights, {"state": "enabled"}):
        assert set_pool(rig.entry(), ["m1", "m2"], **options)["changed"] is True
        again = set_pool(rig.entry(), ["m1", "m2"], **options)
        assert again["changed"] is False and again["diff"]["before"] == again["diff"]["after"]


@pytest.mark.parametrize(
    "options",
    [
        {"state": "disabled"},
        pytest.param({"state": "drained"}, marks=pytest.mark.needs("sticky_drain")),
        pytest.param({"weight": 30}, marks=pytest.mark.needs("weights")),
        pytest.param({"state": "drained", "weight": 0}, marks=pytest.mark.needs("sticky_drain", "weight_zero")),
    ],
)
def test_check_mode_tells_the_truth_and_touches_nothing(rig, options):
    before = rig.written()
    promised = set_pool(rig.entry(name="lb"), ["m1", "m2"], check=True, **options)
    assert rig.written() == before
    done = set_pool(rig.entry(name="lb"), ["m1", "m2"], **options)
    assert promised["changed"] is done["changed"] is True
    assert promised["diff"] == done["diff"]
    assert promised["balancers"][0]["available"] == done["balancers"][0]["available"]


@pytest.mark.needs("in_flight", "traffic")
def test_a_balancer_that_is_restarted_while_we_wait_does_not_bring_the_member_back(rig, apps, monkeypatch):
    client = bound_to(rig.port, "m1")
    slow = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m1"].holding == 1)
    driver, written = type(rig.balancer()), threading.Event()
    apply = driver.apply

    def noted(self, pool, changes, distrust=False):
        seen = apply(self, pool, changes, distrust)
        written.set()  # and read back: what is not yet may fail with a balancer that ends meanwhile
        return seen

    monkeypatch.setattr(driver, "apply", noted)
    leaving = Aside(lambda: set_pool(rig.entry(), ["m1"], state="disabled"))
    assert written.wait(20)
    rig.restart()
    apps["m1"].gate.set()
    slow.ended()
    assert leaving.ended().error is None
    rig.settle()
    assert rig.members()["m1"].state == "disabled"


@pytest.mark.needs("not_survives_reload")
def test_a_pool_that_was_restarted_is_brought_there_by_the_same_command(rig):
    set_pool(rig.entry(), ["m1"], state="disabled")
    rig.restart()
    assert rig.members()["m1"].state == "enabled"
    assert set_pool(rig.entry(), ["m1"], state="disabled")["changed"] is True


@pytest.mark.each_version
@pytest.mark.needs("not_survives_reload")
@pytest.mark.parametrize("state", OUT)
def test_between_two_tasks_a_restart_does_not_bring_the_members_back(rig, apps, state):
    set_pool(rig.entry(), ["m1"], state=state, hold=30)
    set_pool(rig.entry(), ["m2"], state=state, hold=30)
    apps["m1"].kill()
    apps["m2"].kill()
    rig.restart()
    out = rig.wait_until("they are out again", lambda pool: pool["m1"].state == pool["m2"].state == state)
    assert out["m3"].state == "enabled"
    for name in ("m1", "m2"):
        apps[name].start()
    back = set_pool(rig.entry(), ["m1", "m2"], state="enabled")
    assert back["balancers"][0]["reasserted"] == 1
    rig.restart()
    rig.all_up()
    assert {member.state for member in rig.members().values()} == {"enabled"}


@pytest.mark.needs("not_survives_reload")
def test_who_holds_members_does_not_fight_a_person(rig):
    set_pool(rig.entry(), ["m1"], state="disabled", hold=30)
    rig.balancer().apply(POOL, [Change("m1", "enabled")])
    set_pool(rig.entry(), ["m2"], state="disabled", hold=30)
    rig.restart()  # after which it is out again: until then nothing had been written over
    rig.wait_until("what was held is held again", lambda pool: pool["m1"].state == pool["m2"].state == "disabled")
    set_pool(rig.entry(), ["m1", "m2"], state="enabled")


@pytest.mark.needs("survives_reload", "traffic")
def test_a_restart_changes_nothing(rig):
    set_pool(rig.entry(), ["m1"], state="disabled")
    before = rig.written()
    rig.restart()
    rig.settle()
    assert rig.written() == before


def test_what_was_written_and_is_no_longer_there_is_written_again(rig, apps, monkeypatch):
    driver = type(rig.balancer())
    apply = driver.apply

    def undone(self, pool, changes, distrust=False):
        seen = apply(self, pool, changes)
        monkeypatch.setattr(driver, "apply", apply)
        apply(self, pool, [Change(change.name, "enabled") for change in changes])
        return seen

    monkeypatch.setattr(driver, "apply", undone)
    result = set_pool(rig.entry(), ["m1"], state="disabled")
    assert result["balancers"][0]["reasserted"] == 1 and rig.members()["m1"].state == "disabled"
