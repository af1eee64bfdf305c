# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters: from Ansible's variables to the domain."""

from __future__ import annotations

import pytest

from ansible.errors import AnsibleFilterError
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import PROVIDERS
from ansible_collections.zero_downtime.deploy.plugins.filter import rollout
from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import fence, plan
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.fence import read

CHECK = {"url": "http://192.0.2.1/health", "version": "$.version"}


def checked(*targets, by="controller"):
    return {f"__rollout_health_{by}": {"targets": list(targets)}}


def seen(host, healthy=True, version="1.0", saw="200 OK"):
    return {"name": host, "healthy": healthy, "version": version, "seen": saw}


SKIPPED = {"changed": False, "skipped": True}


def test_the_names_that_the_roles_use_are_there():
    filters = rollout.FilterModule().filters()
    assert all(callable(function) for function in filters.values())
    assert all(name.startswith("rollout_") for name in filters)


def test_members_are_named_as_the_pool_names_them():
    hostvars = {"a": {"rollout_member": "web-a"}, "b": {}, "c": {"rollout_member": ""}}
    assert rollout.rollout_members(["c", "a", "b"], hostvars) == ["c", "web-a", "b"]


@pytest.mark.parametrize("option", ["version", "version_header", "version_pattern"])
def test_a_check_expects_the_version_where_it_can_be_found(option):
    hostvars = {"a": {"rollout_health": {"url": "http://192.0.2.1/", option: "x"}}}
    assert rollout.rollout_checks(["a"], hostvars, "2.0") == [
        {"url": "http://192.0.2.1/", option: "x", "name": "a", "expected_version": "2.0"}
    ]
    assert "expected_version" not in rollout.rollout_checks(["a"], hostvars)[0]


def test_a_check_without_a_place_for_the_version_expects_none():
    hostvars = {"a": {"rollout_health": {"port": 80}}}
    assert rollout.rollout_checks(["a"], hostvars, "2.0") == [{"port": 80, "name": "a"}]


def test_each_host_is_checked_in_its_own_way_for_its_own_version():
    hostvars = {"a": {"rollout_health": CHECK}, "b": {"rollout_health": {**CHECK, "url": "http://192.0.2.2/"}}}
    made = rollout.rollout_checks(["a", "b", "a"], hostvars, {"a": "1.0", "b": None})
    assert [(check["name"], check.get("expected_version")) for check in made] == [
        ("a", "1.0"),
        ("b", None),
        ("a", "1.0"),
    ]
    assert made[1]["url"] == "http://192.0.2.2/"
    assert hostvars["a"]["rollout_health"] == CHECK


def test_who_has_failed_already_is_not_waited_for():
    hostvars = {
        "a": {"rollout_health": CHECK, "__rollout_failed": "deploy"},
        "b": {"rollout_health": CHECK, "__rollout_failed": ""},
    }
    assert [check["name"] for check in rollout.rollout_checks(["a", "b"], hostvars)] == ["b"]
    # Unless nobody waits: a look at what there is.
    assert [check["name"] for check in rollout.rollout_checks(["a", "b"], hostvars, failed=True)] == ["a", "b"]


def test_what_a_step_kept_comes_before_what_a_check_found():
    of_all = checked(seen("a", False, saw="500"), seen("b", False, saw="500"), seen("c"))
    hostvars = {
        "a": {"__rollout_failed": "hook after_drain, task 'x': no", **of_all},
        "b": {"__rollout_failed": "", **of_all},
        "c": of_all,
        "d": {},
    }
    assert rollout.rollout_failures(list("abcd"), hostvars) == {
        "a": "hook after_drain, task 'x': no",
        "b": "not healthy, last seen: 500",
    }
    # Before this batch has been checked, the last check was another one's.
    assert rollout.rollout_failures(list("abcd"), hostvars, checked=False) == {"a": "hook after_drain, task 'x': no"}


