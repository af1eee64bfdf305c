# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any balancer: groups of members get their shares of the traffic."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    InvalidInput,
    Refused,
    TimedOut,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Bound, Load, bound_to
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import set_pool, split_pool, until

BLUE, GREEN = ["m1", "m2"], ["m3", "m4"]
OWN_STATES = pytest.mark.needs("own_states")


def shared(blue, green):
    return {"blue": {"members": BLUE, "share": blue}, "green": {"members": GREEN, "share": green}}


ALL_BLUE, ALL_GREEN = shared(100, 0), shared(0, 100)


def in_traffic(rig):
    return sorted(name for name, member in rig.members().items() if member.state == "enabled" and member.weight)


def requests_more(load, more=50):
    enough = load.requests + more
    until(f"{more} more requests", lambda: load.requests >= enough)


def counted(monkeypatch, rig):
    """What its driver is told to write from now on, write by write."""
    driver, writes = type(rig.balancer()), []
    apply = driver.apply

    def noted(self, pool, changes, *rest, **named):
        writes.append({change.name: (change.state, change.weight) for change in changes})
        return apply(self, pool, changes, *rest, **named)

    monkeypatch.setattr(driver, "apply", noted)
    return writes


@pytest.fixture
def pair(make_rig):
    """Two balancers in front of the same members."""
    return make_rig(), make_rig()


@pytest.mark.each_version
@pytest.mark.needs("weights")
def test_shares_are_written_read_back_and_not_written_again(rig, monkeypatch):
    writes = counted(monkeypatch, rig)
    result = split_pool(rig.entry(name="lb"), groups=shared(90, 10))
    (balancer,) = result["balancers"]
    assert balancer["shares"] == {"blue": 90.0, "green": 10.0} and balancer["warnings"] == []
    weights = {name: member.weight for name, member in rig.members().items()}
    assert weights == balancer["weights"] == {"m1": 9, "m2": 9, "m3": 1, "m4": 1}
    again = split_pool(rig.entry(name="lb"), groups=shared(90, 10))
    assert (result["changed"], again["changed"], len(writes)) == (True, False, 1)
    assert again["diff"]["before"] == again["diff"]["after"] == result["diff"]["after"]


@pytest.mark.needs("weights")
def test_weights_that_give_the_shares_already_are_left_as_they_are(rig):
    result = split_pool(rig.entry(), groups=shared(50, 50))
    assert not result["changed"] and {member.weight for member in rig.members().values()} == {100}


@pytest.mark.each_version
@pytest.mark.needs("weights", "traffic")
def test_requests_are_spread_as_asked(rig, apps):
    split_pool(rig.entry(), groups=shared(80, 20))
    before = {name: app.served for name, app in apps.items()}
    for _each in range(1000):
        Bound(rig.port).get()
    served = {name: app.served - before[name] for name, app in apps.items()}
    # Where members are drawn at random, seven standard deviations; most take their turns.
    assert 1000 * 0.2 - 89 <= served["m3"] + served["m4"] <= 1000 * 0.2 + 89, served
    assert all(served.values())


@pytest.mark.needs("traffic")
def test_nobody_notices_a_switch_and_the_way_back(rig, apps):
    split_pool(rig.entry(), groups=ALL_BLUE)
    with Load(rig.port) as load:
        for groups, out in ((ALL_GREEN, BLUE), (ALL_BLUE, GREEN), (ALL_GREEN, BLUE)):
            requests_more(load)
            result = split_pool(rig.entry(), groups=groups)
            load.everybody_again()
            served = [apps[name].served for name in out]
            requests_more(load)
            assert [apps[name].served for name in out] == served
            assert result["changed"] and in_traffic(rig) == [name for name in apps if name not in out]
    assert rig.unforced(load.failures) == []


@pytest.mark.needs("traffic", "weights")
def test_nobody_notices_how_a_share_grows(rig, apps):
    split_pool(rig.entry(), groups=ALL_BLUE)
    with Load(rig.port) as load:
        for share in (5, 25, 50, 100, 10, 0):
            result = split_pool(rig.entry(), groups=shared(100 - share, share), min_available=2)
            assert result["balancers"][0]["shares"] == {"blue": 100.0 - share, "green": float(share)}
            requests_more(load)
    assert rig.unforced(load.failures) == []


