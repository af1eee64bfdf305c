# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any balancer: bringing members back, never on the word of a check from before."""

from __future__ import annotations

import threading

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, TimedOut
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Aside, Bound, Load, bound_to
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.marks import OUT
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import read, set_pool, until


def asked_at_least(load, more):
    enough = load.requests + more
    until(f"{more} more requests", lambda: load.requests >= enough)


@pytest.mark.needs("fresh_health", "traffic")
@pytest.mark.parametrize("state", OUT)
@pytest.mark.parametrize("fall, death", [(1, "broken"), (1, "killed"), (3, "broken")])
def test_a_member_that_died_after_its_last_check_gets_no_request(make_rig, apps, fall, state, death):
    # One check a second: the last result is good, and stays so for long after the death.
    rig = make_rig(fall=fall, rise=1, interval=1, forgiving=False)
    set_pool(rig.entry(), ["m1"], state=state)
    app = apps["m1"]
    if death == "killed":
        app.kill()
    else:
        app.broken = True
    served = app.served
    with Load(rig.port, clients=3) as load:
        asked_at_least(load, 30)
        with pytest.raises(TimedOut, match=r"check does not pass: m1 is down.*as they were before \(m1\)") as failure:
            set_pool(rig.entry(), ["m1"], state="enabled", health_timeout=1.5 + 0.5 * fall)
        asked_at_least(load, 30)
    assert failure.value.facts["unhealthy"] == ["m1"]
    assert load.failures == []
    assert app.served == served
    assert rig.members()["m1"].state == state and rig.members()["m1"].weight == rig.weight


@pytest.mark.needs("fresh_health", "traffic")
@pytest.mark.parametrize("state", OUT)
def test_a_member_whose_fresh_check_fails_is_kept_from_its_bound_clients_too(make_rig, apps, state):
    rig = make_rig(rise=1, interval=1, forgiving=False)
    cookie = bound_to(rig.port, "m1").cookie
    set_pool(rig.entry(), ["m1"], state=state)
    apps["m1"].broken = True
    returning = Aside(lambda: set_pool(rig.entry(), ["m1"], state="enabled", health_timeout=1))
    rig.wait_until("m1 is held to be down", lambda pool: pool["m1"].health == "down" and rig.coming_back(pool["m1"]))
    served = apps["m1"].served
    for _each in range(30):
        client = Bound(rig.port)
        client.cookie = cookie
        assert client.get() != "m1"
    assert apps["m1"].served == served
    assert isinstance(returning.ended().error, TimedOut)


@pytest.mark.each_version
@pytest.mark.needs("fresh_health", "traffic")
def test_a_member_returns_once_checks_begun_after_the_call_have_passed(make_rig, apps):
    rig = make_rig(rise=2)
    set_pool(rig.entry(), ["m1"], state="disabled")
    checks = apps["m1"].checks
    result = set_pool(rig.entry(), ["m1"], state="enabled")
    assert apps["m1"].checks >= checks + rig.passes
    (member,) = result["balancers"][0]["members"]
    assert member["waited"]["for"] == "fresh health" and member["after"]["health"] == "up"


@pytest.mark.each_version
@pytest.mark.needs("fresh_health", "traffic")
def test_a_member_gets_no_request_before_its_check_passes(make_rig, apps):
    rig = make_rig()
    set_pool(rig.entry(), ["m1"], state="disabled")
    app = apps["m1"]
    app.health = 503
    served = app.served
    done = threading.Event()

    def enable():
        set_pool(rig.entry(), ["m1"], state="enabled", **rig.gently([10], 0.05))
        done.set()

    with Load(rig.port) as load:
        thread = threading.Thread(target=enable, daemon=True)
        thread.start()
        rig.wait_until("its check fails", lambda pool: rig.check_failed(pool["m1"]))
        asked_at_least(load, 50)
        assert app.served == served and not done.is_set()
        app.health = 200
        thread.join(30)
        assert done.is_set()
        until("it serves", lambda: app.served > served)
    assert load.failures == []


@pytest.mark.needs("weights")
def test_the_weight_asked_for_is_the_one_it_ends_with(rig):
    set_pool(rig.entry(), ["m1", "m2"], state="disabled")
    result = set_pool(rig.entry(), ["m1", "m2"], state="enabled", weight=60, warmup=[5, 50], warmup_step=0.01)
    assert [m["after"]["weight"] for m in result["balancers"][0]["members"]] == [60, 60]
    assert rig.members()["m1"].weight == 60


