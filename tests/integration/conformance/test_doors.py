# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both doors, as a user opens them: playbooks run by ansible-playbook against two real HAProxies on two inventory hosts."""

from __future__ import annotations

import json
import os
import pwd
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Aside, bound_to
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import set_pool, until

NAME = "zero_downtime.deploy"


class Site:
    """Two balancers, `lb1` and `lb2`, and an inventory in which they are hosts of their own."""

    def __init__(self, directory, one, two):
        self.directory, self.lb1, self.lb2 = directory, one, two
        host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        # What a balancer's host has beside its connection may be a template that makes sense elsewhere alone.
        more = {
            "of_no_use_here": "{{ lookup('ansible.builtin.file', '/nonexistent') }}",
            "nor_this": "{{ not_defined }}",
        }
        self.hosts = {"lb1": {**host, **more}, "lb2": {**host}, "app1": {**host}}

    def play(self, *tasks, hosts="localhost", check=False, diff=False, began=lambda group: None):
        """Run tasks, `{module: options, ...keywords}`; what each of them returned.

        :param began: is told the process group.
        """
        told = self.directory / "told.json"
        named = [{"register": f"told_{number}", **self._task(task)} for number, task in enumerate(tasks)]
        results = ", ".join(task["register"] for task in named)
        tell = {
            "ansible.builtin.copy": {"content": f"{{{{ [{results}] | to_json }}}}", "dest": str(told)},
            "check_mode": False,
            "diff": False,
        }
        playbook = [
            {"hosts": hosts, "gather_facts": False, "tasks": [*named, {"name": "Tell what each returned", **tell}]}
        ]
        (self.directory / "inventory.yml").write_text(yaml.safe_dump({"all": {"hosts": self.hosts}}), encoding="utf-8")
        (self.directory / "play.yml").write_text(yaml.safe_dump(playbook), encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "ansible",
            "playbook",
            "-i",
            str(self.directory / "inventory.yml"),
            str(self.directory / "play.yml"),
        ]
        env = {**os.environ, "ANSIBLE_LOCALHOST_WARNING": "false", "ANSIBLE_HOME": str(self.directory / "home")}
        run = subprocess.Popen(
            [*command, *["--check"] * check, *["--diff"] * diff],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=env,
            start_new_session=True,
        )
        try:
            began(run.pid)
            said, _none = run.communicate(timeout=300)
        finally:
            run.kill()
        assert run.returncode == 0, said
        return json.loads(told.read_text(encoding="utf-8"))

    @staticmethod
    def _task(task):
        ours = ("pool_", "traffic_")
        task = {f"{NAME}.{key}" if key.startswith(ours) else key: value for key, value in task.items()}
        return {"name": "A task", "ignore_errors": True, **task}

    def entries(self, **second):
        """Both balancers, each by way of its own host."""
        return [
            {"host": "lb1", "provider": "haproxy", "socket": str(self.lb1.socket)},
            {"host": "lb2", "provider": "haproxy", "socket": str(self.lb2.socket), **second},
        ]

    def states(self, member="m1"):
        """Of one member, on both."""
        return [rig.members()[member].state for rig in (self.lb1, self.lb2)]


@pytest.fixture
def site(make_haproxy, tmp_path):
    return Site(tmp_path, make_haproxy(), make_haproxy())


def plain(result):
    """Of a result what is the user's."""
    return {
        key: value
        for key, value in result.items()
        if key not in ("invocation", "ansible_facts", "warnings", "deprecations")
    }


def test_out_and_in_on_both_with_check_mode_and_diff_before(site):
    out = {
        "pool_member": {
            "balancers": site.entries(),
            "pool": "app",
            "members": ["m1", "m2"],
            "state": "disabled",
            "min_available": "50%",
        }
    }
    (promised,) = site.play(out, check=True, diff=True)
    assert site.states() == ["enabled", "enabled"]
    done, again = site.play(out, out, diff=True)
    assert site.states() == site.states("m2") == ["disabled", "disabled"]
    assert promised["changed"] is done["changed"] is True and again["changed"] is False
    assert promised["diff"] == done["diff"]
    assert [balancer["name"] for balancer in done["balancers"]] == ["lb1", "lb2"]
    (back,) = site.play({"pool_member": {**out["pool_member"], "state": "enabled", "warmup": [10], "warmup_step": 0.1}})
    assert back["changed"] and site.states() == ["enabled", "enabled"]


