# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts that fail on the way, and what becomes of the hosts."""

from __future__ import annotations

import pytest
from shops import CORES, RAMP, SOON, fails

UPSET = """[defaults]
strategy = ansible.builtin.free
any_errors_fatal = true
forks = 1
force_handlers = true
[inventory]
unparsed_is_failed = true
"""


@pytest.fixture(params=["demo's", "upset"])
def config(request, tmp_path):
    """The demo's ansible.cfg, and one that says otherwise wherever it can."""
    if request.param != "upset":
        return None
    (tmp_path / "ansible.cfg").write_text(UPSET)
    return tmp_path / "ansible.cfg"


def events(journal):
    return [(event["event"], sorted(event["hosts"])) for event in journal["events"]]


def test_a_later_batch_that_fails_is_undone_and_the_one_before_too(shop, hooks, notes, config):
    directory = hooks(
        before_enable=[fails("app3")],
        after_enable=[notes.task("enabled")],
        on_rollback=[notes.task("back to {{ rollout_deploy_version }}")],
        after_rollout=[notes.task("after")],
    )
    shop.ask("set server shop/app2 weight 30")
    run = shop.roll("2.0", rollout_hooks=directory, config=config, **RAMP)
    run.assert_bad(
        "Rollout of shop to 2.0 FAILED in the batch app2, app3: app3: hook before_enable, task 'Say no': no, not here.",
        "3 hosts are back on 1.0, states and weights as before.",
    )
    shop.assert_as_ever("1.0", app2=("enabled", 30))
    assert notes.read()[0] == "enabled app1"
    assert sorted(notes.read()[1:3]) == ["back to 1.0 app2", "back to 1.0 app3"]
    assert notes.read()[3:] == ["back to 1.0 app1"]
    (journal,) = shop.journals()
    assert (journal["outcome"], shop.lease()) == ("rolled_back", None)
    assert events(journal) == [
        ("planned", ["app1", "app2", "app3"]),
        ("batch_begun", ["app1"]),
        ("batch_begun", ["app2", "app3"]),
        ("halted", ["app2", "app3"]),
        ("undoing", ["app2", "app3"]),
        ("undone", ["app2", "app3"]),
        ("undoing", ["app1"]),
        ("undone", ["app1"]),
    ]


@pytest.mark.thorough
def test_an_upset_configuration_does_not_disturb_a_good_one(shop, hooks, notes, tmp_path):
    (tmp_path / "ansible.cfg").write_text(UPSET)
    phases = ("before_rollout", "before_drain", "after_enable", "after_rollout")
    directory = hooks(**{phase: [notes.task(phase)] for phase in phases})
    run = shop.roll("2.0", config=tmp_path / "ansible.cfg", rollout_hooks=directory, **RAMP).assert_good()
    shop.assert_as_ever(dict.fromkeys(("app1", "app2", "app3"), "2.0"))
    assert [line.split()[0] for line in notes.read()] == [
        *["before_rollout"] * 3, "before_drain", "after_enable", *["before_drain"] * 2, *["after_enable"] * 2, *["after_rollout"] * 3,
    ]  # fmt: skip
    assert run.output.count("Rollout of shop to 2.0 succeeded") == 1
    assert [journal["outcome"] for journal in shop.journals()] == ["succeeded"]


@pytest.mark.thorough
def test_a_release_that_answers_with_errors_is_undone(shop):
    run = shop.roll("3.0", hosts="app1:app2", **SOON)
    run.assert_bad("Rollout of shop to 3.0 FAILED in the batch app1, app2: app1", "not healthy, last seen: HTTP 500")
    assert "2 hosts are back on 1.0, states and weights as before." in run.last_words
    shop.assert_as_ever("1.0")


@pytest.mark.parametrize("phase", ["before_rollout", "before_drain"])
def test_a_hook_that_says_no_before_the_drain_touches_nothing(shop, hooks, notes, phase):
    before = shop.all_of_it()
    directory = hooks(**{phase: [fails("app2")]}, after_drain=[notes.task("drained")], on_rollback=[notes.task("back")])
    run = shop.roll("2.0", rollout_hooks=directory)
    run.assert_bad(f"app2: hook {phase}, task 'Say no': no, not here.")
    assert notes.read() == []
    after = shop.all_of_it()
    assert {**after, "files": ""} == {**before, "files": ""}
    assert shop.lease() is None
    # Whatever it left behind does not keep the next one from succeeding.
    hooks(**{phase: []})
    shop.roll("2.0", rollout_hooks=directory).assert_good()
    shop.assert_as_ever({"app1": "2.0", "app2": "2.0", "app3": "2.0"})


