# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any balancer: taking members out under load."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import NotApplied, TimedOut
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Aside, Bound, Load, bound_to
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import POOL, set_pool, until


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
            set_pool(rig.entry(), [name], state="enabled", warmup=[10, 50], warmup_step=0.05)
            until(f"{name} serves again", lambda app=app, served=served: app.served > served)
    assert load.failures == [] and load.requests > 200
    assert {m.state for m in rig.members().values()} == {"enabled"} and {m.weight for m in rig.members().values()} == {
        100
    }


@pytest.mark.parametrize("state", ["drained", "disabled"])
def test_requests_in_flight_are_waited_for(rig, apps, state):
    client = bound_to(rig.port, "m1")
    slow = Aside(lambda: client.get("/hold"))
    rig.wait_until("the request is under way", lambda pool: pool["m1"].in_flight == 1)
    leaving = Aside(lambda: set_pool(rig.entry(), ["m1"], state=state))
    rig.wait_until("m1 is written", lambda pool: pool["m1"].state == state)
    seen = rig.balancer().members(POOL)
    assert seen[0].in_flight == 1 and leaving.runs
    apps["m1"].gate.set()
    assert slow.ended().result == "m1"
    (member,) = leaving.ended().result["balancers"][0]["members"]
    assert member["waited"]["for"] == "in flight 0" and member["waited"]["seconds"] > 0
    assert member["after"]["in_flight"] == 0


def test_at_the_deadline_fail_puts_the_members_back_and_cuts_nobody(rig, apps):
    client = bound_to(rig.port, "m1")
    slow = Aside(lambda: client.get("/hold"))
    rig.wait_until("the request is under way", lambda pool: pool["m1"].in_flight == 1)
    with pytest.raises(TimedOut, match=r"in flight \(m1: 1\).*as they were before \(m1, m2\)") as failure:
        set_pool(rig.entry(), ["m1", "m2"], state="disabled", drain_timeout=0.3)
    assert failure.value.facts["in_flight"] == {"m1": 1}
    assert {m.state for m in rig.members().values()} == {"enabled"}
    apps["m1"].gate.set()
    assert slow.ended().result == "m1"


def test_at_the_deadline_cut_ends_the_requests_and_says_how_many(rig):
    if not rig.balancer().capabilities.cut:
        pytest.skip("this balancer cannot")
    client = bound_to(rig.port, "m1")
    slow = Aside(lambda: client.get("/hold"))
    rig.wait_until("the request is under way", lambda pool: pool["m1"].in_flight == 1)
    result = set_pool(rig.entry(), ["m1", "m2"], state="disabled", drain_timeout=0.2, on_drain_timeout="cut")
    by_name = {member["name"]: member for member in result["balancers"][0]["members"]}
    assert by_name["m1"]["waited"]["cut"] == 1 and "cut" not in by_name["m2"]["waited"]
    assert slow.ended().error is not None
    assert rig.members()["m1"].state == "disabled"


def test_an_idle_member_leaves_without_any_time_to_wait(rig):
    result = set_pool(rig.entry(), ["m1"], state="disabled", drain_timeout=0)
    assert result["balancers"][0]["members"][0]["after"]["state"] == "disabled"


def test_a_drained_member_keeps_its_bound_clients_and_gets_no_others(rig, apps):
    if not rig.balancer().capabilities.sticky_drain:
        pytest.skip("this balancer cannot")
    client = bound_to(rig.port, "m1")
    set_pool(rig.entry(), ["m1"], state="drained")
    assert [client.get() for each in range(5)] == ["m1"] * 5
    assert "m1" not in {Bound(rig.port).get() for each in range(20)}


def test_a_disabled_member_hands_its_bound_clients_over(rig):
    client = bound_to(rig.port, "m1")
    set_pool(rig.entry(), ["m1"], state="disabled")
    assert client.get() != "m1"


def test_a_member_that_is_down_already_leaves_at_once(rig, apps):
    apps["m1"].kill()
    rig.wait_until("m1 is down", lambda pool: pool["m1"].health == "down")
    for state in ("drained", "disabled"):
        set_pool(rig.entry(), ["m1"], state=state, min_available=4, drain_timeout=5)
        assert rig.members()["m1"].state == state


def test_a_second_run_changes_nothing(rig):
    for options in ({"state": "disabled"}, {"state": "drained"}, {"weight": 30}, {"state": "enabled", "weight": 100}):
        assert set_pool(rig.entry(), ["m1", "m2"], **options)["changed"] is True
        again = set_pool(rig.entry(), ["m1", "m2"], **options)
        assert again["changed"] is False and again["diff"]["before"] == again["diff"]["after"]


@pytest.mark.parametrize(
    "options", [{"state": "disabled"}, {"state": "drained"}, {"weight": 30}, {"state": "drained", "weight": 0}]
)
def test_check_mode_tells_the_truth_and_touches_nothing(rig, options):
    before = rig.written()
    promised = set_pool(rig.entry(name="lb"), ["m1", "m2"], check=True, **options)
    assert rig.written() == before
    done = set_pool(rig.entry(name="lb"), ["m1", "m2"], **options)
    assert promised["changed"] is done["changed"] is True
    assert promised["diff"] == done["diff"]
    assert promised["balancers"][0]["available"] == done["balancers"][0]["available"]


def test_a_balancer_that_is_restarted_while_we_wait_is_not_taken_at_its_word(rig, apps):
    client = bound_to(rig.port, "m1")
    slow = Aside(lambda: client.get("/hold"))
    rig.wait_until("the request is under way", lambda pool: pool["m1"].in_flight == 1)
    leaving = Aside(lambda: set_pool(rig.entry(), ["m1"], state="disabled"))
    rig.wait_until("m1 is written", lambda pool: pool["m1"].state == "disabled")
    rig.restart()
    apps["m1"].gate.set()
    slow.ended()
    leaving.ended()
    # Seen anew in its configured state, or not seen at all at that moment: never reported as out.
    assert leaving.result is None and leaving.error is not None
    assert rig.members()["m1"].state == "enabled"


def test_a_pool_that_was_restarted_is_brought_there_by_the_same_command(rig):
    set_pool(rig.entry(), ["m1"], state="disabled")
    rig.restart()
    assert rig.members()["m1"].state == "enabled"
    assert set_pool(rig.entry(), ["m1"], state="disabled")["changed"] is True


def test_what_was_written_and_is_no_longer_there_is_told(rig, monkeypatch):
    driver = type(rig.balancer())
    apply = driver.apply

    def undone(self, pool, changes, distrust=False):
        seen = apply(self, pool, changes)
        monkeypatch.setattr(driver, "apply", apply)
        apply(self, pool, [Change(change.name, "enabled") for change in changes])
        return seen

    monkeypatch.setattr(driver, "apply", undone)
    with pytest.raises(NotApplied, match=r"no longer there \(m1: enabled, weight 100\)"):
        set_pool(rig.entry(), ["m1"], state="disabled")