def test_results_have_the_same_shape_through_every_door_and_keep_the_order_asked_for(site):
    here = [{**entry, "name": entry["host"]} for entry in site.entries()]
    for entry in here:
        del entry["host"]
    mixed = [site.entries()[1], here[0]]
    by_host, in_process, as_module, backwards = site.play(
        {"pool_info": {"balancers": site.entries(), "pool": "app"}},
        {"pool_info": {"balancers": here, "pool": "app"}},
        {
            "pool_info": {"balancers": here, "pool": "app"},
            "delegate_to": "lb1",
            "vars": {"ansible_connection": "local", "ansible_become": False},
        },
        {"pool_info": {"balancers": mixed, "pool": "app"}},
    )
    for result in (by_host, in_process, as_module):
        assert all(member.pop("last_check") for balancer in result["balancers"] for member in balancer["members"])
    # On the balancer's own host a path is that host's.
    endpoints = [[balancer.pop("endpoint") for balancer in result["balancers"]] for result in (by_host, in_process)]
    assert endpoints[0] == [f"{host} {path}" for host, path in zip(("lb1", "lb2"), endpoints[1])]
    as_module["balancers"] = [{key: value for key, value in each.items() if key != "endpoint"} for each in as_module["balancers"]]
    assert plain(by_host) == plain(in_process) == plain(as_module)
    assert [balancer["name"] for balancer in by_host["balancers"]] == ["lb1", "lb2"]
    assert [balancer["name"] for balancer in backwards["balancers"]] == ["lb2", "lb1"]
    assert backwards["states"] == by_host["states"]


@pytest.mark.parametrize("first", [True, False])
def test_when_the_second_host_may_not_write_the_first_is_put_back(site, first):
    entries = site.entries(socket=str(site.lb2.operator_socket))
    (failed,) = site.play(
        {
            "pool_member": {
                "balancers": entries if first else entries[::-1],
                "pool": "app",
                "members": ["m1"],
                "state": "disabled",
            }
        }
    )
    assert failed["failed"] and failed["changed"] is False
    assert "Permission denied" in failed["msg"] and "Balancer lb1 is as it was before." in failed["msg"]
    assert site.states() == ["enabled", "enabled"]


def test_what_returned_on_one_host_is_taken_out_again_without_cutting_anybody(site, apps):
    for rig in (site.lb1, site.lb2):
        set_pool(rig.entry(), ["m1"], state="disabled")
    apps["m1"].gate.set()
    (failed,) = site.play(
        {
            "pool_member": {
                "balancers": site.entries(socket=str(site.lb2.operator_socket)),
                "pool": "app",
                "members": ["m1"],
                "state": "enabled",
            }
        }
    )
    assert "Balancer lb1 is as it was before." in failed["msg"]
    assert site.states() == ["disabled", "disabled"]


def test_facts_of_a_refusal_travel_through_the_other_hosts_door(site):
    entries = site.entries()
    options = {"pool": "app", "members": ["m1", "m2"], "state": "disabled", "min_available": 3}
    (failed,) = site.play({"pool_member": {"balancers": entries, **options}})
    assert (failed["available"], failed["would_leave"], failed["minimum"], failed["changed"]) == (4, 2, 3, False)
    assert site.states() == ["enabled", "enabled"]


def test_a_request_in_flight_is_waited_for_on_another_host_too(site, apps):
    client = bound_to(site.lb2.port, "m1")
    slow = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m1"].holding == 1)
    leaving = Aside(
        lambda: site.play(
            {"pool_member": {"balancers": site.entries(), "pool": "app", "members": ["m1"], "state": "disabled"}}
        )
    )
    site.lb2.wait_until("m1 is written", lambda pool: pool["m1"].state == "disabled")
    assert leaving.runs
    apps["m1"].gate.set()
    assert slow.ended().result == "m1"
    assert leaving.ended().error is None and leaving.result[0]["changed"]