class Counted(dict):
    """Variables of hosts that remember whose were looked at: in Ansible that is what takes time."""

    def __init__(self, *args):
        super().__init__(*args)
        self.asked = []

    def __getitem__(self, host):
        self.asked.append(host)
        return super().__getitem__(host)


def test_a_large_batch_is_judged_by_one_result_and_its_suspects():
    hosts = [f"h{number}" for number in range(100)]
    results = checked(*(seen(host, host != "h7", saw="500") for host in hosts if host != "h3"))
    hostvars = Counted({host: results for host in hosts})
    hostvars["h3"] = {**results, "__rollout_failed": "deploy"}
    assert rollout.rollout_failures(hosts, hostvars, suspects=["h3", "h4"]) == {
        "h3": "deploy",
        "h7": "not healthy, last seen: 500",
    }
    assert set(hostvars.asked) == {"h0", "h3", "h4"}


def test_a_large_batch_that_is_not_drained_yet_is_looked_at_by_one_host():
    hosts = [f"h{number}" for number in range(100)]
    plan = {
        "groups": [hosts], "group_of": dict.fromkeys(hosts, 0), "batches": [100], "there": [], "so_far": {"hosts": [], "batches": 0},
        "before": {"members": {host: host for host in hosts}},
    }  # fmt: skip
    known = {"__rolling_reached": [], "__rolling_failures": {}, "__canary": {"action": "go_on", "why": ""}, "__rollout_paused": {}}
    hostvars = Counted({host: {"__rollout_health_controller": {}} for host in hosts} | {"localhost": {"__rollout": plan, **known}})
    assert rollout.rollout_standing(hostvars, "h5", [], 0)["to_drain"] == hosts
    assert set(hostvars.asked) == {"localhost", "h5"}
    results = {"traffic_drained": {"problem": ""}, **checked(*(seen(host, host != "h7", saw="500") for host in hosts))}
    hostvars.update({host: results for host in hosts})
    stands = rollout.rollout_standing(hostvars, "h5", [], 0)
    assert stands["drained"] and not stands["goes_on"] and stands["failures"] == {"h7": "not healthy, last seen: 500"}


PLANNED = {"hosts": ["a", "b", "c"], "batches": [1, 2], "groups": [["a"], ["b", "c"]]}


@pytest.mark.parametrize(
    ("reached", "unfinished"),
    [([], ["a"]), (["a"], ["b", "c"]), (["a", "b"], ["b", "c"]), (["a", "b", "c"], [])],
)
def test_the_batch_that_did_not_come_to_its_end(reached, unfinished):
    assert rollout.rollout_unfinished({"localhost": {"__rollout": PLANNED, "__rolling_reached": reached}}) == unfinished


def test_before_there_is_a_plan_nothing_is_planned():
    assert rollout.rollout_planned({"localhost": {"__rollout": PLANNED}}, "__rollout", "batches") == [1, 2]
    for hostvars in (
        {},
        {"localhost": {}},
        {"localhost": {"__rollout": {}}},
        {"localhost": {"__rollout": {"hosts": None}}},
    ):
        assert rollout.rollout_planned(hostvars, "__rollout", "hosts") == []
        assert rollout.rollout_unfinished(hostvars) == []


def test_a_check_on_the_host_itself_counts_as_well():
    hostvars = {
        "a": {"__rollout_health_controller": SKIPPED, **checked(seen("a", False, saw="refused"), by="host")},
        "b": {
            "__rollout_health_controller": SKIPPED,
            "__rollout_health_host": {"unreachable": True, "msg": "no route"},
        },
        "c": {"__rollout_health_controller": SKIPPED, "__rollout_health_host": SKIPPED},
    }
    assert rollout.rollout_failures(list("abc"), hostvars) == {
        "a": "not healthy, last seen: refused",
        "b": "cannot be reached, so it cannot be checked",
    }


