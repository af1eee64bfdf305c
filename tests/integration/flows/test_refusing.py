# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rollouts that do not begin: what is wrong is named, and nothing is touched."""

from __future__ import annotations

import json
import socket

import pytest
from shops import CORES

ROLLING = "zero_downtime.deploy.rolling"


@pytest.fixture
def ear(tmp_path_factory):
    """A socket in the balancer's place: `ear()` tells whether anybody has called."""
    path = tmp_path_factory.mktemp("ear") / "sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        listener.setblocking(False)

        def heard():
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                return False
            return True

        heard.path = str(path)
        yield heard


GOOD = {"rollout_hosts": "app1:app2", "rollout_version": "2.0"}
HEALTH = {"url": "http://127.0.0.1:{{ shop_port }}/health"}

WRONG = [
    (
        {"rollout_hosts": None},
        "rollout_hosts is missing, the hosts of the service as an inventory pattern. For example -e rollout_hosts=shop.",
    ),
    (
        {"rollout_hosts": "shpo"},
        "rollout_hosts is shpo, which matches no host of the inventory. Is the inventory the right one?",
    ),
    (
        {"rollout_version": None},
        "rollout_version is missing, the release to bring the service to. For example -e rollout_version=1.4.2.",
    ),
    ({"rollout_version": ""}, "rollout_version is missing"),
    ({"rollout_version": 1.1}, "rollout_version is 1.1, a number: 1.10 would become 1.1. Put it in quotes."),
    ({"rollout_balancers": []}, "rollout_balancers is missing or empty, the balancers in front of the service."),
    ({"rollout_balancers": [{"name": "lb1", "provider": "haprxy"}]}, "Balancer lb1: value of provider must be one of: "),
    ({"rollout_hooks": "/nowhere"}, "rollout_hooks is /nowhere, which is no directory on the controller."),
    ({"rolling_max_failures": -1}, "rolling_max_failures (-1) and rolling_soak (0.3) cannot be negative."),
    ({"rolling_soak": "soon"}, "rolling_soak"),
    ({"traffic_on_drain_timeout": "wait"}, "traffic_on_drain_timeout must be one of: fail, cut, got: wait"),
    ({"release_keep": "many"}, "release_keep"),
    ({"rollout_probe": {"url": "http://shop/"}}, "rollout_probe has no urls, the addresses that users ask. rollout_probe has url, and "),
    ({"rollout_notices": {"webhook": []}}, "rollout_notices has webhook, and knows textfile, "),
]


@pytest.mark.parametrize(("wrong", "words"), WRONG, ids=[" ".join(map(str, *wrong.items())) for wrong, _words in WRONG])
def test_what_is_missing_or_wrong_is_named_before_anything_is_contacted(shop, ear, wrong, words):
    before = shop.all_of_it()
    run = shop.play(ROLLING, **{**GOOD, "demo_socket": ear.path, **wrong}).assert_bad(words)
    assert (
        "othing was contacted" in run.last_words
        or "Nothing was touched" in run.last_words
        or "Validation" in run.last_words
    )
    assert not ear()
    assert not shop.journal.exists()
    assert shop.all_of_it() == before


@pytest.mark.thorough
@pytest.mark.parametrize("known", [(), ("rollout_service",), ("rollout_service", "rollout_balancers")])
def test_a_service_that_the_inventory_does_not_describe(shop, tmp_path, known):
    described = {"rollout_service": "shop", "rollout_balancers": [{"provider": "haproxy", "socket": "/nowhere"}]}
    web1 = {"ansible_connection": "local", **{name: described[name] for name in known}}
    (tmp_path / "inventory.json").write_text(json.dumps({"new": {"hosts": {"web1": web1}}}))
    run = shop.play(ROLLING, inventory=tmp_path / "inventory.json", rollout_hosts="new", rollout_version="2.0")
    run.assert_bad("Set it for new in the inventory. Nothing was contacted.")
    for name in ("rollout_service", "rollout_balancers", "rollout_health"):
        assert (f"{name} is missing" in run.last_words) == (name not in known)


@pytest.mark.thorough
@pytest.mark.parametrize("playbook", ["rollback", "status"])
def test_the_other_playbooks_want_to_know_the_hosts_too(shop, ear, playbook):
    run = shop.play(f"zero_downtime.deploy.{playbook}", demo_socket=ear.path).assert_bad("rollout_hosts is missing")
    assert "Nothing was contacted." in run.last_words
    assert not ear()
    assert not shop.journal.exists()


