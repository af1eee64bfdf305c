# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of a rollout from the tasks that Ansible tells of."""

from __future__ import annotations

import pytest
from told import FAILED, GROUPS, OK, OURS, SET_FACT, SKIPPED

from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.live.hearing import (
    BATCH_ENDED,
    BEGUN,
    ENDED,
    PAUSED,
    PHASE_ENDED,
    UNFINISHED,
)


def whats(told):
    return [news.what for news in told.news]


def test_tasks_of_others_are_no_rollout(told):
    told.task("ansible.builtin.command", args={"action": "begin", "service": "shop"})
    told.fact(__rollout={"groups": GROUPS})
    told.check("app1")
    told.drain()
    assert told.rollout is None and told.news == []


def test_reading_the_journal_is_no_rollout(told):
    told.journal("read", service="shop")
    told.journal("approve", service="shop")
    assert told.rollout is None


def test_a_batch_goes_through_its_phases(told):
    told.begin()
    told.check("app1", "app2", "app3")  # before the first batch nothing is a phase
    told.good_batch("app1")
    batch = told.rollout.batches[0]
    assert (batch.title, batch.hosts, batch.done, batch.seconds(told.now)) == ("batch 1 of 2", ["app1"], True, 5.0)
    assert told.phases(batch) == [("drain", 1.0), ("deploy", 2.0), ("check", 1.0), ("return", 1.0)]
    assert whats(told) == [BEGUN] + [PHASE_ENDED] * 4 + [BATCH_ENDED]
    assert (told.rollout.reached, told.rollout.planned) == (1, 3)


def test_a_phase_is_known_while_it_lasts_and_what_is_to_come(told):
    told.begin(lacks=())
    told.record("batch_begun", "app1")
    assert told.batch.coming == ("drain", "deploy", "check", "return", "soak")
    told.start(OURS + "pool_member", state="disabled")
    told.now += 3
    assert (told.batch.running.name, told.batch.running.seconds(told.now)) == ("drain", 3.0)
    told.end(OURS + "pool_member", problem="")
    assert told.batch.running.name == "deploy"
    told.start(OURS + "health_check")
    assert told.batch.running.name == "check"
    assert told.batch.coming == ("return", "soak")


def test_a_check_after_the_return_is_the_soak(told):
    told.begin(lacks=())
    told.record("batch_begun", "app1")
    told.drain()
    told.check("app1")
    told.bring_back()
    told.check("app1", lasts=30.0)
    assert told.phases()[-2:] == [("return", 1.0), ("soak", 30.0)]


def test_hosts_that_ask_for_themselves_are_one_phase(told):
    told.begin()
    told.record("batch_begun", "app2", "app3")
    told.drain()
    told.task(OURS + "health_check", SKIPPED, lasts=0.0)
    told.start(OURS + "health_check")
    for host in ("app2", "app3"):
        told.now += 1
        told.end(OURS + "health_check", host=host, targets=[{"name": host, "healthy": True}])
        assert (told.batch.running is None) == (host == "app3")
    assert told.phases()[-1] == ("check", 2.0)


def test_a_step_that_is_skipped_is_no_phase(told):
    told.begin()
    told.record("batch_begun", "app1")
    told.task(OURS + "pool_member", SKIPPED, args={"state": "disabled"})
    assert told.phases() == []
    # Nothing was drained, so nothing is deployed: an earlier attempt has.
    told.check("app1")
    assert told.phases() == [("check", 1.0)]


def test_what_the_deploy_step_does_is_not_looked_at(told):
    told.begin()
    told.record("batch_begun", "app1")
    told.drain()
    told.deploy()
    told.task(SET_FACT, ansible_facts={"__rolling_reached": "app1", "password": "secret"})
    told.task(OURS + "release", args={"headers": {"Authorization": "secret"}})
    told.check("app1")
    assert told.phases() == [("drain", 1.0), ("deploy", 4.0), ("check", 1.0)]
    assert "secret" not in repr(told.rollout)


def test_a_host_that_fails_while_it_is_deployed_to(told):
    told.begin()
    told.record("batch_begun", "app2", "app3")
    told.drain()
    told.deploy()
    told.fact(host="app3", __rollout_failed="deploy, task 'Restart': it does not start.\n")
    told.check("app2")
    assert told.batch.failures == {"app3": "deploy, task 'Restart': it does not start"}
    assert told.batch.phases[1].why == "app3: deploy, task 'Restart': it does not start"
    # The check of the one that is left has come to its end with it.
    assert told.batch.running is None and told.batch.phases[2].why == ""