def test_who_was_not_checked_is_not_taken_for_healthy():
    hostvars = {
        "a": checked(seen("a", version="2.0")),
        "b": {"__rollout_health_controller": SKIPPED},
        "c": {"__rollout_health_controller": None},
    }
    assert rollout.rollout_seen(["a", "b", "c"], hostvars) == [
        seen("a", version="2.0"),
        {"healthy": False, "version": None, "seen": "not checked", "name": "b"},
        {"healthy": False, "version": None, "seen": "not checked", "name": "c"},
    ]


def test_the_plan_is_made_of_the_hosts_variables():
    def member(name):
        return {
            "name": name, "address": "192.0.2.1:80", "state": "enabled", "weight": 100, "health": "up",
            "in_flight": 0, "checked": True, "last_check": "",
        }  # fmt: skip

    everyone = checked(*[seen(host) for host in "abcd"])
    hostvars = {
        "a": {"rollout_member": "web-a", "rollout_domain": 1},
        "b": {"rollout_domain": 1},
        "c": {"rollout_domain": 2},
        "d": {"rollout_domain": None, "rollout_health_from": "host"},
    }
    hostvars = {host: {**everyone, "rollout_health": {"url": f"http://{host}/"}, **own} for host, own in hostvars.items()}
    balancers = [
        {
            "name": "lb1",
            "provider": "haproxy",
            "endpoint": "/run/lb1",
            "capabilities": PROVIDERS["haproxy"].capabilities.as_dict(),
            "pool": "shop",
            "members": [member(name) for name in ("web-a", "b", "c", "d")],
        }
    ]
    options = {
        "version": "2.0",
        "batches": ["2"],
        "first": [],
        "min_available": "50%",
        "health": "fresh",
        "drain_wait": "0.0",
        "on_drain_timeout": "fail",
        "drain_timeout": 60.0,
        "health_timeout": 60.0,
        "warmup": [],
        "no_way_back": "refuse",
    }
    made = rollout.rollout_plan(list("abcd"), hostvars, balancers, {}, options)
    assert made["problems"] == []
    assert made["groups"] == [["a", "c"], ["d", "b"]]
    assert made["before"]["members"] == {"a": "web-a", "b": "b", "c": "c", "d": "d"}
    assert made == plan.rollout_plan(
        [
            {"host": "a", "member": "web-a", "domain": "1", "check": {"url": "http://a/"}},
            {"host": "b", "member": "b", "domain": "1", "check": {"url": "http://b/"}},
            {"host": "c", "member": "c", "domain": "2", "check": {"url": "http://c/"}},
            {"host": "d", "member": "d", "domain": ""},
        ],
        balancers,
        [seen(host) for host in "abcd"],
        {},
        options,
    )


@pytest.mark.parametrize(("strategy", "teller"), [("rolling", "story"), ("canary", "story"), ("blue_green", "color_story")])
def test_a_story_is_told_as_its_strategy_went(monkeypatch, strategy, teller):
    for name in ("story", "color_story"):
        monkeypatch.setattr(getattr(rollout, name), "story", lambda *given, name=name: {"told_by": name, "paused": {}})
    nothing = ("__blue_green", "__rollback", "__rollback_failures", "__rolling_failures")
    facts = {"__rollout": {"strategy": strategy}, "__rolling_reached": [], "__rolling_touched": [], **{name: {} for name in nothing}}
    facts["__rollback_reached"] = []
    assert rollout.rollout_story({"localhost": facts}, True, {})["told_by"] == teller


