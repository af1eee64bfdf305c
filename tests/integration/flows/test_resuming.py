# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a controller that died leaves, and how it is gone on with or undone."""

from __future__ import annotations

import json
import shutil
import signal

import pytest
import yaml
from shops import HOSTS, RAMP, SOON, fails

DONE = {"app1": "2.0", "app2": "2.0", "app3": "2.0"}
HALFWAY = {"app1": "2.0", "app2": "1.0", "app3": "1.0"}


@pytest.fixture
def cut_off(shop, hold):
    """A rollout to 2.0 that ended by a signal after the second batch was drained."""

    def run(number):
        shop.ask("set server shop/app2 weight 30")
        rolling = shop.start_rolling("2.0", rollout_hooks=hold(), **RAMP)
        hold.until(rolling)
        rolling.send(number)
        hold.let_go()
        shop.assert_as_ever(HALFWAY, app2=("disabled", 30), app3=("disabled", 100))
        assert shop.lease() is not None
        return rolling

    return run


def test_after_a_kill_the_same_command_finishes(shop, cut_off):
    cut_off(signal.SIGKILL)
    status = shop.play("zero_downtime.deploy.status", rollout_hosts="shop").assert_good()
    assert "Unfinished: " in status.output and "app2  disabled, " in status.output
    assert "Lease: left behind, by " in status.output and " no longer runs on " in status.output
    run = shop.roll("2.0", **RAMP).assert_good()
    assert "2 hosts are on it" in run.output and "Left alone, because already there: app1." in run.output
    shop.assert_as_ever(DONE, app2=("enabled", 30))
    (journal,) = shop.journals()
    assert (journal["outcome"], len(journal["attempts"]), shop.lease()) == ("succeeded", 2, None)
    assert shop.roll("2.0").assert_good().changed == 0


@pytest.mark.thorough
def test_after_ansible_has_given_up_the_same_command_finishes(shop, hooks, tmp_path):
    """A file that it cannot parse ends it at once: nothing is rescued, no later play runs."""
    directory = hooks(after_deploy=[{"name": "Go on", "ansible.builtin.include_tasks": "more.yml"}])
    (tmp_path / "hooks" / "more.yml").write_text("- name: [")
    assert shop.roll("2.0", rollout_hooks=directory, **RAMP).code != 0
    assert shop.pool()["app1"] == ("disabled", 100)
    hooks(more=[])
    shop.roll("2.0", rollout_hooks=directory, **RAMP).assert_good()
    shop.assert_as_ever(DONE)
    assert shop.lease() is None


def test_after_an_interrupt_a_rollback_undoes_it_and_a_second_one_nothing(shop, cut_off, tmp_path):
    """A host and the balancer are called otherwise by then."""
    assert cut_off(signal.SIGINT).code not in (0, None)
    foretold = shop.roll_back("--check").assert_good()
    assert "Rollback of shop would undo app2, app3; app1. Check mode: nothing was written." in foretold.output
    inventory = json.loads((shop.top / "inventory.json").read_text())
    hosts = inventory["shop"]["hosts"]
    hosts["web3"] = {**hosts.pop("app3"), "rollout_member": "app3"}
    inventory["shop"]["vars"] = {"rollout_balancers": [{"name": "lb", "provider": "haproxy", "socket": str(shop.fleet.socket)}]}
    shutil.copytree(shop.top / "group_vars", tmp_path / "group_vars")
    renamed = yaml.safe_load((tmp_path / "group_vars" / "shop.yml").read_text())
    del renamed["rollout_balancers"]
    (tmp_path / "group_vars" / "shop.yml").write_text(yaml.safe_dump(renamed))
    (tmp_path / "inventory.json").write_text(json.dumps(inventory))
    run = shop.roll_back(hosts="app1:app2:web3", inventory=tmp_path / "inventory.json").assert_good()
    assert "Rollback of shop: 3 hosts are back on 1.0, states and weights as before." in run.output
    shop.assert_as_ever("1.0", app2=("enabled", 30))
    assert (shop.journals()[-1]["outcome"], shop.lease()) == ("rolled_back", None)
    again = shop.roll_back().assert_good()
    assert "Rollback of shop: nothing to undo." in again.output and again.changed == 0
    shop.assert_as_ever("1.0", app2=("enabled", 30))


