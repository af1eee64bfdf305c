# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bringing members there, against a balancer in memory: times, orders, and what is left after each failure."""

from __future__ import annotations

import tempfile
from dataclasses import replace

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.lock import only_writer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    DeployError,
    InvalidInput,
    Late,
    NotApplied,
    Refused,
    TimedOut,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.fence import held
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.pools import Timing
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import place, set_members
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.fence import read
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.hold import Hold
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils._use_cases.fake_balancer import (
    CAN_ALL,
    FakeBalancer,
    FakeClock,
)


@pytest.fixture(autouse=True)
def own_locks(tmp_path, monkeypatch):
    """Locks of this test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def lb(clock):
    return FakeBalancer("lb", clock)


@pytest.fixture
def bring(monkeypatch):
    """Calls the use case on balancers given as they are."""

    def call(balancers, members, check=False, **options):
        balancers = balancers if isinstance(balancers, list) else [balancers]
        by_name = {balancer.name: balancer for balancer in balancers}
        monkeypatch.setattr(set_members, "open_balancer", lambda entry: by_name[entry["name"]])
        entries = [{"provider": "haproxy", "name": name} for name in by_name]
        args = {"balancers": entries, "pool": "app", "members": members, **options}
        validated = ArgumentSpecValidator(set_members.ARGUMENT_SPEC, **set_members.CONSTRAINTS).validate(args)
        assert not validated.error_messages
        return set_members.run(validated.validated_parameters, check, balancers[0].clock)

    return call


def states(balancer):
    return {member.name: (member.state, member.weight) for member in balancer.pool}


ALL_ENABLED = dict.fromkeys(("m1", "m2", "m3", "m4"), ("enabled", 100))


class TestLeaving:
    def test_it_is_written_once_for_all_members(self, bring, lb):
        result = bring(lb, ["m1", "m2"], state="disabled", weight=5)
        assert lb.wrote == [(0.0, [("m1", "disabled", 5), ("m2", "disabled", 5)])]
        assert result["changed"] and result["balancers"][0]["available"] == 2

    def test_members_named_twice_are_one(self, bring, lb):
        result = bring(lb, ["m1", "m1"], state="disabled")
        assert len(result["balancers"][0]["members"]) == 1

    def test_idle_is_seen_in_two_polls_in_a_row(self, bring, lb):
        seen = []
        flights = iter([0, 2, 0, 2, 0, 0])
        lb.before_read = lambda lb: seen.append(lb.set("m1", in_flight=next(flights, 0))) if lb.wrote else None
        result = bring(lb, ["m1"], state="disabled")
        assert len(seen) == 6
        assert result["balancers"][0]["members"][0]["waited"] == {
            "for": "in flight 0",
            "seconds": round(lb.clock.time, 3),
        }

    def test_who_is_disabled_is_settled_once_idle_and_who_is_drained_is_not(self, bring, lb):
        lb.busy_until = {"m1": 3.0}
        bring(lb, ["m1"], state="disabled")
        bring(lb, ["m2"], state="drained")
        bring(lb, ["m3"], weight=50)
        ((when, names),) = lb.settled
        assert when > 3.0 and names == ["m1"]

    def test_each_member_is_told_its_own_wait(self, bring, lb):
        lb.busy_until = {"m1": 3.0}
        result = bring(lb, ["m1", "m2"], state="drained")
        m1, m2 = (member["waited"]["seconds"] for member in result["balancers"][0]["members"])
        assert 3.0 <= m1 < 4.0 and m2 < 0.1

    def test_polls_grow_rarer_and_stay_frequent_enough(self, bring, lb):
        lb.busy_until = {"m1": 50.0}
        bring(lb, ["m1"], state="drained")
        assert 220 < lb.reads < 260 and lb.clock.time < 51

    def test_the_deadline_with_fail_puts_back_and_says_who_is_busy(self, bring, lb):
        lb.busy_until = {"m1": 99.0}
        with pytest.raises(TimedOut) as error:
            bring(lb, ["m1", "m2"], state="disabled", weight=5, drain_timeout=10)
        assert "Balancer lb, pool app: after 10.0 s there are still requests in flight (m1: 3)" in error.value.message
        assert error.value.message.endswith("The members are as they were before (m1, m2).")
        assert error.value.facts == {"in_flight": {"m1": 3}}
        assert states(lb) == ALL_ENABLED and lb.cuts == []

    def test_the_deadline_with_cut_cuts_the_busy_ones_alone(self, bring, lb):
        lb.busy_until = {"m1": 99.0}
        result = bring(lb, ["m1", "m2"], state="disabled", drain_timeout=10, on_drain_timeout="cut")
        assert lb.cuts == [(pytest.approx(10.02, abs=0.1), ["m1"])]
        m1, m2 = (member["waited"] for member in result["balancers"][0]["members"])
        assert m1["cut"] == 3 and m1["for"] == "in flight 0" and 10 <= m1["seconds"] < 11
        assert "cut" not in m2

    def test_what_cannot_even_be_cut_fails(self, bring, lb):
        lb.busy_until = {"m1": 99.0}
        lb.cut = lambda pool, names: None
        with pytest.raises(TimedOut, match=r"in flight \(m1: 3\)"):
            bring(lb, ["m1"], state="disabled", drain_timeout=10, on_drain_timeout="cut")
        assert states(lb) == ALL_ENABLED

    def test_no_time_at_all_is_enough_for_who_is_idle(self, bring, lb):
        assert bring(lb, ["m1"], state="disabled", drain_timeout=0)["changed"]

    def test_and_not_for_who_is_busy(self, bring, lb):
        lb.busy_until = {"m1": 99.0}
        with pytest.raises(TimedOut, match="m1: 3"):
            bring(lb, ["m1"], state="disabled", drain_timeout=0)
        assert lb.clock.time < 1

    def test_a_state_lost_while_waiting_is_written_again(self, bring, lb):
        lb.busy_until = {"m1": 5.0}
        forgets = iter([False] * 5 + [True])
        lb.before_read = lambda lb: next(forgets, False) and lb.set("m1", state="enabled")
        result = bring(lb, ["m1", "m2"], state="disabled")
        assert [changes for _time, changes in lb.wrote] == [
            [("m1", "disabled", None), ("m2", "disabled", None)],
            [("m1", "disabled", None)],
        ]
        assert result["balancers"][0]["reasserted"] == 1 and lb["m1"].state == "disabled"

    def test_a_state_that_is_lost_over_and_over_is_no_success(self, bring, lb):
        lb.busy_until = {"m1": 50.0}
        lb.before_read = lambda lb: lb.set("m1", state="enabled") if lb.wrote else None
        with pytest.raises(NotApplied, match=r"no longer there \(m1: enabled, weight 100\).*restarted"):
            bring(lb, ["m1"], state="disabled")

    def test_a_balancer_that_does_not_answer_for_a_moment_is_waited_for(self, bring, lb):
        lb.busy_until = {"m1": 5.0}

        def restart(lb):
            if 1 < lb.clock.time < 4:
                raise Unreachable("nothing listens")

        lb.before_read = restart
        assert bring(lb, ["m1"], state="disabled")["changed"]

    def test_and_no_longer_than_a_restart_takes(self, bring, lb):
        lb.busy_until = {"m1": 50.0}

        def dead(lb):
            if lb.clock.time > 1:
                raise Unreachable("nothing listens")

        lb.before_read = dead
        with pytest.raises(Unreachable, match=r"nothing listens What was written could NOT be put back \(m1\)"):
            bring(lb, ["m1"], state="disabled")
        assert 11 < lb.clock.time < 13

    def test_where_nobody_tells_what_is_in_flight_time_passes_instead(self, bring, lb):
        lb.capabilities = replace(CAN_ALL, in_flight=False)
        with pytest.raises(InvalidInput, match=r"does not tell when .*with `drain_wait`: .*Nothing was touched"):
            bring(lb, ["m1"], state="disabled")
        assert lb.wrote == []
        result = bring(lb, ["m1"], state="disabled", drain_wait=7)
        assert result["balancers"][0]["members"][0]["waited"] == {"for": "drain_wait", "seconds": 7.0}
        assert 7 <= lb.clock.time < 7.5

    def test_a_weight_alone_is_not_waited_for(self, bring, lb):
        lb.busy_until = {"m1": 99.0}
        result = bring(lb, ["m1"], weight=5)
        assert lb.clock.time == 0 and result["balancers"][0]["members"][0]["waited"] == {}


class TestReturning:
    @pytest.fixture(autouse=True)
    def out(self, lb):
        lb.set("m1", state="disabled", health="unknown", weight=80)
        lb.set("m2", state="drained")

    def test_through_drain_distrusted_then_warm_then_own(self, bring, lb):
        result = bring(lb, ["m1", "m2"], state="enabled", warmup=[10, 50], warmup_step=5)
        assert [changes for _time, changes in lb.wrote] == [
            [("m1", "drained", 8), ("m2", "drained", 10)],
            [("m1", "enabled", 8), ("m2", "enabled", 10)],
            [("m1", None, 40), ("m2", None, 50)],
            [("m1", None, 80), ("m2", None, 100)],
        ]
        healthy = lb.wrote[1][0]
        assert 1.0 <= healthy < 1.3
        assert [time - healthy for time, _changes in lb.wrote[1:]] == [0, pytest.approx(5), pytest.approx(10)]
        assert result["balancers"][0]["members"][0]["waited"] == {
            "for": "fresh health",
            "seconds": pytest.approx(healthy, abs=0.01),
        }

    def test_it_is_distrusted_with_the_very_write_that_drains_it(self, bring, lb):
        distrusts = []
        apply = lb.apply
        lb.apply = lambda pool, changes, distrust=False: (distrusts.append(distrust), apply(pool, changes, distrust))[1]
        bring(lb, ["m1"], state="enabled")
        assert distrusts == [True, False]

    def test_several_become_healthy_together_before_any_is_enabled(self, bring, lb):
        lb.heals = {"m1": 1.0, "m2": 20.0}
        bring(lb, ["m1", "m2"], state="enabled")
        assert lb.wrote[1][0] >= 20 and {name for name, *_rest in lb.wrote[1][1]} == {"m1", "m2"}

    def test_a_check_that_never_passes(self, bring, lb):
        lb.heals = {"m1": None, "m2": None}
        lb.set("m1", last_check="L4CON refused")
        with pytest.raises(TimedOut) as error:
            bring(lb, ["m1", "m2"], state="enabled", health_timeout=7)
        assert (
            "after 7.0 s the balancer's own check does not pass: m1 is down (L4CON refused); m2 is down (no check has ended yet)"
            in error.value.message
        )
        assert error.value.facts == {"unhealthy": ["m1", "m2"]}
        assert states(lb)["m1"] == ("disabled", 80) and states(lb)["m2"] == ("drained", 100)

    @pytest.mark.parametrize("step", [0, 1, 2])
    def test_falling_ill_at_any_step_of_the_warm_up_puts_back(self, bring, lb, step):
        lb.before_read = lambda lb: len(lb.wrote) == step + 2 and lb.clock.time > 1 and lb.set("m1", health="down")
        with pytest.raises(TimedOut, match=r"stopped passing: m1 is down|does not pass: m1 is down"):
            bring(lb, ["m1"], state="enabled", warmup=[10, 50], warmup_step=5)
        assert states(lb)["m1"] == ("disabled", 80)

    def test_a_refusal_in_the_middle_of_a_warm_up_puts_back(self, bring, lb):
        def refuse(lb):
            if len(lb.wrote) == 2:
                lb.before_apply = lambda lb: None
                raise Refused("No.")

        lb.before_apply = refuse
        with pytest.raises(Refused, match=r"^Balancer lb: No\. The members are as they were before \(m1\)\.$"):
            bring(lb, ["m1"], state="enabled", warmup=[10])
        assert states(lb)["m1"] == ("disabled", 80)

    def test_what_cannot_be_put_back_is_said_and_counts_as_changed(self, bring, lb):
        lb.before_apply = lambda lb: (each for each in ()).throw(Unreachable("Gone.")) if len(lb.wrote) == 2 else None
        with pytest.raises(Unreachable) as error:
            bring(lb, ["m1"], state="enabled", warmup=[10])
        assert error.value.message == "Balancer lb: Gone. What was written could NOT be put back (m1): Gone."
        assert error.value.facts["changed"] is True

    def test_a_member_of_weight_nought_stays_so(self, bring, lb):
        lb.set("m1", weight=0)
        bring(lb, ["m1"], state="enabled", warmup=[50], warmup_step=1)
        assert states(lb)["m1"] == ("enabled", 0)

    def test_health_none_neither_drains_nor_waits(self, bring, lb):
        bring(lb, ["m1"], state="enabled", health="none")
        # The weight is not written: no one asked for another, and an agent may set it.
        assert lb.wrote == [(0.0, [("m1", "enabled", None)])]

    def test_some_return_while_others_stay(self, bring, lb):
        result = bring(lb, ["m1", "m3"], state="enabled")
        assert [name for _time, changes in lb.wrote for name, *_rest in changes] == ["m1", "m1"]
        waits = {member["name"]: member["waited"]["for"] for member in result["balancers"][0]["members"]}
        assert waits == {"m1": "fresh health", "m3": "health"}

    def test_who_is_enabled_and_down_is_waited_for(self, bring, lb):
        lb.set("m3", health="down")
        lb.before_read = lambda lb: lb.clock.time > 10 and lb.set("m3", health="up")
        result = bring(lb, ["m3"], state="enabled")
        assert not result["changed"] and lb.wrote == [] and lb.clock.time > 10

    def test_members_without_a_check_are_refused_before_anything_is_written(self, bring, lb):
        lb.set("m1", checked=False)
        with pytest.raises(InvalidInput, match="no health check for m1"):
            bring(lb, ["m1", "m3"], state="enabled")
        assert lb.wrote == []

    def test_as_before_leaves_and_returns_in_one_task(self, bring, lb):
        before = {
            "lb": {
                "m1": {"state": "enabled", "weight": 50},
                "m2": {"state": "disabled", "weight": 100},
                "m3": {"state": "drained", "weight": 0},
            }
        }
        bring(lb, ["m1", "m2", "m3"], state="as_before", before=before)
        assert states(lb) == {
            "m1": ("enabled", 50),
            "m2": ("disabled", 100),
            "m3": ("drained", 0),
            "m4": ("enabled", 100),
        }

    def test_as_before_is_guarded_like_everything(self, bring, lb):
        before = {"lb": {name: {"state": "disabled", "weight": 100} for name in states(lb)}}
        with pytest.raises(Refused):
            bring(lb, list(states(lb)), state="as_before", before=before)
        assert lb.wrote == []

    def test_as_before_of_another_balancer(self, bring, lb):
        with pytest.raises(InvalidInput, match="`before` says nothing of m1"):
            bring(lb, ["m1"], state="as_before", before={"other": {"m1": {"state": "enabled", "weight": 1}}})


class TestGuard:
    def test_it_counts_what_is_there_at_the_moment_of_the_write(self, bring, lb):
        lb.set("m4", health="down")
        with pytest.raises(Refused):
            bring(lb, ["m1"], state="disabled", min_available=3)
        assert lb.wrote == []

    @pytest.mark.parametrize("state", ["drained", "disabled"])
    def test_a_writer_that_came_between_is_noticed_by_reading_back(self, bring, lb, state):
        def other(lb):
            lb.before_apply = lambda lb: None
            lb.set("m2", state="disabled", health="unknown")

        lb.before_apply = other
        with pytest.raises(Refused, match="another writer took members out"):
            bring(lb, ["m1"], state=state, min_available=3)
        assert states(lb) == {**ALL_ENABLED, "m2": ("disabled", 100)}

    def test_a_member_that_was_dead_anyway_is_not_put_back_for_anothers_sake(self, bring, lb):
        lb.set("m1", health="down")
        lb.before_apply = lambda lb: lb.set("m2", state="disabled", health="unknown")
        bring(lb, ["m1"], state="disabled", min_available=3)
        assert states(lb)["m1"][0] == "disabled"


class TestReadBack:
    def test_a_write_that_did_not_take_is_put_back_and_told(self, bring, lb):
        def half(lb):
            lb.before_apply = lambda lb: None
            lb.set("m1", state="disabled")
            raise NotApplied("m2 did not.")

        lb.before_apply = half
        with pytest.raises(NotApplied, match=r"m2 did not\. The members are as they were before"):
            bring(lb, ["m1", "m2"], state="disabled")
        assert states(lb) == ALL_ENABLED

    def test_a_member_that_vanished_is_told(self, bring, lb):
        lb.before_read = lambda lb: lb.wrote and setattr(lb, "pool", [m for m in lb.pool if m.name != "m1"])
        with pytest.raises(NotApplied, match="no longer has m1"):
            bring(lb, ["m1", "m2"], state="disabled")
        assert states(lb)["m2"] == ("enabled", 100)


class TestCheckModeAndIdempotence:
    @pytest.mark.parametrize(
        "options", [{"state": "disabled"}, {"state": "drained", "weight": 3}, {"weight": 3}, {"state": "enabled"}]
    )
    def test_check_mode_promises_what_is_then_done(self, bring, lb, options):
        lb.set("m2", state="disabled", health="unknown")
        promised = bring(lb, ["m1", "m2"], check=True, **options)
        assert lb.wrote == [] and lb.clock.time == 0
        done = bring(lb, ["m1", "m2"], **options)
        assert (promised["changed"], promised["diff"]) == (done["changed"], done["diff"])

    @pytest.mark.parametrize(
        "options",
        [{"state": "disabled"}, {"state": "drained", "weight": 3}, {"weight": 3}, {"state": "enabled", "weight": 4}],
    )
    def test_a_second_run_writes_nothing(self, bring, lb, options):
        bring(lb, ["m1", "m2"], **options)
        writes = len(lb.wrote)
        again = bring(lb, ["m1", "m2"], **options)
        assert not again["changed"] and len(lb.wrote) == writes
        assert again["diff"]["before"] == again["diff"]["after"]

    def test_the_diff_is_in_words(self, bring, lb):
        lb.set("m2", weight=7)
        assert bring(lb, ["m2", "m1"], state="drained")["diff"] == {
            "before": "lb app/m2: enabled, weight 7\nlb app/m1: enabled, weight 100\n",
            "after": "lb app/m2: drained, weight 7\nlb app/m1: drained, weight 100\n",
        }


class TestSeveralBalancers:
    @pytest.fixture
    def pair(self, clock):
        return [FakeBalancer("lb1", clock), FakeBalancer("lb2", clock)]

    def test_all_of_them(self, bring, pair):
        result = bring(pair, ["m1"], state="disabled")
        assert [states(lb)["m1"][0] for lb in pair] == ["disabled", "disabled"]
        assert [balancer["name"] for balancer in result["balancers"]] == ["lb1", "lb2"]

    def test_changed_where_only_one_was(self, bring, pair):
        pair[0].set("m1", state="disabled", health="unknown")
        result = bring(pair, ["m1"], state="disabled")
        assert result["changed"] and [balancer["changed"] for balancer in result["balancers"]] == [False, True]
        assert pair[0].wrote == []

    @pytest.mark.parametrize("bad", [0, 1])
    def test_none_of_them_when_one_refuses(self, bring, pair, bad):
        def refuse(lb):
            raise Refused("Permission denied.")

        pair[bad].before_apply = refuse
        with pytest.raises(Refused) as error:
            bring(pair, ["m1"], state="disabled")
        assert f"Balancer {pair[1 - bad].name} is as it was before." in error.value.message
        assert [states(lb) for lb in pair] == [ALL_ENABLED, ALL_ENABLED]

    def test_one_that_cannot_be_put_back_is_named_and_counts_as_changed(self, bring, pair):
        def refuse(lb):
            raise Refused("Permission denied.")

        pair[0].before_apply = lambda lb: lb.wrote and refuse(lb)
        pair[1].before_apply = refuse
        with pytest.raises(Refused) as error:
            bring(pair, ["m1"], state="disabled")
        assert "Balancer lb1 could NOT be put back: Permission denied." in error.value.message
        assert error.value.facts["changed"] is True

    @pytest.fixture
    def forgetful(self, pair, monkeypatch):
        """Two balancers that forget, and where a keeper was left behind."""
        kept = []
        monkeypatch.setattr(place, "leave_behind", lambda work: kept.append(work.__self__.balancer.name))
        for lb in pair:
            lb.capabilities = replace(CAN_ALL, survives_reload=False)
            lb.running = lambda: ("1", 5.0)
        return kept

    def test_who_is_put_back_is_held_no_longer(self, bring, pair, forgetful):
        pair[1].set("m1", in_flight=1)
        with pytest.raises(TimedOut):
            bring(pair, ["m1"], state="disabled", hold=900, drain_timeout=3)
        assert states(pair[0]) == ALL_ENABLED
        assert holds(pair[0])["members"] == {} and forgetful == []

    @pytest.mark.parametrize("refused", [False, True], ids=["returned in vain", "refused"])
    def test_who_is_out_still_is_held_as_before(self, bring, pair, forgetful, refused):
        bring(pair, ["m1", "m2"], state="disabled", hold=900)
        before = [holds(lb) for lb in pair]
        assert set(before[0]["members"]) == {"m1", "m2"}
        for lb in pair:
            lb.set("m1", health="unknown")
        pair[1].heals = {"m1": None}
        with pytest.raises((TimedOut, Refused)):
            if refused:
                bring(pair, ["m1", "m3", "m4"], state="disabled")
            else:
                bring(pair, ["m1"], state="enabled", health_timeout=3)
        assert [holds(lb) for lb in pair] == before
        assert sorted(forgetful) == ["lb1", "lb1", "lb2", "lb2"]

    def test_a_failed_return_takes_the_others_back_out(self, bring, pair):
        for lb in pair:
            lb.set("m1", state="disabled", health="unknown")
        pair[1].heals = {"m1": None}
        with pytest.raises(TimedOut):
            bring(pair, ["m1"], state="enabled", health_timeout=3)
        assert [states(lb)["m1"] for lb in pair] == [("disabled", 100)] * 2


def holds(lb):
    return Hold(lb, "app", lb.clock)._read()


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"drain_timeout": -1}, "`drain_timeout` is -1 s"),
            ({"health_timeout": -0.5}, "`health_timeout` is -0.5 s"),
            ({"warmup_step": -1}, "`warmup_step` is -1 s"),
            ({"warmup": [50, 10]}, "rising list of percents"),
            ({"warmup": [0]}, "rising list of percents"),
            ({"warmup": [101]}, "rising list of percents"),
            ({"min_available": "many"}, "min_available is a count"),
        ],
    )
    def test_nonsense_is_told_before_any_balancer_is_asked(self, bring, lb, options, said):
        with pytest.raises(InvalidInput, match=said):
            bring(lb, ["m1"], state="enabled", **options)
        assert lb.reads == 0

    def test_no_members(self, bring, lb):
        with pytest.raises(InvalidInput, match="`members` is empty"):
            bring(lb, [], state="enabled")

    def test_an_unknown_member(self, bring, lb):
        with pytest.raises(InvalidInput, match="has no member m9"):
            bring(lb, ["m1", "m9"], state="disabled")
        assert lb.wrote == []


def test_every_write_is_made_alone(bring, lb):
    """Else what one task writes to a file would be lost by another that had read it before."""
    alone = []

    def look(lb):
        try:
            with only_writer(lb.lock_name(), FakeClock()):
                alone.append(False)
        except TimedOut:
            alone.append(True)

    lb.before_apply = look
    bring(lb, ["m1"], state="disabled")
    bring(lb, ["m1"], state="enabled", warmup=[10, 50])
    lb.heals = {"m2": None}
    lb.set("m2", state="disabled")
    with pytest.raises(TimedOut):
        bring(lb, ["m2"], state="enabled")
    assert len(alone) == 7 and all(alone)


class TestMembership:
    NEW = {"addresses": {"m9": "192.0.2.9:80"}}

    def test_a_new_member_comes_in_by_way_of_a_check(self, bring, lb):
        promised = bring(lb, ["m9"], check=True, state="enabled", weight=50, **self.NEW)
        assert len(lb.pool) == 4
        done = bring(lb, ["m9"], state="enabled", weight=50, **self.NEW)
        assert states(lb) == {**ALL_ENABLED, "m9": ("enabled", 50)} and lb["m9"].address == "192.0.2.9:80"
        assert lb.wrote[0] == (0.0, [("m9", "drained", 50)]) and lb.clock.time > 1
        assert promised["diff"] == done["diff"]
        assert done["diff"]["before"] == "lb app/m9: absent\n"
        assert not bring(lb, ["m9"], state="enabled", weight=50, **self.NEW)["changed"]

    def test_one_that_never_passes_its_check_is_gone_again(self, bring, lb):
        lb.heals = {"m9": None}
        with pytest.raises(TimedOut, match=r"as they were before \(m9\)"):
            bring(lb, ["m9"], state="enabled", **self.NEW)
        assert states(lb) == ALL_ENABLED

    def test_a_new_member_may_wait_outside(self, bring, lb):
        bring(lb, ["m9", "m1"], state="disabled", **self.NEW)
        assert (lb["m9"].state, lb["m1"].state) == ("disabled", "disabled")

    def test_who_is_to_go_is_drained_before(self, bring, lb):
        lb.busy_until = {"m1": 3.0}
        promised = bring(lb, ["m1", "m7"], check=True, state="absent")
        assert states(lb) == ALL_ENABLED
        done = bring(lb, ["m1", "m7"], state="absent")
        assert lb.clock.time > 3 and lb.wrote == [(0.0, [("m1", "disabled", None)])]
        assert [member.name for member in lb.pool] == ["m2", "m3", "m4"]
        assert promised["diff"] == done["diff"] and promised["changed"] is done["changed"] is True
        assert not bring(lb, ["m1", "m7"], state="absent")["changed"]

    def test_the_guard_counts_who_is_to_go(self, bring, lb):
        with pytest.raises(Refused):
            bring(lb, ["m1"], state="absent", min_available=4)
        assert states(lb) == ALL_ENABLED

    def test_when_the_other_balancer_fails_who_was_removed_is_back(self, bring, lb):
        other = FakeBalancer("lb2", lb.clock)
        other.remove = refuse
        with pytest.raises(Refused, match="Balancer lb is as it was before"):
            bring([lb, other], ["m1"], state="absent")
        assert states(lb) == states(other) == ALL_ENABLED

    def test_a_balancer_that_cannot_says_so(self, bring, lb):
        lb.capabilities = replace(CAN_ALL, membership=False)
        for options in ({"members": ["m9"], "state": "enabled", **self.NEW}, {"members": ["m1"], "state": "absent"}):
            with pytest.raises(InvalidInput, match=r"provider fake cannot add or remove members.*Nothing was touched"):
                bring(lb, **options)

    def test_a_new_member_without_a_weight_ends_with_what_the_balancer_gave_it(self, bring, lb):
        bring(lb, ["m9"], state="enabled", warmup=[10], **self.NEW)
        assert [weight for _time, ((_name, _state, weight),) in lb.wrote] == [10, 10, 100]

    def test_addresses_of_others_are_a_mistake(self, bring, lb):
        with pytest.raises(InvalidInput, match="`addresses` names m9, which `members` does not"):
            bring(lb, ["m1"], state="enabled", **self.NEW)


def refuse(pool, names):
    raise Refused("no")


class TestLate:
    """The lease is good for 89 s."""

    @pytest.fixture
    def lease(self, clock):
        return held({"service": "shop", "rollout": "r-7", "fence": 7, "ttl": 100}, read(clock))

    def test_in_time_all_is_as_without(self, bring, lb, lease):
        lb.busy_until = {"m1": 80.0}
        assert bring(lb, ["m1"], state="disabled", drain_timeout=200, lease=lease)["changed"]
        assert [names for _when, names in lb.settled] == [["m1"]]

    @pytest.mark.parametrize("drain_timeout", [200, 92])
    def test_a_drain_that_ends_too_late_is_neither_settled_nor_put_back(self, bring, lb, lease, drain_timeout):
        lb.busy_until = {"m1": 95.0}
        with pytest.raises(DeployError) as error:
            bring(lb, ["m1"], state="disabled", drain_timeout=drain_timeout, lease=lease)
        assert "Balancer lb, pool app: nothing is written any more." in error.value.message
        assert "(m1)" in error.value.message and error.value.facts["changed"] is True
        assert len(lb.wrote) == 1 and lb.settled == [] and states(lb)["m1"] == ("disabled", 100)

    def test_a_warm_up_stops_where_it_is(self, bring, lb, lease):
        lb.set("m1", state="disabled")
        with pytest.raises(Late, match=r"What this task had written before is left as it is \(m1\)\.$"):
            bring(lb, ["m1"], state="enabled", warmup=[10, 50], warmup_step=80.0, lease=lease)
        assert states(lb)["m1"] == ("enabled", 50)

    def test_check_mode_writes_nothing_and_asks_nothing(self, bring, lb, clock, lease):
        clock.sleep(500)
        assert bring(lb, ["m1"], check=True, state="disabled", lease=lease)["changed"]


class TestInherited:
    """A member may be out by inheritance: a tracked server, name resolution."""

    def test_disabled_is_written_though_the_member_is_out_already(self, bring, lb):
        lb.set("m1", state="disabled", own_state="enabled")
        assert bring(lb, ["m1"], state="disabled")["changed"]
        assert lb["m1"].own == "disabled"
        assert not bring(lb, ["m1"], state="disabled")["changed"]

    def test_undo_takes_back_what_was_written_under_it(self, bring, lb):
        lb.set("m1", state="disabled", own_state="enabled")
        lb.busy_until = {"m2": 99.0}
        with pytest.raises(TimedOut):
            bring(lb, ["m1", "m2"], state="disabled", drain_timeout=3)
        assert lb["m1"].own == "enabled"

    def test_enabled_says_that_something_else_holds_it(self, bring, lb):
        lb.set("m1", state="disabled", own_state="enabled", health="unknown")
        with pytest.raises(TimedOut, match=r"something else holds members out of traffic: m1 is disabled and its own state is enabled"):
            bring(lb, ["m1"], state="enabled", health_timeout=3)
        assert lb.wrote == []

    def test_as_before_does_not_wait_for_a_check_of_such_a_member(self, bring, lb):
        lb.set("m1", state="disabled", own_state="disabled", health="unknown")
        before = {"lb": {"m1": {"state": "enabled", "weight": 100, "effective": "disabled"}}}
        bring(lb, ["m1"], state="as_before", before=before)
        assert lb["m1"].own == "enabled"


def test_a_weight_that_an_agent_sets_is_neither_written_nor_defended(bring, lb):
    lb.set("m1", state="disabled", weight=57, weight_by="agent")
    lb.before_read = lambda lb: lb.set("m1", weight=int(lb.clock.time * 10) % 90)
    bring(lb, ["m1"], state="as_before", before={"lb": {"m1": {"state": "enabled", "weight": 81}}})
    assert all(weight is None for _time, changes in lb.wrote for _name, _state, weight in changes)
    assert lb["m1"].state == "enabled"


class TestDrainFirst:
    """Some balancers end a member's requests when it is disabled."""

    @pytest.mark.parametrize("known", [True, None])
    def test_it_is_drained_until_it_is_idle(self, bring, lb, known):
        lb.drains_first = lambda pool: known
        lb.busy_until = {"m1": 3.0}
        bring(lb, ["m1"], state="disabled")
        (first, one), (second, other) = lb.wrote
        assert (one, other) == ([("m1", "drained", None)], [("m1", "disabled", None)])
        assert first == 0 and 3.0 <= second < 3.5

    def test_where_it_is_not_known_the_wait_is_short(self, bring, lb):
        lb.drains_first = lambda pool: None
        lb.busy_until = {"m1": 30.0}  # by clients that are bound to it
        bring(lb, ["m1"], state="disabled", drain_timeout=60)
        assert 10.0 <= lb.wrote[1][0] < 11.0

    def test_where_it_is_known_nothing_is_cut(self, bring, lb):
        lb.drains_first = lambda pool: True
        lb.busy_until = {"m1": 99.0}
        with pytest.raises(TimedOut, match="as they were before"):
            bring(lb, ["m1"], state="disabled", drain_timeout=20)
        assert [changes for _time, changes in lb.wrote] == [[("m1", "drained", None)], [("m1", "enabled", 100)]]