def test_a_host_that_cannot_be_reached_is_told_so():
    lost = {"unreachable": True, "msg": "Task failed: ssh: connection refused"}
    hostvars = {host: checked(seen("a"), seen("b", False, saw="HTTP 500"), seen("c", False, saw="HTTP 500")) for host in "abc"}
    hostvars["b"]["__rollout_reached"], hostvars["c"]["__rollout_reached"] = lost, {"skipped": True}
    hostvars["localhost"] = {"__rolling_halted": {"failures": {"b": "HTTP 500"}}, "__rollback_failures": {"c": "HTTP 500"}}
    assert rollout.rollout_failed_hosts(hostvars) == ["b", "c"] and rollout._lost(hostvars) == {"b": "ssh: connection refused."}
    hostvars["c"]["checked"] = {"failed": True, "msg": "no such unit. Nothing was touched."}
    hostvars["a"]["checked"], hostvars["b"]["checked"] = {"changed": True}, lost
    assert rollout.rollout_unready(list("abc"), hostvars, "checked") == {
        "b": "unreachable: ssh: connection refused.",
        "c": "no such unit. Nothing was touched.",
    }


def test_a_gate_that_is_not_open_pauses():
    assert rollout.rollout_paused({"state": "open", "why": ""}, "rollout") == {}
    waiting = {"state": "waiting", "why": "waiting for approval: x"}
    expected = {"point": "batch", "number": 2, "why": "waiting for approval: x", "waits_for": "approval"}
    assert rollout.rollout_paused(waiting, "batch", "2") == expected
    assert rollout.rollout_paused({"state": "closed", "why": "frozen"}, "switch")["waits_for"] == "gate"
    # A task that failed, or never came to an answer.
    assert rollout.rollout_paused({"failed": True, "msg": "no such zone."}, "rollout", "")["why"] == "no such zone"
    assert rollout.rollout_paused({}, "rollout")["waits_for"] == "gate"


def test_a_paused_rollout_has_no_batch_that_did_not_come_to_its_end():
    local = {"__rollout": PLANNED, "__rolling_reached": ["a"], "__rollout_paused": {"point": "batch"}}
    assert rollout.rollout_unfinished({"localhost": local}) == []


def test_the_problems_of_gates_as_yaml_reads_them():
    import datetime

    gates = [{"before": "rollout", "freeze": {"dates": [datetime.date(2026, 12, 24)]}}]
    assert rollout.rollout_gate_problems(gates, "finish", "900") == []
    assert "put it in quotes" in rollout.rollout_gate_problems([{"before": "batch", "freeze": {"from": 960}}], "finish", 900)[0]


def test_a_judge_that_broke_off_has_seen_nothing_well():
    def action(judged, policy="ask", waited=10):
        decided = rollout.rollout_canary_decision(judged, policy, waited, "1m", {}, 0, ["app1"])
        assert [one["why"] for one in decided.pop("verdicts")] == [judged.get("sentence") or judged.get("msg") or ""]
        return decided

    assert action({"verdict": "pass", "sentence": "well"}) == {"action": "go_on", "why": "well", "watched": 10.0}
    assert action({"verdict": "fail", "sentence": "worse"})["action"] == "undo"
    assert action({"failed": True, "msg": "no SciPy"}) == {"action": "ask", "why": "no SciPy", "watched": 10.0}
    assert action({}, "wait")["action"] == "wait"
    assert action({}, "wait", 60)["action"] == "ask"


def test_an_unfinished_canary_is_known_only_when_it_is_gone_on_with():
    journal = {"events": [{"event": "planned", "hosts": [], "details": {"canary": ["a"]}}]}
    assert rollout.rollout_canary_known({"resumed": True, "journal": journal})["hosts"] == ["a"]
    assert rollout.rollout_canary_known({"resumed": False, "journal": journal})["hosts"] == []


def test_who_is_taken_out_is_so_on_every_balancer_and_the_others_are_as_before():
    before = {name: {"a": {"state": "enabled", "weight": 5}, "b": {"state": "drained", "weight": 1}} for name in ("lb1", "lb2")}
    assert rollout.rollout_without(before, ["a"]) == {
        name: {"a": {"state": "disabled", "weight": 5}, "b": {"state": "drained", "weight": 1}} for name in ("lb1", "lb2")
    }


