# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts that succeed."""

from __future__ import annotations

import shutil

import pytest
import yaml
from shops import CORES, HOSTS, RAMP, SOON

DONE = {"app1": "2.0", "app2": "2.0", "app3": "2.0"}
BATCH = ("before_drain", "after_drain", "after_deploy", "before_enable", "after_enable")


@CORES
def test_every_hook_runs_once_for_each_host_in_its_phase(shop, hooks, notes):
    phases = ("before_rollout", *BATCH, "after_rollout", "on_rollback")
    directory = hooks(**{phase: [notes.task(phase)] for phase in phases})
    run = shop.roll("2.0", rollout_hooks=directory, **RAMP).assert_good()
    shop.assert_as_ever(DONE)
    assert "3 hosts are on it, healthy and in traffic as before" in run.output

    def step(phase, *hosts):
        return [f"{phase} {host}" for host in hosts]

    expected = step("before_rollout", "app1", "app2", "app3")
    for batch in (["app1"], ["app2", "app3"]):
        expected += [line for phase in BATCH for line in step(phase, *batch)]
    expected += step("after_rollout", "app1", "app2", "app3")
    # Within one phase the hosts run side by side.
    assert sorted(notes.read()) == sorted(expected)
    assert [line.split()[0] for line in notes.read()] == [line.split()[0] for line in expected]

    # A second run has nothing to do and says so: no hook, no change, no line in the history.
    notes.clear()
    before = shop.all_of_it()
    again = shop.roll("2.0", rollout_hooks=directory).assert_good()
    assert "nothing to do. 3 hosts are already healthy on it" in again.output
    assert again.changed == 0 and notes.read() == []
    after = shop.all_of_it()
    assert {**after, "files": ""} == {**before, "files": ""}
    (journal,) = shop.journals()
    assert (journal["outcome"], journal["plan"], shop.lease()) == ("succeeded", [["app1"], ["app2", "app3"]], None)


@pytest.mark.thorough
@CORES
@pytest.mark.parametrize(("where", "including"), [("{path}", 0), ("{{{{ '{path}' if inventory_hostname else '' }}}}", 1)])
def test_a_host_costs_its_deploy_step_and_nothing_else(shop, hooks, where, including):
    # Hooks whose place no host has a say in are part of the playbook from the start; elsewhere they are included for each host.
    # The first host of a batch carries what is one task for all; a task that the others only skip costs a process for each.
    place = {"path": "{{ release_path }}", "version": "{{ rollout_deploy_version }}", "source": "{{ release_source }}"}
    step = [
        {"name": "Put it in place", "zero_downtime.deploy.release": place},
        {"name": "Restart", "ansible.builtin.command": {"argv": "{{ release_restart_command }}"}, "changed_when": True},
    ]
    place_of_hooks = where.format(path=hooks(deploy=step))
    run = shop.roll("2.0", rollout_hooks=place_of_hooks, release_version="2.0", rolling_batches=[3]).assert_good()
    shop.assert_as_ever(DONE)
    for host in ("app2", "app3"):
        assert (run.recap[host]["ok"], run.recap[host]["skipped"]) == (len(step) + including, 0)


def test_check_mode_writes_nothing_and_tells_the_truth(shop):
    before = shop.all_of_it()
    run = shop.roll("2.0", "--check", "--diff", **RAMP).assert_good()
    assert "Rollout of shop to 2.0 would deploy to app1; app2, app3. Check mode: nothing was written." in run.output
    # The members before and after, and the release.
    assert "-haproxy shop/app1: enabled, weight 100\n+haproxy shop/app1: disabled, weight 100\n" in run.output
    assert '+    "current": "2.0"' in run.output
    assert shop.all_of_it() == before
    assert not shop.journal.exists()
    # Run for real and then foretold again: nothing.
    run = shop.roll("2.0", **RAMP).assert_good()
    # The release, looked at before the first drain, and put in place and restarted.
    assert (run.recap["app3"]["ok"], run.recap["app3"]["skipped"]) == (2, 0)
    foretold = shop.roll("2.0", "--check", "--diff").assert_good()
    assert foretold.changed == 0 and "nothing to do" in foretold.output


def test_states_and_weights_are_as_before_and_strangers_are_left_alone(shop):
    shop.ask("set server shop/app2 weight 30")
    shop.ask("set server shop/app3 state maint")
    shop.ask("set server shop/app5 state drain")
    shop.roll("2.0", traffic_min_available="2", **RAMP).assert_good()
    shop.assert_as_ever(DONE, app2=("enabled", 30), app3=("disabled", 100), app5=("drained", 100))
    # Who was out goes first: that costs nobody anything.
    assert shop.journals()[0]["plan"] == [["app3"], ["app1", "app2"]]
    again = shop.roll("2.0", traffic_min_available="2").assert_good()
    assert again.changed == 0