@pytest.mark.thorough
def test_a_rollback_undoes_the_last_rollout_once(shop):
    shop.roll("2.0").assert_good()
    run = shop.roll_back().assert_good()
    assert "3 hosts are back on 1.0" in run.output
    shop.assert_as_ever("1.0")
    assert [journal["outcome"] for journal in shop.journals()] == ["succeeded", "rolled_back"]
    again = shop.roll_back().assert_good()
    assert "nothing to undo" in again.output and again.changed == 0
    # Forward again is a rollout like any other.
    shop.roll("2.0").assert_good()
    shop.assert_as_ever(DONE)


def test_another_version_takes_the_place_of_an_unfinished_one(shop, cut_off):
    cut_off(signal.SIGKILL)
    shop.roll("2.1").assert_good()
    shop.assert_as_ever({"app1": "2.1", "app2": "2.1", "app3": "2.1"}, app2=("enabled", 30))
    first, second = shop.journals()
    assert (first["outcome"], first["superseded_by"], second["outcome"]) == ("superseded", second["id"], "succeeded")
    # What was before it is what was before the first of them.
    shop.roll_back().assert_good()
    shop.assert_as_ever("1.0", app2=("enabled", 30))


@pytest.mark.thorough
def test_one_that_fails_in_the_place_of_an_unfinished_one_undoes_both(shop, cut_off):
    cut_off(signal.SIGKILL)
    run = shop.roll("3.0", **RAMP, **SOON).assert_bad(
        "FAILED in the batch app2", "3 hosts are back on 1.0, states and weights as before."
    )
    assert "app1" not in run.last_words
    shop.assert_as_ever("1.0", app2=("enabled", 30))


@pytest.mark.thorough
def test_one_that_does_not_begin_does_not_forget_what_the_unfinished_one_owes(shop, cut_off, hooks):
    cut_off(signal.SIGKILL)
    directory = hooks(before_rollout=[fails("app1")], after_drain=[])
    shop.roll("2.0", rollout_hooks=directory).assert_bad("app1: hook before_rollout")
    shop.roll("2.0", rolling_first=["app6"]).assert_bad("rolling_first names app6")
    shop.assert_as_ever(HALFWAY, app2=("disabled", 30), app3=("disabled", 100))
    shop.roll("2.0").assert_good()
    shop.assert_as_ever(DONE, app2=("enabled", 30))


def test_a_rollback_that_is_cut_off_goes_on(shop, hold):
    shop.roll("2.0", rolling_batches=[1]).assert_good()
    directory = hold("on_rollback")
    run = shop.start("zero_downtime.deploy.rollback", rollout_hosts="app1:app2:app3", rollout_hooks=directory)
    hold.until(run)
    run.send(signal.SIGKILL)
    # app3, the last batch of the rollout, came first.
    shop.assert_as_ever({"app1": "2.0", "app2": "2.0"}, app2=("disabled", 100))
    hold.let_go()
    done = shop.roll_back(rollout_hooks=directory).assert_good()
    assert "2 hosts are back on 1.0" in done.output
    shop.assert_as_ever("1.0")
    again = shop.roll_back().assert_good()
    assert "nothing to undo" in again.output and again.changed == 0


def test_the_status_of_a_service(shop):
    shop.roll("2.0", hosts="app1:app2").assert_good()
    shop.ask("set server shop/app4 state drain")
    before = shop.all_of_it()
    run = shop.play("zero_downtime.deploy.status", rollout_hosts="shop").assert_good()
    for line in (
        "Service shop",
        "  app1  2.0, healthy",
        "  app3  1.0, healthy",
        "pool shop: 5 of 6 available",
        "  app4  drained, up, weight 100, in flight 0",
        "Lease: free",
        "when (UTC)        version  strategy  outcome",
        "Deployment frequency: ",
    ):
        assert line in run.output
    assert run.changed == 0 and shop.all_of_it() == before
    assert set(run.recap) <= set(HOSTS)