@pytest.mark.parametrize(
    "variables, members",
    [
        ({"blue_green_color": "blue"}, {"blue": "a"}),
        ({"blue_green_color": "blue", "rollout_member": "web-a"}, {"blue": "web-a"}),
        ({"blue_green_members": {"blue": "a-b", "green": "a-g"}, "blue_green_color": ""}, {"blue": "a-b", "green": "a-g"}),
        ({}, {}),
    ],
)
def test_the_colours_of_a_host(variables, members):
    found = rollout.rollout_colors(["a"], {"a": variables}, [], {"resumed": False, "journal": {}}, "")
    assert {color: of["a"] for color, of in found["members"].items()} == members


def test_all_of_the_traffic_for_one_colour():
    assert rollout.rollout_color_groups({"blue": ["a"], "green": ["b"]}, "green") == {
        "blue": {"members": ["a"], "share": 0},
        "green": {"members": ["b"], "share": 100},
    }


@pytest.mark.parametrize(
    ("entry", "counts"),
    [
        ({"provider": "haproxy"}, True),
        ({"provider": "nginx"}, False),
        ({"provider": "traefik", "metrics_url": "http://lb1:8080/metrics"}, True),
        ({"provider": "traefik"}, False),
        ({"provider": "command", "counters": ["count"]}, True),
        ({"provider": "command"}, False),
        ({"provider": "nothing like that"}, False),
    ],
)
def test_who_counts(entry, counts):
    assert rollout.rollout_counting([{"provider": "haproxy"}, entry]) is counts


class TestLease:
    """Of what tasks have registered, and at the machine's own time."""

    @pytest.fixture
    def lease(self):
        about = {"service": "shop", "rollout": "r-7", "fence": 7, "ttl": 100}
        return lambda age: fence.held(about, read(Clock()).later(-age))

    def test_the_newest_of_the_service_counts(self, lease):
        old, new = lease(60), lease(10)
        returned = {"traffic_drained": {"lease": new}, "traffic_returned": SKIPPED}
        variables = {"__rollout_begun": {"lease": old}, "__rollout_recorded": None, **returned}
        assert rollout.rollout_lease(variables, "shop") == new
        assert rollout.rollout_lease(variables, "cart") == {}

    def test_it_wanes_when_less_than_half_is_left(self, lease):
        assert [rollout.rollout_lease_wanes(lease(age)) for age in (40, 50, 500)] == [False, True, True]
        assert rollout.rollout_lease_wanes({}) is False

    @pytest.mark.parametrize(
        ("own", "of_all", "deployed_to"),
        [
            ({}, {}, True),
            ({"__rollout_failed": "hook after_drain"}, {}, False),
            ({}, {"__rollout": {"there": ["a"]}}, False),
            # On the way back it is deployed to all the same.
            ({}, {"__rollout": {"there": ["a"]}, "__rollback": {"hosts": ["a"]}}, True),
            ({"__rollout_failed": "no release is known"}, {"__rollback": {"hosts": ["a"]}}, False),
        ],
    )
    def test_who_is_deployed_to(self, lease, own, of_all, deployed_to):
        hostvars = {"localhost": {"__rollout": {"there": []}, "__rollback": {"hosts": []}, **of_all}, "a": own}
        assert rollout.rollout_may_go_on(hostvars, "a", "shop") is deployed_to
        own["__rollout_begun"] = {"lease": lease(80)}
        assert rollout.rollout_may_go_on(hostvars, "a", "shop") is deployed_to
        own["__rollout_begun"] = {"lease": lease(95)}
        if deployed_to:
            with pytest.raises(AnsibleFilterError):
                rollout.rollout_may_go_on(hostvars, "a", "shop")

    def test_a_task_after_its_end_fails_in_words(self, lease):
        assert rollout.rollout_lease_is_good(lease(80)) is rollout.rollout_lease_is_good({}) is True
        with pytest.raises(AnsibleFilterError, match="This task was not begun: nothing is written any more.*rollout_lease_ttl"):
            rollout.rollout_lease_is_good(lease(95))