@pytest.mark.thorough
def test_the_chosen_ones_go_first_and_batches_are_spread_over_domains(shop):
    racks = {"app1": "a", "app2": "a", "app3": "a", "app4": "b", "app5": "b", "app6": "b"}
    domain = f"{{{{ {racks}[inventory_hostname] }}}}"
    own = {"hosts": "shop", "rolling_first": ["app6"], "rolling_batches": [1, 2, "50%"], "rollout_domain": domain}
    run = shop.roll("2.0", "--check", **own).assert_good()
    assert "would deploy to app6; app1, app4; app2, app5, app3." in run.output


def test_a_limit_narrows_it(shop):
    run = shop.roll("2.0", "--limit", "app2,localhost").assert_good()
    shop.assert_as_ever({"app2": "2.0"})
    assert "1 host is on it" in run.output
    assert shop.journals()[0]["plan"] == [["app2"]]


@pytest.mark.thorough
def test_a_limit_that_leaves_no_host_touches_none(shop):
    run = shop.roll("2.0", "--limit", "app6")
    shop.assert_as_ever("1.0")
    assert "undefined" not in run.output
    assert not shop.journal.exists()


@pytest.mark.thorough
def test_the_user_s_own_tasks_deploy(shop, hooks, notes):
    tasks = [
        notes.task("deploy {{ rollout_deploy_version }}"),
        {"name": "As the role does", "ansible.builtin.include_role": {"name": "zero_downtime.deploy.release"}},
    ]
    shop.roll("2.0", hosts="app1", rollout_hooks=hooks(deploy=tasks)).assert_good()
    assert notes.read() == ["deploy 2.0 app1"]
    shop.assert_as_ever({"app1": "2.0"})


@pytest.fixture
def own_role(tmp_path):
    """Write the role our_deploy, which brings the release, where Ansible is started; returns what makes a rollout use it."""

    def write(task, *handlers, project=tmp_path):
        role = project / "roles" / "our_deploy"
        release = {"ansible.builtin.import_role": {"name": "zero_downtime.deploy.release"}}
        for part, content in (("tasks", [task, release]), ("handlers", [*handlers])):
            (role / part).mkdir(parents=True)
            (role / part / "main.yml").write_text(yaml.safe_dump(content))
        return {"rollout_deploy_role": "our_deploy", "rolling_batches": [1]}

    return write


@pytest.mark.thorough
def test_what_is_notified_runs_before_the_next_step(shop, hooks, notes, own_role):
    # At the end of the play, where Ansible runs handlers by itself, the host has long been back in traffic.
    own = own_role({**notes.task("deploy"), "notify": "restart"}, {**notes.task("restart"), "name": "restart"})
    phases = hooks(after_deploy=[{**notes.task("after_deploy"), "notify": "restart"}], before_enable=[notes.task("before_enable")])
    shop.roll("2.0", hosts="app1", rollout_hooks=phases, **own).assert_good()
    assert notes.read() == [f"{step} app1" for step in ("deploy", "restart", "after_deploy", "restart", "before_enable")]


@pytest.mark.thorough
@CORES
def test_a_handler_that_fails_is_a_failed_deployment(shop, notes, own_role):
    handler = {"name": "restart", "ansible.builtin.command": "false", "when": "rollout_deploy_version == '2.0'"}
    own = own_role({**notes.task("deploy"), "notify": "restart"}, handler)
    shop.roll("2.0", hosts="app1:app2", **own).assert_bad("app1: deploy, task 'restart'", "1 host is back on 1.0")
    shop.assert_as_ever("1.0")


@CORES
def test_a_project_has_its_own_role_hooks_and_variables(shop, tmp_path, notes, own_role):
    project = tmp_path / "project"
    own = own_role(notes.task("{{ rollout_deploy_version }}"), project=project)
    for place, content in {
        "group_vars/all.yml": {**own, **SOON, "rollout_hooks": "{{ playbook_dir }}/hooks"},
        "hooks/before_drain.yml": [notes.task("before_drain")],
        "shop.yml": [{"name": "Roll", "ansible.builtin.import_playbook": "zero_downtime.deploy.rolling"}],
    }.items():
        (project / place).parent.mkdir(exist_ok=True)
        (project / place).write_text(yaml.safe_dump(content))
    given = dict.fromkeys([*own, *SOON])  # not on the command line
    # 3.0 answers 500.
    run = shop.play(str(project / "shop.yml"), rollout_hosts="app1:app2", rollout_version="3.0", **given)
    run.assert_bad("FAILED in the batch app1", "1 host is back on 1.0")
    assert notes.read() == ["before_drain app1", "3.0 app1", "1.0 app1"]
    shop.assert_as_ever("1.0")


@pytest.mark.thorough
def test_the_first_release_on_hosts_where_nothing_runs(shop):
    for host in ("app1", "app2", "app3"):
        shop.stop(host)
        for left in ("current", "releases"):
            path = shop.top / host / left
            path.unlink() if path.is_symlink() else shutil.rmtree(path)
    shop.roll("2.0").assert_good()
    shop.assert_as_ever(DONE)