@pytest.mark.each_version
@pytest.mark.needs("fresh_health", "weights")
def test_a_warm_up_goes_up_step_by_step(rig, monkeypatch):
    driver, weights = type(rig.balancer()), []
    apply = driver.apply

    def noted(self, pool, changes, *rest, **named):
        weights.extend((change.state, change.weight) for change in changes)
        return apply(self, pool, changes, *rest, **named)

    set_pool(rig.entry(), ["m1"], state="disabled")
    monkeypatch.setattr(driver, "apply", noted)
    set_pool(rig.entry(), ["m1"], state="enabled", warmup=[10, 50], warmup_step=0.01)
    assert weights == [("drained", 10), ("enabled", 10), (None, 50), (None, 100)]


@pytest.mark.needs("fresh_health", "weights", "traffic")
def test_a_member_that_falls_ill_during_its_warm_up_is_put_back(rig, apps):
    set_pool(rig.entry(), ["m1"], state="disabled")
    seen = threading.Event()

    def fall_ill():
        rig.wait_until("m1 is in at 10", lambda pool: (pool["m1"].state, pool["m1"].weight) == ("enabled", 10))
        apps["m1"].health = 500
        rig.wait_until("m1 is down", lambda pool: pool["m1"].health == "down")
        seen.set()

    thread = threading.Thread(target=fall_ill, daemon=True)
    thread.start()
    with pytest.raises(TimedOut, match=r"during the warm-up .*m1 is down.*as they were before \(m1\)"):
        set_pool(rig.entry(), ["m1"], state="enabled", warmup=list(range(10, 100)), warmup_step=0.5)
    thread.join(20)
    assert seen.is_set()
    assert (rig.members()["m1"].state, rig.members()["m1"].weight) == ("disabled", 100)


@pytest.mark.needs("fresh_health", "traffic")
def test_enabled_all_along_and_down_is_no_success(rig, apps):
    apps["m1"].kill()
    rig.wait_until("m1 is down", lambda pool: pool["m1"].health == "down")
    with pytest.raises(TimedOut, match="m1 is down"):
        set_pool(rig.entry(), ["m1"], state="enabled", health_timeout=0.3)


@pytest.mark.each_version
def test_as_before_restores_states_and_weights_each_its_own(rig):
    can = rig.balancer().capabilities
    set_pool(rig.entry(name="lb"), ["m1"], state="disabled")
    set_pool(rig.entry(name="lb"), ["m2"], state="drained" if can.sticky_drain else "disabled")
    if can.weight_range:
        set_pool(rig.entry(name="lb"), ["m2"], weight=40)
        set_pool(rig.entry(name="lb"), ["m3"], weight=70)
    before = read(rig.entry(name="lb"))["states"]
    everyone = ["m1", "m2", "m3", "m4"]
    set_pool(rig.entry(name="lb"), ["m1", "m2", "m3"], state="enabled", **({"weight": 100} if can.weight_range else {}))
    set_pool(rig.entry(name="lb"), ["m4"], state="disabled")
    promised = set_pool(rig.entry(name="lb"), everyone, check=True, state="as_before", before=before)
    done = set_pool(rig.entry(name="lb"), everyone, state="as_before", before=before)
    assert read(rig.entry(name="lb"))["states"] == before
    assert promised["diff"] == done["diff"]
    assert set_pool(rig.entry(name="lb"), everyone, state="as_before", before=before)["changed"] is False


@pytest.mark.needs("fresh_health", "not_returns_by_check")
def test_without_a_check_nobody_returns_unless_that_is_accepted(make_rig):
    rig = make_rig(checked=False, wait=False)
    set_pool(rig.entry(), ["m1"], state="disabled")
    for check in (True, False):
        with pytest.raises(InvalidInput, match=r"no health check for m1.*health: none.*Nothing was touched"):
            set_pool(rig.entry(), ["m1"], check=check, state="enabled")
    assert rig.members()["m1"].state == "disabled"
    set_pool(rig.entry(), ["m1"], state="enabled", health="none")
    assert rig.members()["m1"].state == "enabled"


@pytest.mark.each_version
@pytest.mark.needs("health_readback", "not_returns_by_check")
def test_members_without_a_check_count_as_available(make_rig):
    rig = make_rig(checked=False, wait=False)
    assert read(rig.entry())["balancers"][0]["available"] == 4
    assert {m["health"] for m in read(rig.entry())["balancers"][0]["members"]} == {"unknown"}
    set_pool(rig.entry(), ["m1", "m2"], state="disabled", min_available="50%")


@pytest.mark.needs("health_readback")
@pytest.mark.parametrize("state", OUT)
def test_enabling_at_once_when_health_is_none(rig, apps, state):
    set_pool(rig.entry(), ["m1"], state=state)
    result = set_pool(rig.entry(), ["m1"], state="enabled", health="none")
    assert result["balancers"][0]["members"][0]["waited"] == {}