@pytest.mark.thorough
def test_a_hook_that_says_no_in_the_end_is_no_success(shop, hooks):
    run = shop.roll("2.0", hosts="app1:app2", rollout_hooks=hooks(after_rollout=[fails("app2")]))
    run.assert_bad("app2: hook after_rollout, task 'Say no': no, not here.")
    # The release itself is good and stays.
    shop.assert_as_ever({"app1": "2.0", "app2": "2.0"})
    assert (shop.journals()[0]["outcome"], shop.lease()) == ("succeeded", None)


def test_within_the_budget_a_host_stays_out_until_it_is_mended(shop, hooks):
    shop.ask("set server shop/app2 weight 30")
    directory = hooks(after_deploy=[fails("app2")])
    run = shop.roll("2.0", rollout_hooks=directory, rolling_max_failures=1).assert_good()
    assert "2 hosts are on it, healthy and in traffic as before." in run.output
    assert "Out of traffic, failed within the budget of rolling_max_failures: app2: hook after_deploy" in run.output
    shop.assert_as_ever({"app1": "2.0", "app2": "2.0", "app3": "2.0"}, app2=("disabled", 30))
    assert shop.journals()[-1]["outcome"] == "succeeded_with_failures"
    # A rollout that does not reach it leaves it what it is owed.
    shop.roll("2.0", "--limit", "app4", hosts="shop").assert_good()
    # Mended, the same command deploys to it alone.
    hooks(after_deploy=[])
    again = shop.roll("2.0", rollout_hooks=directory, rolling_max_failures=1).assert_good()
    assert (
        "1 host is on it, healthy and in traffic as before." in again.output
        and "Left alone, because already there: app1, app3." in again.output
    )
    assert shop.journals()[-1]["plan"] == [["app2"]]
    shop.assert_as_ever(dict.fromkeys(("app1", "app2", "app3", "app4"), "2.0"), app2=("enabled", 30))


@pytest.mark.thorough
def test_who_is_not_healthy_within_the_budget_is_not_forgotten_by_the_soak(shop):
    page = "{{ 'nowhere' if inventory_hostname == 'app2' else 'health' }}"
    health = {"url": "http://127.0.0.1:{{ shop_port }}/" + page, "version": "$.version"}
    batch = {"rolling_batches": [3], "rolling_max_failures": 1, "traffic_min_available": "2", **SOON}
    run = shop.roll("2.0", rollout_health=health, **batch).assert_good()
    assert "Out of traffic, failed within the budget of rolling_max_failures: app2: not healthy, last seen: HTTP 404" in run.output
    shop.assert_as_ever({"app1": "2.0", "app2": "2.0", "app3": "2.0"}, app2=("disabled", 100))
    assert shop.journals()[-1]["outcome"] == "succeeded_with_failures"


# Where a version is deployed there is one for 1.0, so that the way back is open.
FILE = "{{ rollout_deploy_version | default('nowhere') }}.yml"
ABSENT = [{"name": "Take along what is not there", "ansible.builtin.include_tasks": FILE}]


@CORES
@pytest.mark.parametrize("phase", ["before_drain", "after_drain", "deploy", "after_enable"])
def test_a_file_that_is_not_there_is_a_failure_like_any_other(shop, hooks, phase):
    """To Ansible it is one of another kind: it takes the hosts out of the play, though they are rescued."""
    run = shop.roll("2.0", rollout_hooks=hooks(**{phase: ABSENT, "1.0": []}), **RAMP)
    run.assert_bad("FAILED in the batch app1: app1: ", f"{phase}: what it includes cannot be loaded, see above.")
    shop.assert_as_ever("1.0")
    assert shop.lease() is None


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["end_host", "end_batch", "end_play"])
def test_a_batch_that_a_hook_ends_is_undone_and_none_follows(shop, hooks, notes, how):
    end = {"name": "End it", "ansible.builtin.meta": how, "when": "inventory_hostname in ['app2', 'app3']"}
    run = shop.roll("2.0", rollout_hooks=hooks(after_deploy=[notes.task("deployed"), end]), hosts="app1:app2:app3:app4", **RAMP)
    run.assert_bad("FAILED in the batch app2, app3: app2, app3: the batch was ended by a task of a hook or of the deploy role")
    shop.assert_as_ever("1.0")
    assert "deployed app4" not in notes.read()
    assert shop.lease() is None