def test_a_disabled_member_that_still_gets_requests_is_reported_and_put_back(bring, lb):
    lb.before_read = lambda lb: lb.set("m1", requests=1000 + int(lb.clock.time * 100))
    with pytest.raises(NotApplied, match=r"still get requests \(m1: \d+ since.*as they were before \(m1\)"):
        bring(lb, ["m1"], state="disabled")
    assert states(lb) == ALL_ENABLED


def test_one_request_that_was_queued_at_the_write_is_no_exception(bring, lb):
    lb.before_read = lambda lb: lb.set("m1", requests=7 if lb.clock.time == 0 else 8)
    bring(lb, ["m1"], state="disabled")
    assert states(lb)["m1"][0] == "disabled"


def test_a_check_that_passes_and_is_not_through_is_waited_for(bring, lb):
    lb.set("m1", state="disabled")
    lb.heals = {"m1": 15.0}

    def step(lb):
        passed = int(lb.clock.time // 5)
        lb.set("m1", check_progress=(passed, 3) if passed < 3 else None)

    lb.before_read = step
    bring(lb, ["m1"], state="enabled", health_timeout=9)
    assert states(lb)["m1"][0] == "enabled" and 15 <= lb.clock.time < 16
    lb.set("m1", state="disabled")
    lb.heals, began = {"m1": 99.0}, lb.clock.time
    lb.before_read = lambda lb: lb.set("m1", check_progress=(1, 3))
    with pytest.raises(TimedOut, match=r"passes, and has not passed often enough: m1 is down, its check has passed 1 of 3 times"):
        bring(lb, ["m1"], state="enabled", health_timeout=9)
    assert lb.clock.time - began < 20


def test_a_drain_that_cannot_end_in_time_is_refused_with_both_numbers(bring, lb):
    lb.delays_leaving = True
    lb.timing = lambda pool: Timing(leave=300.0, source="deregistration_delay.timeout_seconds")
    with pytest.raises(InvalidInput, match=r"busy for 300 s .*\(deregistration_delay.*`drain_timeout` is 60 s.*Nothing was touched"):
        bring(lb, ["m1"], state="disabled")
    assert lb.wrote == []
    bring(lb, ["m1"], state="disabled", drain_timeout=301)


def test_the_guard_does_not_count_standby_members(bring, lb):
    lb.set("m3", tier=1)
    lb.set("m4", tier=2)
    with pytest.raises(Refused, match=r"2 of 2 members are available; this would leave 0.*standby.*m3, m4"):
        bring(lb, ["m1", "m2"], state="disabled")
    assert bring(lb, ["m1"], state="disabled", min_available="50%")["balancers"][0]["available"] == 1
    lb.set("m2", health="down")  # now the first standby member carries the traffic
    assert bring(lb, ["m2"], state="disabled")["changed"]
    with pytest.raises(Refused):
        bring(lb, ["m3"], state="disabled")


def test_slots_without_a_server_do_not_count(bring, lb):
    for name in ("m3", "m4"):
        lb.set(name, state="disabled", own_state="enabled", slot="app.example", address="-", health="unknown")
    assert bring(lb, ["m1"], state="disabled", min_available="50%")["balancers"][0]["available"] == 1