def test_who_is_not_healthy(told):
    told.begin()
    told.record("batch_begun", "app2", "app3")
    told.drain()
    told.check("app2", "app3", sick=["app3"])
    assert told.batch.phases[-1].why == "app3: not healthy, last seen: HTTP 500"
    assert told.batch.phases[-1].failed == ["app3"]
    assert told.batch.failures == {"app3": "not healthy, last seen: HTTP 500"}


@pytest.mark.parametrize(
    ("kind", "said"),
    [(OK, {"problem": "3 requests in flight after 60 s."}), (FAILED, {"msg": "3 requests in flight\n after 60 s"})],
)
def test_a_drain_that_fails_is_told_and_nothing_is_deployed(told, kind, said):
    told.begin()
    told.record("batch_begun", "app1")
    told.task(OURS + "pool_member", kind, args={"state": "disabled"}, **said)
    assert told.phases() == [("drain", 1.0)]
    assert told.batch.phases[0].why == "3 requests in flight after 60 s"


def test_who_failed_within_the_budget_is_taken_out_and_not_deployed_to_again(told):
    told.begin()
    told.record("batch_begun", "app2", "app3")
    told.drain()
    told.check("app2", "app3", sick=["app3"])
    told.bring_back()
    told.drain()
    told.fact(__rolling_reached=["app2", "app3"])
    assert [name for name, _took in told.phases()] == ["drain", "deploy", "check", "return", "drain"]
    assert told.batch.done


def test_the_way_back(told):
    told.begin()
    told.good_batch("app1")
    told.record("batch_begun", "app2", "app3")
    told.drain()
    told.check("app2", "app3", sick=["app3"])
    told.record("halted", "app2", "app3", why="app3: not healthy.")
    assert (told.batch.why, told.batch.done) == ("app3: not healthy", False)
    told.fact(__rollback={"groups": [["app2", "app3"], ["app1"]]})
    told.record("undoing", "app2", "app3")
    assert (told.batch.title, told.batch.backwards, told.rollout.planned, told.rollout.reached) == (
        "undo 1 of 2",
        True,
        3,
        0,
    )
    told.drain()
    told.deploy()
    told.check("app2", "app3")
    told.bring_back()
    told.record("undone", "app2", "app3")
    assert told.batch.done and told.rollout.reached == 2
    assert [name for name, _took in told.phases()] == ["drain", "deploy", "check", "return"]
    told.record("undoing", "app1")
    told.record("undone")
    assert told.batch.why == "app1 not brought back"
    told.finish("rollback_failed", "Rollout of shop to 2.0 FAILED.", failed=True)
    assert (told.rollout.outcome, told.rollout.failed) == ("rollback_failed", True)
    assert whats(told)[-1] == ENDED


def test_a_batch_that_was_given_up_is_not_taken_for_done(told):
    told.begin()
    told.fact(__rollback={"groups": [["app2", "app3"], ["app1"]]})
    told.record("undoing", "app2", "app3")
    told.record("undoing", "app1")
    assert [batch.why for batch in told.rollout.batches] == [UNFINISHED, ""]


def test_a_rollback_that_somebody_asks_for(told):
    told.journal("begin", service="shop", version="2.0", strategy="rolling")
    told.fact(__rollout={"id": "x", "lacks": {}}, __rollback={"groups": [["app1"]]})
    told.record("undoing", "app1")
    assert told.rollout.asked_back and told.rollout.name == "shop" and told.batch.title == "undo 1 of 1"


def test_a_canary_is_given_its_share_and_watched(told):
    told.begin("canary", [["app1"], ["app2", "app3"]])
    told.record("batch_begun", "app1")
    told.drain()
    told.check("app1")
    for share in (5, 20):
        told.record("canary_step_begun", "app1", shares=share)
        told.task(OURS + "traffic_split", problem="")
        told.task(OURS + "canary_analysis", verdict="inconclusive", sentence="Too few requests.", lasts=10.0)
        told.task(OURS + "canary_analysis", verdict="pass", sentence="All is well.", lasts=10.0)
        told.record("canary_step_passed", "app1")
    assert told.phases()[2:] == [("check", 1.0), ("switch", 1.0), ("watch", 20.0), ("switch", 1.0), ("watch", 20.0)]
    # Everybody's own share again: no return, since the canary has been in traffic.
    told.task(OURS + "pool_member", args={"state": "as_before"}, problem="")
    told.record("canary_promoted", "app1")
    told.check("app1", lasts=3.0)
    told.fact(__rolling_reached=["app1"])
    assert told.phases()[-2:] == [("switch", 1.0), ("soak", 3.0)] and told.batch.done
    told.good_batch("app2", "app3", reached=["app1"])
    assert [name for name, _took in told.phases()] == ["drain", "deploy", "check", "return"]