def test_two_services_in_one_run(shop, tmp_path, hooks, notes):
    # What failed in the first one's budget is no failure of the second one.
    directory = hooks(
        after_deploy=[
            {
                "name": "Say no",
                "ansible.builtin.fail": {"msg": "no"},
                "when": "rollout_service == 'shop' and inventory_hostname == 'app2'",
            }
        ],
        after_rollout=[notes.task("{{ rollout_service }} {{ rollout_version }}")],
    )
    both = [
        {
            "ansible.builtin.import_playbook": "zero_downtime.deploy.rolling",
            "vars": {
                "rollout_service": service,
                "rollout_version": version,
                "rollout_hosts": hosts,
                "rolling_max_failures": budget,
            },
        }
        for service, version, hosts, budget in (("shop", "2.0", "app1:app2", 1), ("cart", "2.1", "app2:app3", 0))
    ]
    (tmp_path / "both.yml").write_text(yaml.safe_dump(both))
    run = shop.play(str(tmp_path / "both.yml"), rollout_hooks=directory).assert_good()
    assert "Rollout of shop to 2.0 succeeded: 1 host is on it" in run.output
    assert "Rollout of cart to 2.1 succeeded: 2 hosts are on it" in run.output
    assert sorted(notes.read()) == ["cart 2.1 app2", "cart 2.1 app3", "shop 2.0 app1", "shop 2.0 app2"]
    assert (shop.journals()[0]["outcome"], shop.journals("cart")[0]["outcome"]) == (
        "succeeded_with_failures",
        "succeeded",
    )
    assert shop.pool()["app2"] == ("disabled", 100) and shop.pool("cart")["app2"] == ("enabled", 100)
    assert shop.versions() == {**dict.fromkeys(HOSTS, "1.0"), "app1": "2.0", "app2": "2.1", "app3": "2.1"}


def test_an_existing_playbook_with_its_own_batches(shop, notes, tmp_path):
    """A task, and a role whose handler restarts, between the entry points of the role `traffic`."""
    member = "(seen.balancers[0].members | selectattr('name', 'equalto', inventory_hostname) | first)"
    traffic = {"name": "zero_downtime.deploy.traffic"}
    look = [
        {
            "zero_downtime.deploy.pool_info": {"balancers": "{{ rollout_balancers }}", "pool": "shop"},
            "delegate_to": "localhost",
            "register": "seen",
        },
        notes.task(f"{{{{ {member}.state }}}}"),
    ]
    one = {
        "hosts": "app1:app2:app3:app4",
        "serial": 2,
        "gather_facts": False,
        "tasks": [
            {"ansible.builtin.include_role": {**traffic, "tasks_from": "drain"}},
            *look,
            {"ansible.builtin.include_role": {**traffic, "tasks_from": "return"}},
            *look,
        ],
    }
    tasks = [{"ansible.builtin.command": "true", "notify": "restart"}]
    handlers = [{"ansible.builtin.include_tasks": "look.yml", "listen": "restart"}]
    for part, content in (("tasks", tasks), ("handlers", handlers)):
        (tmp_path / "roles" / "old" / part).mkdir(parents=True)
        (tmp_path / "roles" / "old" / part / "main.yml").write_text(yaml.safe_dump(content))
    (tmp_path / "roles" / "old" / "handlers" / "look.yml").write_text(yaml.safe_dump(look))
    two = {
        "hosts": "app5:app6",
        "serial": 1,
        "gather_facts": False,
        "pre_tasks": [{"ansible.builtin.include_role": {**traffic, "tasks_from": "drain"}}],
        "roles": ["old"],
        "post_tasks": [{"ansible.builtin.include_role": {**traffic, "tasks_from": "return"}}],
    }
    (tmp_path / "site.yml").write_text(yaml.safe_dump([one, two]))
    shop.ask("set server shop/app6 weight 30")
    shop.play(str(tmp_path / "site.yml")).assert_good()
    batch = {"disabled", "enabled"}
    assert [line.split()[0] for line in notes.read()] == ["disabled", "disabled", "enabled", "enabled"] * 2 + [
        "disabled"
    ] * 2
    assert {tuple(line.split()) for line in notes.read()} == {
        (state, host) for host in HOSTS for state in (batch if host < "app5" else {"disabled"})
    }
    shop.assert_as_ever("1.0", app6=("enabled", 30))


@pytest.mark.thorough
def test_the_handler_that_rolls_a_host_back(shop, tmp_path):
    shop.roll("2.0", hosts="app1:app2").assert_good()
    play = {
        "hosts": "app1:app2",
        "serial": 1,
        "gather_facts": False,
        "roles": ["zero_downtime.deploy.rollback"],
        "tasks": [{"ansible.builtin.debug": {"msg": "bad"}, "changed_when": True, "notify": "zero_downtime rollback"}],
    }
    (tmp_path / "site.yml").write_text(yaml.safe_dump([play]))
    shop.play(str(tmp_path / "site.yml")).assert_good()
    shop.assert_as_ever("1.0")