def test_a_host_that_is_not_in_the_inventory(site):
    entries = site.entries(host="lb9")
    (failed,) = site.play(
        {"pool_member": {"balancers": entries, "pool": "app", "members": ["m1"], "state": "disabled"}}
    )
    assert (
        "There is no host 'lb9' in the inventory" in failed["msg"]
        and "Balancer lb1 is as it was before." in failed["msg"]
    )
    assert site.states() == ["enabled", "enabled"]


def test_a_host_that_cannot_be_reached(site):
    site.hosts["lb2"] = {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    (failed,) = site.play(
        {"pool_member": {"balancers": site.entries(), "pool": "app", "members": ["m1"], "state": "disabled"}}
    )
    assert (
        "Balancer host lb2 cannot be reached" in failed["msg"] and "Balancer lb1 is as it was before." in failed["msg"]
    )
    assert site.states() == ["enabled", "enabled"]


def test_a_connection_that_does_not_exist(site):
    site.hosts["lb2"] = {"ansible_connection": "pigeon"}
    (failed,) = site.play({"pool_info": {"balancers": site.entries(), "pool": "app"}})
    assert failed["failed"] and "pigeon" in failed["msg"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"force": True}, "Unsupported parameters"),
        ({"state": "gone"}, "value of state must be one of"),
        ({"weight": 300}, "weight 300 of m1 is outside 0 to 256"),
        ({"members": ["m9"]}, "has no member m9"),
        ({"pool": "nope"}, "no pool 'nope'"),
    ],
)
def test_wrong_values_are_told_through_both_doors(site, more, said):
    options = {"pool": "app", "members": ["m1"], "state": "disabled", **more}
    here = [{"provider": "haproxy", "socket": str(site.lb1.socket)}]
    failures = site.play(
        {"pool_member": {"balancers": site.entries(), **options}}, {"pool_member": {"balancers": here, **options}}
    )
    assert [said in failure["msg"] for failure in failures] == [True, True], failures
    assert site.states() == ["enabled", "enabled"]


def test_a_template_gives_what_as_before_takes(site):
    entries = site.entries()
    change = {"balancers": entries, "pool": "app", "members": ["m1", "m2"]}
    _before, _out, back, again = site.play(
        {"pool_info": {"balancers": entries, "pool": "app"}, "register": "pool"},
        {"pool_member": {**change, "state": "drained", "weight": 5}},
        {"pool_member": {**change, "state": "as_before", "before": "{{ pool.states }}"}},
        {"pool_member": {**change, "state": "as_before", "before": "{{ pool.states }}"}},
    )
    assert back["changed"] and not again["changed"]
    assert site.states() == ["enabled", "enabled"] and site.lb2.members()["m1"].weight == 100


def test_from_a_host_that_is_rolled_over(site):
    options = {"balancers": site.entries(), "pool": "app", "members": ["m1"], "state": "disabled"}
    (done,) = site.play({"pool_member": options, "delegate_to": "localhost"}, hosts="app1")
    assert done["changed"] and site.states() == ["disabled", "disabled"]


def test_a_restart_between_two_tasks_does_not_bring_members_back_on_other_hosts_either(site):
    options = {"balancers": site.entries(), "pool": "app", "members": ["m1"]}
    site.play({"pool_member": {**options, "state": "disabled", "hold": 60}})
    site.lb2.restart()
    site.lb2.wait_until("m1 is out again", lambda pool: pool["m1"].state == "disabled")
    (back,) = site.play({"pool_member": {**options, "state": "enabled"}})
    assert [balancer["reasserted"] for balancer in back["balancers"]] == [0, 1]


def test_the_role_writes_down_what_was_set_by_hand(site, tmp_path):
    files = [tmp_path / "lb1.state", tmp_path / "lb2.state"]
    entries = [{**entry, "state_file": str(file)} for entry, file in zip(site.entries(), files)]
    site.lb1.ask("set server app/m3 state maint")
    persist = {
        "ansible.builtin.include_role": {"name": f"{NAME}.traffic", "tasks_from": "persist"},
        "vars": {"traffic_balancers": entries, "traffic_pool": "app"},
    }
    site.play(persist, check=True)
    assert not any(file.exists() for file in files)
    site.play(persist)
    in_maintenance = [re.search(r"^\S+ app \S+ m3 \S+ \S+ 1 ", file.read_text(), re.MULTILINE) for file in files]
    assert [bool(found) for found in in_maintenance] == [True, False]