PLANS = [
    (
        {"rolling_batches": [1, 2], "traffic_min_available": "5"},
        "Batch 2 (app2, app3) would leave 4 of 6 members of pool shop available on balancer haproxy, and the minimum is 5",
    ),
    ({"rolling_batches": ["many"]}, "rolling_batches holds counts such as 2 and shares such as '25%', not 'many'."),
    ({"rolling_first": ["app6"]}, "rolling_first names app6, which the rollout does not reach."),
    (
        {"rollout_member": "web-{{ inventory_hostname }}"},
        "pool shop has no member web-app1, web-app2, web-app3; its members are app1",
    ),
    ({"rollout_pool": "shpo"}, "shpo"),
    (
        {"rollout_health": HEALTH},
        "Nothing tells which release runs on app1, app2, app3, so a failed rollout could not be undone there.",
    ),
]


@pytest.mark.parametrize(("wrong", "words"), PLANS, ids=[next(iter(wrong)) for wrong, _words in PLANS])
def test_a_plan_that_cannot_be_carried_out(shop, wrong, words):
    before = shop.all_of_it()
    shop.roll("2.0", **wrong).assert_bad(words, "Nothing was touched.")
    after = shop.all_of_it()
    assert {**after, "files": ""} == {**before, "files": ""}
    # The lease is free again, and nothing is left to be undone.
    assert (shop.journals(), shop.lease()) == ([], None)


UNREADY = [
    ({"release_restart_command": ["/nowhere/ctl"]}, "app1, app2, app3: There is no program /nowhere/ctl on this host"),
    ({"release_source": "/nowhere.tar"}, "app1, app2, app3: There is no source /nowhere.tar"),
    ({}, "app3: unreachable: "),
]


@pytest.mark.parametrize(("wrong", "words"), UNREADY, ids=["restart", "source", "ssh"])
def test_a_host_that_cannot_be_deployed_to_is_named_before_the_first_drain(shop, tmp_path, wrong, words):
    inventory = json.loads((shop.top / "inventory.json").read_text())
    if not wrong:
        inventory["shop"]["hosts"]["app3"] |= {"ansible_connection": "ssh", "ansible_host": "127.0.0.1", "ansible_port": 1}
    (tmp_path / "inventory.json").write_text(json.dumps(inventory))
    (tmp_path / "group_vars").symlink_to(shop.top / "group_vars")
    before = shop.all_of_it()
    run = shop.roll("2.0", inventory=tmp_path / "inventory.json", **wrong).assert_bad(words, "Nothing was touched.")
    assert run.last_words.count("Nothing was touched.") == 1
    assert {**shop.all_of_it(), "files": ""} == {**before, "files": ""}
    assert [journal["outcome"] for journal in shop.journals()] in ([], ["nothing_to_do"]) and shop.lease() is None
    if "release_restart_command" in wrong:  # the way back needs it too
        shop.roll("2.0").assert_good()
        shop.roll_back(**wrong).assert_bad(words, "Nothing was touched.")
        shop.assert_as_ever(dict.fromkeys(("app1", "app2", "app3"), "2.0"))
        assert shop.lease() is None


def test_what_a_balancer_cannot_do_is_accepted_by_name(shop, tmp_path):
    """Everything that is lacking is named at once, and what accepts it lets the rollout begin."""
    switches = {"name": "edge", "provider": "health_endpoint", "file": str(tmp_path / "out"), "notice": 0.1}
    lacking = {"rollout_balancers": [{**switches, "hosts": ["app1", "app2", "app3"]}], "traffic_on_drain_timeout": "cut"}
    lacking["traffic_warmup"] = [10]
    before = shop.all_of_it()
    shop.roll("2.0", **lacking).assert_bad(
        "Balancer edge, pool shop: provider health_endpoint does not tell when a member has nothing in flight any more.",
        "with `traffic_drain_wait`",
        "Use `traffic_on_drain_timeout: fail`.",
        "Accept that with `traffic_health: none`.",
        "so `traffic_warmup` cannot be done.",
        "Nothing was touched.",
    )
    after = shop.all_of_it()
    assert {**after, "files": ""} == {**before, "files": ""}
    accepted = {"traffic_drain_wait": 0.1, "traffic_on_drain_timeout": "fail", "traffic_health": "none", "traffic_warmup": []}
    accepted["rolling_batches"] = [1]
    shop.play(ROLLING, "--check", **{**GOOD, **lacking, **accepted}).assert_good()