@pytest.mark.needs("traffic")
def test_who_is_disabled_hands_its_bound_clients_over_at_once(rig):
    split_pool(rig.entry(), groups=ALL_BLUE)
    client = bound_to(rig.port, "m1")
    split_pool(rig.entry(), groups=ALL_GREEN, leave="disabled")
    assert client.get() in GREEN


@pytest.mark.each_version
@pytest.mark.needs("sticky_drain", "traffic")
def test_who_is_drained_keeps_its_bound_clients_until_it_is_disabled(rig):
    split_pool(rig.entry(), groups=ALL_BLUE)
    client = bound_to(rig.port, "m1")
    split_pool(rig.entry(), groups=ALL_GREEN, leave="drained")
    assert [client.get() for each in range(5)] == ["m1"] * 5
    assert {Bound(rig.port).get() for each in range(20)} <= set(GREEN)
    assert split_pool(rig.entry(), groups=ALL_GREEN, leave="disabled")["changed"]
    assert client.get() in GREEN
    # It may be stopped by now: it stays out as far as it is.
    assert not split_pool(rig.entry(), groups=ALL_GREEN, leave="drained")["changed"]


@pytest.mark.needs("fresh_health", "not_returns_by_check", "traffic")
def test_once_prepared_a_switch_is_one_write(rig, monkeypatch):
    split_pool(rig.entry(), groups=ALL_BLUE)
    prepared = split_pool(rig.entry(), groups=ALL_GREEN, prepare=True)
    assert prepared["balancers"][0]["shares"] == {"blue": 100.0, "green": 0.0}
    assert {name: rig.members()[name].state for name in GREEN} == dict.fromkeys(GREEN, "drained")
    assert {Bound(rig.port).get() for each in range(20)} <= set(BLUE)
    writes = counted(monkeypatch, rig)
    switched = split_pool(rig.entry(name="lb"), groups=ALL_GREEN, health="current")
    assert len(writes) == 1 and list(writes[0]) == [*GREEN, *BLUE]
    back = split_pool(rig.entry(name="lb"), before=switched["before"], health="none")
    assert len(writes) == 2 and back["changed"]
    out = "drained" if rig.balancer().capabilities.sticky_drain else "disabled"
    assert {name: rig.members()[name].state for name in GREEN} == dict.fromkeys(GREEN, out)
    assert in_traffic(rig) == BLUE


@pytest.mark.needs("fresh_health", "traffic")
@pytest.mark.parametrize("health", ["fresh", "current"])
def test_when_one_of_those_that_arrive_is_dead_the_others_stay(rig, apps, health):
    split_pool(rig.entry(), groups=ALL_BLUE)
    before = rig.written()
    apps["m3"].kill()
    with Load(rig.port) as load:
        with pytest.raises(TimedOut, match=r"check does not pass: m3 is down.*as they were before"):
            split_pool(rig.entry(), groups=ALL_GREEN, health=health, health_timeout=1)
        requests_more(load)
    assert rig.written() == before and rig.unforced(load.failures) == []


@pytest.mark.needs("in_flight")
def test_it_waits_for_who_has_left_where_that_is_asked_for(rig):
    result = split_pool(rig.entry(), groups=ALL_BLUE, wait=True)
    waited = {member["name"]: member["waited"].get("for") for member in result["balancers"][0]["members"]}
    assert waited == {"m1": None, "m2": None, "m3": "in flight 0", "m4": "in flight 0"}


def test_check_mode_tells_the_truth_and_touches_nothing(rig):
    split_pool(rig.entry(name="lb"), groups=ALL_BLUE)
    before = rig.written()
    promised = split_pool(rig.entry(name="lb"), check=True, groups=ALL_GREEN)
    assert rig.written() == before
    done = split_pool(rig.entry(name="lb"), groups=ALL_GREEN)
    assert promised["changed"] is done["changed"] is True and promised["diff"] == done["diff"]
    assert promised["balancers"][0]["shares"] == done["balancers"][0]["shares"] == {"blue": 0.0, "green": 100.0}
    assert not split_pool(rig.entry(name="lb"), groups=ALL_GREEN)["changed"]


