# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A few hosts first, judged against as many of the others."""

from __future__ import annotations

import signal

import fleet
import pytest
from shops import AS_EVER, CORES, HOSTS, phases, record

STEPS = [{"traffic": 20, "watch": 8}, {"hosts": "50%", "watch": 3}]
ALL_NEW = dict.fromkeys(HOSTS, "2.0")


def canary(shop, version, *words, **variables):
    return start(shop, version, *words, **variables).wait()


def start(shop, version, *words, **variables):
    given = {"canary_steps": STEPS, "canary_interval": 1, **variables}
    return shop.start("zero_downtime.deploy.canary", *words, rollout_hosts="shop", rollout_version=version, **given)


def promote(shop, **variables):
    given = {"canary_steps": STEPS, "canary_interval": 1, **variables}
    return shop.play("zero_downtime.deploy.promote", rollout_hosts="shop", **given)


def events(shop):
    return [event["event"] for event in shop.journals()[-1]["events"]]


@CORES
def test_one_that_is_no_worse_goes_to_all(shop, core):
    with shop.under_load(250, least=5000) as load:
        canary(shop, "2.0").assert_good()
    assert load["failed"] == 0 and load["requests"] >= 5000, load
    shop.assert_as_ever(ALL_NEW)
    told = [event for event in events(shop) if event.startswith("canary")]
    step = ["canary_step_begun", "canary_step_passed"]
    assert told == [*step, *step, "canary_promoted"]
    # In the end all hosts have it, so there is nobody left to judge.
    again = canary(shop, "2.0").assert_good()
    assert again.changed == 0 and "nothing to do" in again.output


def test_one_that_fails_a_fifth_of_its_requests_is_gone_before_a_hundred_have_failed(shop):
    with shop.under_load(700) as load:
        run = canary(shop, "3.1", canary_steps=[{"traffic": 5, "watch": 60}])
    run.assert_bad("FAILED in the batch app1", "1 host is back on 1.0, states and weights as before")
    shop.assert_as_ever()
    # Only what the release itself answered with; that many requests find it out at the least.
    assert set(load["why"]) <= {"status"} and 0 < load["failed"] < 100, load["why"]
    assert {member: of["failed"] for member, of in load["by_member"].items() if of["failed"]} == {"app1": load["failed"]}


@pytest.fixture
def undecided(shop):
    """A canary of which the judge could not tell, since nobody asks for anything; it waits for a person."""
    run = canary(shop, "2.0", canary_steps=[{"traffic": 20, "watch": 1}], canary_inconclusive="ask").assert_good()
    assert "has paused after step 1, of which the judge could not tell" in run.output
    assert "The canary is on 2.0: 1 host at 20 % of the traffic. Nothing was undone." in run.output
    shares = shop.pool()
    assert shop.versions() == {**dict.fromkeys(HOSTS, "1.0"), "app1": "2.0"}
    assert {state for state, _weight in shares.values()} == {"enabled"}
    assert shares["app1"][1] / sum(weight for _state, weight in shares.values()) == pytest.approx(0.2, abs=0.005)
    assert shop.lease() is None
    return shop


@pytest.mark.thorough
def test_where_the_judge_cannot_tell_a_person_does(undecided):
    shop = undecided
    deployed = shop.pid("app1")
    promote(shop, canary_steps=[{"traffic": 20, "watch": 1}]).assert_good()
    shop.assert_as_ever(ALL_NEW)
    assert shop.pid("app1") == deployed
    promote(shop).assert_bad("Nothing of service shop waits to be promoted")


@pytest.mark.thorough
def test_or_undoes_it(undecided):
    undecided.roll_back(hosts="shop").assert_good()
    undecided.assert_as_ever()


@pytest.mark.thorough
def test_nobody_goes_on_by_waiting(shop, tmp_path):
    given = {"canary_inconclusive": "undo", "rollout_report": str(tmp_path / "reports")}
    run = canary(shop, "2.0", canary_steps=[{"traffic": 20, "watch": 1}], **given)
    run.assert_bad("inconclusive", "because canary_inconclusive is undo")
    shop.assert_as_ever()
    told = record(tmp_path / "reports", "rolled_back")
    assert [(one["step"], one["verdict"]) for one in told["verdicts"]] == [(1, "inconclusive")]
    assert [phase for phase in phases(told, "app1") if not phase.startswith("undo_")] == ["drain", "deploy", "check", "watch"]
    # Two watches of a second each, and then a person is asked.
    run = canary(shop, "2.0", canary_steps=[{"traffic": 20, "watch": 1}], canary_inconclusive_wait="2s").assert_good()
    assert run.output.count("TASK [zero_downtime.deploy.rolling : Compare the canary with the baseline]") == 2
    assert "has paused after step 1" in run.output


def test_after_a_kill_the_same_command_goes_on_with_the_same_canary(shop):
    with shop.under_load() as load:
        run = start(shop, "2.0", canary_steps=[{"traffic": 20, "watch": 60}])
        fleet.until(lambda: "TASK [zero_downtime.deploy.rolling : Compare" in run.output, f"no watch, see {run.log}")
        run.send(signal.SIGKILL)
        deployed, weights = shop.pid("app1"), shop.pool()
        assert weights["app1"] != AS_EVER
        canary(shop, "2.0", canary_steps=[{"traffic": 20, "watch": 10}]).assert_good()
    assert load["failed"] == 0, load["why"]
    assert shop.pid("app1") == deployed
    shop.assert_as_ever(ALL_NEW)


@pytest.mark.thorough
def test_a_gate_before_a_step_and_one_before_the_promotion(shop):
    gates = [{"before": "step", "number": 2, "approval": "look at the figures"}, {"before": "promotion", "approval": "look again"}]
    given = {"canary_steps": [{"traffic": 20, "pause": 1, "watch": 6}, {"traffic": 30, "watch": 4}], "rollout_gates": gates}
    with shop.under_load() as load:
        run = canary(shop, "2.0", **given).assert_good()
        assert "has paused before step 2: waiting for approval: look at the figures" in run.output
        run = promote(shop, **given).assert_good()
        assert "has paused before the promotion: waiting for approval: look again" in run.output
        assert shop.versions()["app2"] == "1.0"
        promote(shop, **given).assert_good()
    assert load["failed"] == 0, load["why"]
    shop.assert_as_ever(ALL_NEW)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "given, words",
    [
        ({"canary_steps": [{"trafic": 5, "watch": 1}]}, "a step has some of hosts, traffic, watch, pause"),
        ({"canary_max_load": "100%"}, "more than canary_max_load (100 %)"),
        ({"canary_inconclusive_wait": "soon"}, "canary_inconclusive_wait (soon) a length of time"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_touched(shop, given, words):
    before = shop.all_of_it()
    canary(shop, "2.0", **given).assert_bad(words, "Nothing was touched.")
    after = shop.all_of_it()
    assert {**after, "files": ""} == {**before, "files": ""}


@pytest.mark.thorough
def test_check_mode_touches_nothing(shop):
    before = shop.all_of_it()
    run = canary(shop, "2.0", "--check", "--diff").assert_good()
    assert "would deploy to app1; app2, app3; app4, app5, app6. Check mode: nothing was written." in run.output
    assert shop.all_of_it() == before