@pytest.mark.thorough
def test_check_mode_finds_such_a_plan_too(shop):
    before = shop.all_of_it()
    wrong, words = PLANS[0]
    shop.roll("2.0", "--check", **wrong).assert_bad(words, "Nothing was touched.")
    assert shop.all_of_it() == before


@pytest.mark.thorough
def test_a_release_that_nobody_can_name_may_be_accepted(shop):
    run = shop.roll("2.0", hosts="app1", rollout_health=HEALTH, rolling_no_way_back="accept").assert_good()
    shop.assert_as_ever({"app1": "2.0"})
    assert "1 host is on it" in run.output


def test_a_second_rollout_while_the_first_one_runs(shop, hold):
    first = shop.start_rolling("2.0", rollout_hooks=hold())
    hold.until(first)
    before = shop.all_of_it()
    for second in (shop.roll("2.1"), shop.roll("2.0"), shop.roll_back()):
        second.assert_bad("shop", "2.0", "rollout_take_over")
        # Who, where, since when.
        owner = shop.lease()
        assert owner["name"] in second.last_words and owner["controller"] in second.last_words
        assert shop.all_of_it() == before
    hold.let_go()
    first.wait().assert_good()
    shop.assert_as_ever({"app1": "2.0", "app2": "2.0", "app3": "2.0"})


@pytest.mark.thorough
@CORES
def test_with_native_jinja_a_version_stays_what_it_is_or_is_refused(shop, core):
    """From 2.19 on there is no such setting, and Jinja leaves text alone."""
    run = shop.roll("2.0", hosts="app1:app2", native=True)
    if core == "core-2.16":
        run.assert_bad("rollout_version is 2.0, and jinja2_native in ansible.cfg makes a number of it")
        shop.assert_as_ever()
        run = shop.roll("2.0.1", hosts="app1:app2", native=True)
    run.assert_good()
    shop.assert_as_ever(dict.fromkeys(("app1", "app2"), "2.0" if core == "core-2.19" else "2.0.1"))


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["after_deply.yml", "after_deploy.yaml"])
def test_a_hook_that_would_never_run_is_named(shop, ear, tmp_path, name):
    for each in (name, "before_drain.yml", "theirs.yml"):
        (tmp_path / each).write_text("[]")
    run = shop.play(ROLLING, **{**GOOD, "demo_socket": ear.path, "rollout_hooks": str(tmp_path)})
    run.assert_bad(f"{name} in rollout_hooks ({tmp_path}) would never run. The phases are before_rollout.yml, before_drain.yml,")
    assert not ear() and not shop.journal.exists()


UNREADABLE = {
    "no YAML": ("- name: [", "after_deploy.yml"),
    "an unknown module": ("- name: Say it\n  shout: {msg: hello}", "couldn't resolve module/action 'shout'"),
    "a file that is not there": ("- ansible.builtin.import_tasks: nowhere.yml", "ERROR"),  # Ansible says no more
}


@pytest.mark.thorough
@pytest.mark.parametrize(("content", "words"), UNREADABLE.values(), ids=list(UNREADABLE))
def test_a_hook_that_cannot_be_read_ends_it_before_anything_is_contacted(shop, ear, tmp_path, content, words):
    (tmp_path / "after_deploy.yml").write_text(content)
    before = shop.all_of_it()
    run = shop.play(ROLLING, **{**GOOD, "demo_socket": ear.path, "rollout_hooks": str(tmp_path)})
    assert run.code != 0 and words in run.output
    assert not ear() and not shop.journal.exists()
    assert shop.all_of_it() == before


@CORES
@pytest.mark.parametrize("playbook", [ROLLING, "zero_downtime.deploy.rollback"])
def test_a_deploy_role_that_is_not_there_is_named_before_anything_is_contacted(shop, ear, playbook):
    before = shop.all_of_it()
    run = shop.play(playbook, **{**GOOD, "demo_socket": ear.path, "rollout_deploy_role": "my_rolle"})
    assert run.code != 0 and "the role 'my_rolle' was not found" in run.output
    assert not ear() and not shop.journal.exists()
    assert shop.all_of_it() == before


@pytest.mark.thorough
def test_the_status_needs_neither_hooks_nor_a_deploy_role(shop, tmp_path):
    (tmp_path / "after_deploy.yml").write_text("- name: [")
    given = {"rollout_hosts": "shop", "rollout_hooks": str(tmp_path), "rollout_deploy_role": "my_rolle"}
    assert "Service shop" in shop.play("zero_downtime.deploy.status", **given).assert_good().output
