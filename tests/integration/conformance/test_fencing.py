# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A task that was stopped in the middle of a wait, until its lease was over, writes to no balancer when it wakes."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Aside, bound_to
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import until
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.test_doors import BLUE_GREEN, GREEN_BLUE, Site

USABLE = 45.0  # seconds: a module starts within them on a slow and busy machine
CONNECTIONS = Path(__file__).parent / "connection"


@pytest.fixture
def site(make_haproxy, tmp_path, monkeypatch):
    monkeypatch.setenv("ANSIBLE_CONNECTION_PLUGINS", str(CONNECTIONS))
    return Site(tmp_path, make_haproxy(), make_haproxy())


def lease(seconds):
    """One under which may be written for so many seconds after the task has begun: how long Ansible takes for that is not the point."""
    running = "lookup('ansible.builtin.file', '/proc/uptime').split() | first | float"
    until = {"until": f"{{{{ now().timestamp() + {seconds} }}}}", "until_running": f"{{{{ ({running}) + {seconds} }}}}"}
    return {"service": "shop", "rollout": "r-7", "fence": 7, "ttl": 2 * seconds, **until}


def here(site):
    """Both balancers, each by way of the controller's own process."""
    return [{**{key: value for key, value in entry.items() if key != "host"}, "name": entry["host"]} for entry in site.entries()]


def members_out(balancers, good):
    return {
        "pool_member": {
            "balancers": balancers, "pool": "app", "members": ["m1"], "state": "disabled", "drain_timeout": 60, "hold": 60, "lease": good
        }
    }  # fmt: skip


def colours(balancers, good):
    return {
        "traffic_split": {
            "balancers": balancers, "pool": "app", "groups": GREEN_BLUE, "wait": True, "drain_timeout": 60, "hold": 60, "health": "none",
            "lease": good,
        }
    }  # fmt: skip


@pytest.mark.parametrize(("task", "way"), [(members_out, Site.entries), (colours, here)], ids=["members, by hosts", "colours, from here"])
def test_a_drain_that_overslept_writes_nothing_more(site, apps, task, way):
    entries = way(site)
    if task is colours:
        site.play({"traffic_split": {"balancers": entries, "pool": "app", "groups": BLUE_GREEN}})
    clients = [bound_to(rig.port, "m1") for rig in (site.lb1, site.lb2)]
    slow = [Aside(lambda client=client: client.get("/hold")) for client in clients]
    until("the requests are under way", lambda: apps["m1"].holding == 2)
    began = []
    leaving = Aside(lambda: site.play(task(entries, lease(USABLE)), began=began.append))
    until("m1 is out on both", lambda: site.states() == ["disabled"] * 2 or not leaving.runs, seconds=120)
    assert leaving.runs, leaving
    os.killpg(began[0], signal.SIGSTOP)
    assert leaving.runs, leaving
    time.sleep(USABLE + 0.1)
    # Another controller has its own idea of the pool.
    for rig in (site.lb1, site.lb2):
        rig.ask("set server app/m1 state ready")
        rig.ask("set server app/m1 weight 50")
        rig.ask("set server app/m2 state drain")
    apps["m1"].gate.set()
    for each in slow:
        each.ended()  # by an answer, or by a time limit of HAProxy's
    written = [rig.written() for rig in (site.lb1, site.lb2)]
    os.killpg(began[0], signal.SIGCONT)
    (late,) = leaving.ended().result
    assert late["failed"] and late["changed"], late
    for name in ("lb1", "lb2"):
        assert f"Balancer {name}, pool app: " in late["msg"], late["msg"]
    assert "nothing is written any more" in late["msg"] and "run the same command again" in late["msg"]
    assert "as it was before" not in late["msg"] and "as they were before" not in late["msg"]
    # What is left behind to hold members beyond a restart holds nothing either.
    site.lb2.restart()
    site.lb2.wait_until("it is back", lambda pool: pool["m1"].state == "enabled")
    assert site.lb1.written() == written[0]


def test_a_lease_that_is_over_is_no_reason_to_connect(site):
    (late,) = site.play(members_out(site.entries(), lease(-1)))
    assert late["failed"] and "Before anything was touched: nothing is written any more" in late["msg"]
    (wrong,) = site.play(members_out(site.entries(), {"fence": 7}))
    assert wrong["failed"] and "expected what zero_downtime.deploy.rollout returned as `lease`" in wrong["msg"]
    assert site.states() == ["enabled", "enabled"]


def test_a_module_on_another_host_goes_by_that_hosts_clock_from_before_it_was_sent(site, tmp_path):
    """Also when the controller was stopped after it had asked for the time there."""
    pause = tmp_path / "pause"
    for name in ("lb1", "lb2"):
        site.hosts[name].update(ansible_connection="elsewhere", ansible_elsewhere_pause=str(pause))
    pause.write_text("0")
    (done,) = site.play(members_out(site.entries(), lease(60)))
    assert done["changed"] and not done.get("failed"), done
    pause.write_text(str(USABLE))
    (late,) = site.play(
        {"pool_member": {"balancers": site.entries(), "pool": "app", "members": ["m2"], "state": "disabled", "lease": lease(USABLE)}}
    )
    assert late["failed"] and late["msg"].count("nothing is written any more") == 2, late
    assert site.states() == ["disabled"] * 2 and site.states("m2") == ["enabled"] * 2