def test_a_canary_that_fails(told):
    told.begin("canary")
    told.record("batch_begun", "app1")
    told.record("canary_step_begun", "app1")
    told.task(OURS + "canary_analysis", verdict="fail", sentence="The canary fails after 5.0 s.")
    assert told.batch.phases[-1].why == "The canary fails after 5.0 s"


def test_blue_green_switches_and_lets_the_old_colour_go(told):
    told.begin("blue_green", [["app4", "app5"]])
    told.good_batch("app4", "app5")
    told.record("switch_begun", "app4", "app5")
    assert (told.batch.title, told.batch.coming) == ("switch", ("check", "switch", "watch"))
    # Until it is written down, the balancers are only asked.
    told.task(OURS + "traffic_split", problem="", lasts=3.0)
    told.record("switching", "app4", "app5")
    told.task(OURS + "traffic_split", problem="")
    told.check("app4", "app5", lasts=9.0)
    told.fact(__blue_green={"baked": True})
    assert told.phases() == [("check", 3.0), ("switch", 1.0), ("watch", 9.0)] and told.batch.done
    told.record("ending", "app1", "app2")
    told.drain()
    assert (told.batch.title, told.phases()) == ("old colour", [("drain", 1.0)])
    told.finish("succeeded", "Rollout of shop to 2.0 succeeded.")
    assert told.rollout.batches[-1].done and not told.rollout.failed


def test_blue_green_switches_back(told):
    told.begin("blue_green", [["app4"]])
    told.record("switch_begun", "app4")
    told.fact(__blue_green={"why": "app4: HTTP 500."})
    assert told.rollout.batches[0].why == "app4: HTTP 500"
    told.record("undoing", "app1", "app2")
    assert (told.batch.title, told.batch.backwards) == ("switch back", True)
    told.task(OURS + "traffic_split", problem="")
    told.check("app1", "app2")
    told.task(OURS + "traffic_split", problem="")
    told.record("switched_back", "app1", "app2")
    assert told.phases() == [("check", 2.0), ("switch", 1.0)] and told.batch.done


def test_a_rollback_that_switches_back(told):
    told.journal("begin", service="shop", version="2.0", strategy="rollback")
    told.fact(__rollout={"id": "x"}, __rollback={"groups": [], "switch": {"live": "blue"}})
    told.record("undoing", "app1", "app2")
    assert told.batch.title == "switch back"


def test_a_pause_is_no_failure(told):
    told.begin("canary")
    told.record("batch_begun", "app1")
    told.journal("pause", point="verdict", summary={"lines": ["It has paused."], "failed": False})
    assert (told.rollout.outcome, told.rollout.failed, told.batch.why) == (PAUSED, False, PAUSED)
    assert whats(told) == [BEGUN, ENDED]


def test_how_it_ended_is_known_though_it_could_not_be_written_down(told):
    told.begin()
    args = {"action": "finish", "outcome": "succeeded", "summary": {"lines": ["Good."], "failed": False}}
    told.task(OURS + "rollout", FAILED, args=args, msg="no space left")
    assert (told.rollout.outcome, told.rollout.lines) == ("succeeded", ["Good."])


def test_one_service_after_the_other(told):
    told.begin()
    told.good_batch("app1")
    told.finish("succeeded", "Good.")
    told.good_batch("app1")  # nobody's
    assert len(told.rollout.batches) == 1
    told.begin()
    assert told.rollout.batches == [] and told.rollout.ended is None


@pytest.mark.parametrize(
    "result", [{"targets": None}, {"targets": [1]}, {"ansible_facts": 3}, {"problem": None}, {"censored": "…"}]
)
@pytest.mark.parametrize("action", [OURS + "health_check", OURS + "pool_member", OURS + "rollout", SET_FACT])
def test_what_makes_no_sense_is_passed_over(told, action, result):
    told.begin()
    told.record("batch_begun", "app1")
    for args in (
        {},
        {"action": "record"},
        {"action": "record", "event": "undone", "hosts": 3, "details": 4},
        {"action": "finish"},
    ):
        told.task(action, args=args, **result)
    told.fact(__rollout=3, __rollback=[1], __rolling_reached=None, __rollout_failed=None)