def test_a_switch_is_turned_on_the_members_own_host(site, apps):
    # Its host is reached as any host of the inventory; the balancer is only read, with a socket that could not write.
    site.hosts["m1"] = dict(site.hosts["app1"])
    seers = [{"provider": "haproxy", "socket": str(rig.operator_socket)} for rig in (site.lb1, site.lb2)]
    entry = {"name": "switches", "provider": "health_endpoint", "file": str(apps["m1"].switch), "seen_by": seers}
    options = {"balancers": [entry], "pool": "app", "members": ["m1"]}
    promised, out, again = [
        site.play({"pool_member": {**options, "state": "disabled"}}, check=check)[0] for check in (True, False, False)
    ]
    assert (promised["changed"], out["changed"], again["changed"]) == (True, True, False)
    assert promised["diff"] == out["diff"]
    assert [rig.members()["m1"].health for rig in (site.lb1, site.lb2)] == ["down", "down"]
    back, wrong, lost = site.play(
        {"pool_member": {**options, "state": "enabled"}},
        {"pool_member": {**options, "balancers": [{**entry, "host": "lb1"}], "state": "disabled"}},
        {"pool_member": {**options, "members": ["m2"], "state": "disabled"}},
    )
    assert back["changed"] and [rig.members()["m1"].health for rig in (site.lb1, site.lb2)] == ["up", "up"]
    assert "so it has no `host`" in wrong["msg"]
    assert "m2: There is no host 'm2' in the inventory" in lost["msg"]
    assert not apps["m1"].switch.exists()
    (alone,) = site.play(
        {"zero_downtime.deploy.member_switch": {"file": str(apps["m1"].switch), "state": "out"}}, hosts="m1"
    )
    assert (alone["changed"], alone["state"]) == (True, "out") and apps["m1"].switch.exists()


BLUE_GREEN = {"blue": {"members": ["m1", "m2"], "share": 100}, "green": {"members": ["m3", "m4"], "share": 0}}
GREEN_BLUE = {"blue": {"members": ["m1", "m2"], "share": 0}, "green": {"members": ["m3", "m4"], "share": 100}}


def split(site, balancers=None, **options):
    """A task of the module zero_downtime.deploy.traffic_split."""
    return {"traffic_split": {"balancers": balancers or site.entries(), "pool": "app", **options}}


def test_a_split_reaches_balancers_of_several_hosts_and_goes_back(site):
    (promised,) = site.play(split(site, groups=BLUE_GREEN), check=True, diff=True)
    assert site.states("m3") == ["enabled", "enabled"]
    blue, switched, again = site.play(
        split(site, groups=BLUE_GREEN), split(site, groups=GREEN_BLUE), split(site, groups=GREEN_BLUE), diff=True
    )
    assert promised["diff"] == blue["diff"] and [promised["changed"], again["changed"]] == [True, False]
    assert site.states() == ["disabled", "disabled"] and site.states("m3") == ["enabled", "enabled"]
    assert [balancer["shares"] for balancer in switched["balancers"]] == [{"blue": 0.0, "green": 100.0}] * 2
    # What was before is what was before the members were made ready, too.
    assert switched["before"]["lb2"]["m3"] == {"state": "disabled", "weight": 100}
    assert switched["balancers"][0]["members"][2]["waited"]["for"] == "fresh health" and switched["seconds"] > 0
    (back,) = site.play(split(site, before=switched["before"], health="none"))
    assert back["changed"] and site.states() == ["enabled", "enabled"] and site.states("m3") == ["disabled", "disabled"]


