# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Splitting the traffic, against balancers in memory: one write, at the same moment, or nothing."""

from __future__ import annotations

import tempfile
from dataclasses import replace

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    InvalidInput,
    NotApplied,
    Refused,
    TimedOut,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import place, split_traffic
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.hold import Hold
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils._use_cases.fake_balancer import (
    CAN_ALL,
    FakeBalancer,
    FakeClock,
)

BLUE, GREEN = ["m1", "m2"], ["m3", "m4"]


def shared(blue, green):
    return {"blue": {"members": BLUE, "share": blue}, "green": {"members": GREEN, "share": green}}


@pytest.fixture(autouse=True)
def own_locks(tmp_path, monkeypatch):
    """Locks of this test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def lb(clock):
    """All traffic goes to blue."""
    balancer = FakeBalancer("lb", clock)
    for name in GREEN:
        balancer.set(name, state="disabled", health="unknown")
    return balancer


@pytest.fixture
def pair(clock):
    balancers = [FakeBalancer(name, clock) for name in ("lb1", "lb2")]
    for balancer in balancers:
        for name in GREEN:
            balancer.set(name, state="disabled", health="unknown")
    return balancers


@pytest.fixture
def split(monkeypatch):
    """Calls the use case on balancers given as they are."""

    def call(balancers, check=False, **options):
        balancers = balancers if isinstance(balancers, list) else [balancers]
        by_name = {balancer.name: balancer for balancer in balancers}
        monkeypatch.setattr(split_traffic, "open_balancer", lambda entry: by_name[entry["name"]])
        entries = [{"provider": "haproxy", "name": name} for name in by_name]
        validated = ArgumentSpecValidator(split_traffic.ARGUMENT_SPEC, **split_traffic.CONSTRAINTS).validate(
            {"balancers": entries, "pool": "app", **options}
        )
        assert not validated.error_messages
        return split_traffic.run(validated.validated_parameters, check, balancers[0].clock)

    return call


def states(balancer):
    return {member.name: (member.state, member.weight) for member in balancer.pool}


ALL_BLUE = {"m1": ("enabled", 100), "m2": ("enabled", 100), "m3": ("disabled", 100), "m4": ("disabled", 100)}


class TestSwitching:
    def test_who_arrives_is_checked_first_and_then_all_is_one_write(self, split, lb):
        result = split(lb, groups=shared(0, 100))
        (_start, checked), (when, switched) = lb.wrote
        assert checked == [("m3", "drained", 100), ("m4", "drained", 100)]
        assert switched == [(name, "enabled", 100) for name in GREEN] + [(name, "disabled", None) for name in BLUE]
        assert 1 <= when < 1.3
        (balancer,) = result["balancers"]
        assert balancer["shares"] == {"blue": 0.0, "green": 100.0} and balancer["available"] == 2
        assert balancer["weights"] == {"m3": 100, "m4": 100}
        waited = {member["name"]: member["waited"].get("for") for member in balancer["members"]}
        assert waited == {"m1": None, "m2": None, "m3": "fresh health", "m4": "fresh health"}

    def test_seconds_are_those_since_all_were_ready(self, split, lb):
        apply = lb.apply

        def slow(pool, changes, distrust=False):
            lb.clock.sleep(0 if distrust else 0.25)
            return apply(pool, changes, distrust)

        lb.apply = slow
        result = split(lb, groups=shared(0, 100))
        assert result["seconds"] == result["balancers"][0]["seconds"] == 0.25 < lb.clock.time

    def test_who_is_known_to_be_healthy_need_not_be_checked_again(self, split, lb):
        lb.set("m3", state="drained", health="up")
        split(lb, groups=shared(0, 100), health="current")
        assert lb.wrote[0][1] == [("m4", "drained", 100)] and lb.wrote[1][1][:2] == [
            ("m3", "enabled", 100),
            ("m4", "enabled", 100),
        ]

    @pytest.mark.parametrize("health", ["down", "starting", "unknown"])
    def test_any_other_word_of_health_is_not_enough(self, split, lb, health):
        for name in GREEN:
            lb.set(name, state="drained", health=health)
        split(lb, groups=shared(0, 100), health="current")
        assert len(lb.wrote) == 2

    def test_without_health_it_is_one_write_at_once(self, split, lb):
        split(lb, groups=shared(0, 100), health="none")
        assert len(lb.wrote) == 1 and lb.clock.time == 0

    def test_prepared_and_left_so(self, split, lb):
        promised = split(lb, check=True, groups=shared(0, 100), prepare=True)
        assert lb.wrote == []
        prepared = split(lb, groups=shared(0, 100), prepare=True)
        assert promised["diff"] == prepared["diff"] and prepared["changed"]
        assert prepared["balancers"][0]["shares"] == {"blue": 100.0, "green": 0.0}
        assert states(lb) == {**ALL_BLUE, "m3": ("drained", 100), "m4": ("drained", 100)}
        writes, time = len(lb.wrote), lb.clock.time
        split(lb, groups=shared(0, 100), health="current")
        assert len(lb.wrote) == writes + 1 and lb.clock.time == time

    def test_there_and_back(self, split, lb):
        there = split(lb, groups=shared(0, 100))
        back = split(lb, before=there["before"], health="none")
        assert states(lb) == ALL_BLUE and len(lb.wrote) == 3 and back["changed"]
        assert back["balancers"][0]["shares"] == {}
        assert not split(lb, before=there["before"])["changed"]

    def test_one_that_never_passes_its_check_leaves_everything_as_it_was(self, split, lb):
        lb.heals = {"m4": None}
        with pytest.raises(
            TimedOut, match=r"does not pass: m4 is down.*The members are as they were before \(m3, m4\)"
        ):
            split(lb, groups=shared(0, 100), health_timeout=5)
        assert states(lb) == ALL_BLUE

    def test_one_that_lost_its_state_meanwhile_is_checked_again(self, split, pair, monkeypatch):
        # They share a clock, so who is first must not be left to threads.
        monkeypatch.setattr(split_traffic, "side_by_side", lambda places, work: [work(place) for place in places])
        one, two = pair
        two.heals = {"m3": 5.0}
        forgets = [True]

        def restart(lb):
            if lb.clock.time > 3 and forgets:
                forgets.clear()
                for name in GREEN:
                    lb.set(name, state="disabled", health="unknown")

        one.before_read = restart
        result = split(pair, groups=shared(0, 100))
        assert states(one)["m3"] == ("enabled", 100) and result["balancers"][0]["reasserted"] == 1
        assert one.wrote[-2][1] == [("m3", "drained", 100), ("m4", "drained", 100)]

    def test_where_a_check_alone_lets_in_they_are_in_before_others_leave(self, split, lb):
        lb.capabilities = replace(CAN_ALL, returns_by_check=True)
        split(lb, groups=shared(0, 100))
        arrived, left = (changes for _time, changes in lb.wrote)
        assert arrived == [("m3", "enabled", 100), ("m4", "enabled", 100)]
        assert left == [("m1", "disabled", None), ("m2", "disabled", None)]
        assert lb.wrote[1][0] > 1

    def test_who_may_be_stopped_stays_out_as_far_as_it_is(self, split, lb):
        lb.set("m4", state="drained")
        assert not split(lb, groups=shared(100, 0), leave="drained")["changed"]
        assert split(lb, groups=shared(100, 0), leave="disabled")["changed"]
        assert states(lb) == ALL_BLUE


class TestHolding:
    @pytest.fixture(autouse=True)
    def nobody_is_left_behind(self, monkeypatch):
        monkeypatch.setattr(place, "leave_behind", lambda work: None)

    @pytest.fixture
    def forgetful(self, lb):
        lb.capabilities = replace(CAN_ALL, survives_reload=False)
        lb.running = lambda: ("1", 5.0)
        return lb

    def held(self, lb):
        members = Hold(lb, "app", lb.clock)._read()["members"]
        return {name: {key: about[key] for key in ("state", "weight")} for name, about in members.items()}

    def test_all_members_of_the_groups_are_held_to_what_they_are(self, split, forgetful):
        split(forgetful, groups=shared(90, 10), hold=60)
        assert self.held(forgetful) == {
            **dict.fromkeys(BLUE, {"state": "enabled", "weight": 9}),
            **dict.fromkeys(GREEN, {"state": "enabled", "weight": 1}),
        }
        split(forgetful, groups=shared(100, 0))
        assert self.held(forgetful) == {}

    def test_making_ready_holds_who_is_made_ready_and_lets_nobody_else_go(self, split, forgetful):
        split(forgetful, groups=shared(100, 0), hold=60)
        split(forgetful, groups=shared(0, 100), hold=60, prepare=True)
        assert {name: about["state"] for name, about in self.held(forgetful).items()} == {
            **dict.fromkeys(BLUE, "enabled"),
            **dict.fromkeys(GREEN, "drained"),
        }


class TestShares:
    def test_weights_are_written_with_the_states(self, split, lb):
        split(lb, groups=shared(95, 5), health="none")
        assert lb.wrote[0][1] == [
            ("m3", "enabled", 1),
            ("m4", "enabled", 1),
            ("m1", "enabled", 19),
            ("m2", "enabled", 19),
        ]

    def test_right_weights_are_not_touched(self, split, lb):
        lb.set("m1", weight=7)
        lb.set("m2", weight=7)
        assert not split(lb, groups=shared(100, 0))["changed"]

    def test_what_weights_cannot_give_is_a_warning(self, split, lb):
        lb.capabilities = replace(CAN_ALL, weight_range=(1, 10))
        result = split(lb, groups=shared(99, 1), health="none")
        (said,) = result["warnings"]
        assert "give blue 90.91 %, green 9.09 %, though blue 99 %, green 1 % were asked for: 8.09 points off" in said
        assert result["balancers"][0]["shares"] == {"blue": 90.91, "green": 9.09}
        assert "warnings" not in split(lb, groups=shared(99, 1), tolerance=9)

    def test_a_task_makes_ready_or_switches(self, split, lb):
        with pytest.raises(InvalidInput, match="`prepare` makes ready and `prepared` switches"):
            split(lb, groups=shared(0, 100), prepare=True, prepared=True)
        assert lb.wrote == []

    def test_who_is_down_takes_less_which_is_a_warning(self, split, lb):
        lb.set("m2", health="down")
        result = split(lb, groups=shared(100, 0))
        assert result["warnings"] == ["Balancer lb, pool app: m2 of blue is down, so the share of blue is less."]

    def test_without_weights_more_than_the_tolerance_is_refused(self, split, lb):
        lb.capabilities = replace(CAN_ALL, weight_range=None)
        with pytest.raises(
            InvalidInput, match=r"has no weights.*accept these with `tolerance: 45`\. Nothing was touched"
        ):
            split(lb, groups=shared(95, 5))
        assert lb.wrote == []
        split(lb, groups=shared(95, 5), tolerance=45, health="none")
        assert lb.wrote[0][1] == [("m3", "enabled", None), ("m4", "enabled", None)]

    def test_a_rest_is_who_is_in_traffic(self, split, lb):
        result = split(lb, groups={"canary": {"members": ["m1"], "share": 10}, "rest": {}})
        assert result["balancers"][0]["shares"] == {"canary": 10.0, "rest": 90.0}
        assert states(lb) == {**ALL_BLUE, "m1": ("enabled", 1), "m2": ("enabled", 9)}


class TestVanishing:
    def test_who_vanishes_before_the_switch_stops_it(self, split, lb):
        lb.before_read = lambda lb: lb.clock.time > 1 and setattr(lb, "pool", [m for m in lb.pool if m.name != "m1"])
        with pytest.raises(NotApplied, match=r"no longer has m1.*as they were before \(m3, m4\)"):
            split(lb, groups=shared(0, 100))
        assert states(lb)["m3"] == ("disabled", 100)

    def test_who_vanishes_afterwards_is_told(self, split, lb):
        lb.busy_until = {"m2": 9.0}
        lb.before_read = lambda lb: lb.clock.time > 5 and setattr(lb, "pool", [m for m in lb.pool if m.name != "m4"])
        result = split(lb, groups=shared(0, 100), wait=True)
        assert result["balancers"][0]["members"][3]["after"]["state"] == "absent"


class TestGuard:
    def test_it_counts_before_anything_is_touched(self, split, lb):
        for check in (True, False):
            with pytest.raises(Refused, match="this would leave 2, and the minimum is 3"):
                lb.set("m3", state="enabled", health="up")
                split(lb, check=check, groups=shared(100, 0), min_available=3)
        assert lb.wrote == []

    def test_those_that_arrive_count_already(self, split, lb):
        split(lb, groups=shared(0, 100), min_available=2)

    def test_and_not_who_is_known_to_be_down(self, split, lb):
        lb.set("m3", state="drained", health="down")
        lb.set("m4", state="drained", health="down")
        with pytest.raises(Refused, match="this would leave 0"):
            split(lb, groups=shared(0, 100), health="none")

    def test_a_writer_that_came_between_is_noticed_and_all_is_put_back(self, split, lb):
        def other(lb):
            lb.before_apply = lambda lb: None
            lb.set("m1", state="disabled", health="unknown")

        lb.set("m4", state="enabled", health="up")
        lb.before_apply = other
        with pytest.raises(Refused, match="another writer took members out"):
            split(
                lb,
                groups={"all": {"members": ["m1", "m2"]}, "none": {"members": ["m3", "m4"], "share": 0}},
                min_available=2,
            )
        assert states(lb)["m4"] == ("enabled", 100)


class TestLeaving:
    def test_nobody_waits_by_default(self, split, lb):
        lb.busy_until = {"m1": 99.0}
        split(lb, groups=shared(0, 100), health="none")
        assert lb.clock.time == 0 and lb.settled == []

    def test_it_waits_where_that_is_asked_for(self, split, lb):
        lb.busy_until = {"m1": 9.0}
        result = split(lb, groups=shared(0, 100), health="none", wait=True)
        assert lb.clock.time > 9 and lb.settled[0][1] == BLUE and result["seconds"] < 1

    def test_the_deadline_puts_all_back(self, split, lb):
        lb.busy_until = {"m1": 99.0}
        with pytest.raises(TimedOut, match=r"still requests in flight \(m1: 3\).*as they were before"):
            split(lb, groups=shared(0, 100), health="none", wait=True, drain_timeout=3)
        assert states(lb) == ALL_BLUE

    def test_who_waits_needs_somebody_who_counts(self, split, lb):
        lb.capabilities = replace(CAN_ALL, in_flight=False)
        with pytest.raises(InvalidInput, match="with `drain_wait`"):
            split(lb, groups=shared(0, 100), wait=True)
        split(lb, groups=shared(0, 100))


class TestSeveralBalancers:
    def test_nobody_switches_before_all_are_ready(self, split, pair):
        pair[1].heals = {"m3": 20.0}
        result = split(pair, groups=shared(0, 100))
        (one, *_rest), (two, *_others) = (lb.wrote[-1] for lb in pair)
        assert one == two >= 20 and result["seconds"] == 0

    @pytest.mark.parametrize("bad", [0, 1])
    @pytest.mark.parametrize("step", [0, 1])
    def test_none_of_them_when_one_refuses_at_any_step(self, split, pair, bad, step):
        def refuse(lb):
            if len(lb.wrote) == step:
                lb.before_apply = lambda lb: None
                raise Refused("Permission denied.")

        pair[bad].before_apply = refuse
        with pytest.raises(Refused, match=f"Balancer {pair[1 - bad].name} is as it was before"):
            split(pair, groups=shared(0, 100))
        assert [states(lb) for lb in pair] == [ALL_BLUE, ALL_BLUE]

    def test_one_whose_check_never_passes_keeps_the_other_from_switching(self, split, pair):
        pair[1].heals = {"m3": None}
        with pytest.raises(TimedOut):
            split(pair, groups=shared(0, 100), health_timeout=5)
        assert [states(lb) for lb in pair] == [ALL_BLUE, ALL_BLUE]
        assert all(change[1] != "enabled" for lb in pair for _time, changes in lb.wrote for change in changes)

    def test_back_comes_in_before_out(self, split, pair):
        """Where putting back is several writes, never is nobody there."""
        pair[1].before_apply = lambda lb: (each for each in ()).throw(NotApplied("No.")) if len(lb.wrote) == 1 else None
        with pytest.raises(NotApplied):
            split(pair, groups=shared(0, 100))
        assert [state for _name, state, _weight in pair[0].wrote[-1][1]] == [
            "enabled",
            "enabled",
            "disabled",
            "disabled",
        ]

    def test_reported_instead_of_failed(self, split, pair):
        pair[0].before_apply = lambda lb: (each for each in ()).throw(Refused("No."))
        result = split(pair, groups=shared(0, 100), on_failure="report")
        assert "No." in result["problem"] and result["changed"] is False and result["balancers"] == []


class TestCheckModeAndIdempotence:
    @pytest.mark.parametrize("groups", [shared(0, 100), shared(95, 5), shared(50, 50), shared(100, 0)])
    @pytest.mark.parametrize("health", ["fresh", "none"])
    def test_check_mode_promises_what_is_then_done_and_a_second_run_does_nothing(self, split, lb, groups, health):
        promised = split(lb, check=True, groups=groups, health=health)
        assert lb.wrote == []
        done = split(lb, groups=groups, health=health)
        assert (promised["changed"], promised["diff"]) == (done["changed"], done["diff"])
        assert promised["balancers"][0]["shares"] == done["balancers"][0]["shares"]
        writes = len(lb.wrote)
        again = split(lb, groups=groups, health=health)
        assert not again["changed"] and len(lb.wrote) == writes
        assert again["diff"]["before"] == again["diff"]["after"] == done["diff"]["after"]

    def test_the_diff_names_the_groups(self, split, lb):
        diff = split(lb, groups=shared(90, 10), health="none")["diff"]
        assert diff["after"].splitlines()[1:3] == [
            "lb app/m2 (blue): enabled, weight 9",
            "lb app/m3 (green): enabled, weight 1",
        ]


def test_before_of_another_balancer_is_no_way_back(split, lb):
    with pytest.raises(InvalidInput, match="`before` says nothing of this balancer"):
        split(lb, before={"other": {}})
    with pytest.raises(InvalidInput, match="`before` of m1 has no state out of enabled, drained, disabled"):
        split(lb, before={"lb": {"m1": {"state": "absent", "weight": 1}}})


def test_who_cannot_check_anew_and_has_not_seen_them_healthy_says_so(split, lb):
    lb.capabilities = replace(CAN_ALL, fresh_health=False)
    with pytest.raises(InvalidInput, match="has not seen m3, m4 healthy outside of the traffic"):
        split(lb, groups=shared(0, 100), health="current")
    for name in GREEN:
        lb.set(name, state="drained", health="up")
    split(lb, groups=shared(0, 100), health="current")