def test_what_cannot_be_is_said_before_anything_is_touched(rig):
    before = rig.written()
    strange = {"blue": {"members": ["m1", "m9"], "share": 100}, "green": {"members": GREEN, "share": 0}}
    stray = {"blue": {"members": ["m1"], "share": 100}, "green": {"members": GREEN, "share": 0}}
    for groups, said in ((strange, "has no member m9"), (stray, "m2 is in traffic and in no group")):
        for check in (True, False):
            with pytest.raises(InvalidInput, match=f"{said}.*Nothing was touched"):
                split_pool(rig.entry(), check=check, groups=groups)
    with pytest.raises(Refused, match="this would leave 2, and the minimum is 3"):
        split_pool(rig.entry(), groups=ALL_BLUE, min_available=3)
    assert rig.written() == before


@pytest.mark.needs("not_weights")
def test_without_weights_shares_are_those_that_numbers_give(rig):
    before = rig.written()
    with pytest.raises(
        InvalidInput, match=r"has no weights.*blue 50 %, green 50 % and not blue 95 %, green 5 %.*Nothing was"
    ):
        split_pool(rig.entry(), groups=shared(95, 5))
    assert rig.written() == before
    assert not split_pool(rig.entry(), groups=shared(50, 50))["changed"]
    third = {
        "canary": {"members": ["m1"], "share": 33},
        "rest": {"members": ["m2", "m3"]},
        "out": {"members": ["m4"], "share": 0},
    }
    result = split_pool(rig.entry(), groups=third)
    assert result["balancers"][0]["shares"] == {"canary": 33.33, "rest": 66.67, "out": 0.0}


@OWN_STATES
@pytest.mark.needs("traffic")
def test_a_pair_switches_together(pair):
    entries = [rig.entry(name=f"lb{number}") for number, rig in enumerate(pair, 1)]
    split_pool(entries, groups=ALL_BLUE)
    with Load(pair[0].port, clients=1) as one, Load(pair[1].port, clients=1) as two:
        requests_more(one)
        result = split_pool(entries, groups=ALL_GREEN)
        requests_more(two)
    assert [in_traffic(rig) for rig in pair] == [GREEN, GREEN]
    assert result["seconds"] == max(balancer["seconds"] for balancer in result["balancers"]) > 0
    assert [pair[0].unforced(load.failures) for load in (one, two)] == [[], []]


@OWN_STATES
@pytest.mark.parametrize("first", [True, False])
def test_when_one_refuses_the_other_is_put_back(pair, first):
    good, bad = pair[0].entry(name="good"), pair[1].read_only_entry(name="bad")
    before = [rig.written() for rig in pair]
    with pytest.raises(Refused, match=rf"Balancer bad: .*{pair[1].refusal}.*Balancer good is as it was before"):
        split_pool([good, bad] if first else [bad, good], groups=ALL_BLUE)
    assert [rig.written() for rig in pair] == before


@OWN_STATES
@pytest.mark.parametrize("death", ["dead", "hung"])
def test_when_one_does_not_answer_both_are_as_they_were(pair, death):
    entries = [pair[0].entry(name="one"), pair[1].entry(name="two", timeout=1.0)]
    before = [rig.written() for rig in pair]
    if death == "dead":
        pair[1].stop()
    else:
        pair[1].freeze()
    with pytest.raises(Unreachable, match="Balancer one is as it was before"):
        split_pool(entries, groups=ALL_BLUE)
    if death == "dead":
        pair[1].start()
        pair[1].settle()
    else:
        pair[1].thaw()
    assert [rig.written() for rig in pair] == before


@pytest.mark.needs("not_survives_reload", "weights")
def test_a_restart_does_not_bring_the_old_shares_back(rig):
    split_pool(rig.entry(), groups=shared(90, 10), hold=30)
    rig.restart()
    rig.wait_until("the shares are as they were", lambda pool: [m.weight for m in pool.values()] == [9, 9, 1, 1])
    split_pool(rig.entry(), groups=shared(50, 50))


def test_a_member_that_is_out_may_be_in_no_group(rig):
    set_pool(rig.entry(), ["m4"], state="disabled")
    groups = {"blue": {"members": ["m1"], "share": 0}, "rest": {}}
    split_pool(rig.entry(), groups=groups)
    assert in_traffic(rig) == ["m2", "m3"]