def test_a_split_in_the_controllers_process_and_as_a_module_are_the_same(site):
    here = [{**entry, "name": entry["host"]} for entry in site.entries()]
    for entry in here:
        del entry["host"]
    in_process, _back, as_module = site.play(
        split(site, here, groups=BLUE_GREEN),
        split(site, here, groups={"all": {"members": ["m1", "m2", "m3", "m4"]}}),
        {**split(site, here, groups=BLUE_GREEN), "delegate_to": "lb1"},
    )
    for result in (in_process, as_module):
        assert result.pop("seconds") > 0 and all(balancer.pop("seconds") for balancer in result["balancers"])
        assert result.pop("began") < result.pop("ended")
        assert all(member["before"].pop("last_check") for b in result["balancers"] for member in b["members"])
        assert all(member["after"].pop("last_check") or True for b in result["balancers"] for member in b["members"])
        assert all(member["after"].pop("health") for b in result["balancers"] for member in b["members"])
    assert plain(in_process) == plain(as_module)


@pytest.mark.parametrize("first", [True, False])
def test_when_one_host_cannot_be_made_ready_no_host_switches(site, first):
    site.play(split(site, groups=BLUE_GREEN))
    site.lb2.ask("disable health app/m3")
    before = [rig.written() for rig in (site.lb1, site.lb2)]
    entries = site.entries() if first else site.entries()[::-1]
    (failed,) = site.play(split(site, entries, groups=GREEN_BLUE))
    assert "no health check for m3" in failed["msg"] and "Balancer lb1 is as it was before." in failed["msg"]
    assert [rig.written() for rig in (site.lb1, site.lb2)] == before


def test_without_a_check_too_nobody_switches_before_all_hosts_have_answered(site):
    """What is put back was switched for a moment, and HAProxy's log would have it."""
    site.play(split(site, groups=BLUE_GREEN))
    site.lb2.stop()
    before = site.lb1.server.log.read_text()
    (failed,) = site.play(split(site, groups=GREEN_BLUE, health="none"))
    assert "Balancer lb1 is as it was before." in failed["msg"]
    assert site.lb1.server.log.read_text() == before
    assert site.lb1.members()["m3"].state == "disabled"


def test_a_host_that_fails_after_it_was_made_ready_is_put_back_to_before_that(site, apps):
    site.play(split(site, groups=BLUE_GREEN))
    before = [rig.written() for rig in (site.lb1, site.lb2)]
    client = bound_to(site.lb2.port, "m1")
    slow = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m1"].holding == 1)
    (failed,) = site.play(split(site, groups=GREEN_BLUE, wait=True, drain_timeout=0.5))
    assert "Balancer lb2, pool app: after" in failed["msg"] and "still requests in flight (m1: 1)" in failed["msg"]
    assert "Balancer lb1 is as it was before." in failed["msg"]
    assert [rig.written() for rig in (site.lb1, site.lb2)] == before
    apps["m1"].gate.set()
    assert slow.ended().result == "m1"


def test_counters_come_from_several_hosts(site):
    bound_to(site.lb2.port, "m1")
    (told,) = site.play({"pool_info": {"balancers": site.entries(), "pool": "app", "counters": True}})
    one, two = (balancer["members"][0]["counters"] for balancer in told["balancers"])
    assert (one["requests"], one["errors"]) == (0, 0) and two["requests"] > 0 and one["since"] != two["since"]


def test_async_is_refused_rather_than_ignored(site):
    (failed,) = site.play(
        {
            "pool_member": {"balancers": site.entries(), "pool": "app", "members": ["m1"], "state": "disabled"},
            "async": 10,
        }
    )
    assert failed["failed"] and "async" in failed["msg"]
    assert site.states() == ["enabled", "enabled"]


def test_privileges_are_those_of_the_balancers_host(site):
    if os.getuid() != 0 or not shutil.which("su"):
        pytest.skip("needs root, to become somebody else")
    nobody = pwd.getpwnam("nobody").pw_name
    site.hosts["lb2"].update(
        ansible_become=True, ansible_become_user=nobody, ansible_become_method="su", ansible_become_exe="su -s /bin/sh"
    )
    site.hosts["lb2"].update(ansible_shell_allow_world_readable_temp=True)
    (failed,) = site.play(
        {"pool_member": {"balancers": site.entries(), "pool": "app", "members": ["m1"], "state": "disabled"}}
    )
    assert f"User {nobody} may not open" in failed["msg"] or "Permission denied" in failed["msg"], failed
    assert "Balancer lb1 is as it was before." in failed["msg"]
    assert site.states() == ["enabled", "enabled"]