@pytest.mark.thorough
def test_a_host_that_a_hook_ends_goes_on_with_its_batch(shop, hooks):
    end = {"name": "End it", "ansible.builtin.meta": "end_host", "when": "inventory_hostname == 'app1'"}
    shop.roll("2.0", rollout_hooks=hooks(after_deploy=[end]), hosts="app1:app2").assert_good()
    shop.assert_as_ever({"app1": "2.0", "app2": "2.0"})


@pytest.mark.thorough
@pytest.mark.parametrize("phase", ["before_rollout", "after_rollout"])
def test_a_file_that_is_not_there_before_and_after(shop, hooks, phase):
    run = shop.roll("2.0", rollout_hooks=hooks(**{phase: ABSENT}), hosts="app1:app2")
    run.assert_bad(f"app1, app2: hook {phase}: what it includes cannot be loaded, see above.")
    shop.assert_as_ever({} if phase == "before_rollout" else {"app1": "2.0", "app2": "2.0"})
    assert shop.lease() is None


@pytest.mark.thorough
def test_a_file_that_one_host_lacks_is_held_against_the_budget(shop, hooks):
    mine = {"name": "Take along its own", "ansible.builtin.include_tasks": "{{ inventory_hostname }}.yml"}
    directory = hooks(after_deploy=[mine], app1=[], app3=[])
    run = shop.roll("2.0", rollout_hooks=directory, rolling_max_failures=1, **RAMP).assert_good()
    assert "app2: hook after_deploy: what it includes cannot be loaded, see above." in run.output
    shop.assert_as_ever(dict.fromkeys(("app1", "app2", "app3"), "2.0"), app2=("disabled", 100))
    (journal,) = shop.journals()
    assert (journal["outcome"], shop.lease()) == ("succeeded_with_failures", None)


@pytest.mark.thorough
def test_within_the_budget_a_host_that_fails_under_traffic_is_taken_out_again(shop, hooks):
    run = shop.roll("2.0", hosts="app1:app2", rollout_hooks=hooks(after_enable=[fails("app2")]), rolling_max_failures=1)
    assert "app2: hook after_enable, task 'Say no': no, not here." in run.assert_good().output
    shop.assert_as_ever({"app1": "2.0", "app2": "2.0"}, app2=("disabled", 100))


def test_beyond_the_budget_all_is_undone(shop, hooks):
    directory = hooks(after_drain=[fails("app1"), fails("app3")])
    shop.roll("2.0", rollout_hooks=directory, rolling_max_failures=1, **RAMP).assert_bad(
        "FAILED in the batch app2, app3: app1, app3: hook after_drain, task 'Say no': no, not here.",
        "3 hosts are back on 1.0",
    )
    shop.assert_as_ever("1.0")


def test_a_host_that_cannot_be_brought_back_is_told_and_the_others_are(shop, hooks):
    directory = hooks(before_enable=[fails("app2")], on_rollback=[fails("app3")])
    shop.ask("set server shop/app3 weight 30")
    run = shop.roll("2.0", rollout_hooks=directory, hosts="app2:app3")
    run.assert_bad(
        "1 host is back on 1.0", "NOT undone, look at them now: app3: hook on_rollback, task 'Say no': no, not here."
    )
    shop.assert_as_ever({"app3": "2.0"}, app3=("disabled", 30))
    assert shop.journals()[0]["outcome"] == "rollback_failed"
    # Mended, the playbook rollback brings it back.
    hooks(on_rollback=[])
    back = shop.roll_back(rollout_hooks=directory, hosts="app2:app3").assert_good()
    assert "Rollback of shop: 1 host is back on 1.0, states and weights as before." in back.output
    shop.assert_as_ever("1.0", app3=("enabled", 30))
