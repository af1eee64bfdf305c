# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Blue-green and canary with balancers other than HAProxy, whose flows are in tests/integration/flows: no request fails.

The demo's fleet, with other playbooks.  What a balancer does not count, a command counts: here it reads the clients' own record.
"""

from __future__ import annotations

import json
import sys

import pytest

from ansible_collections.zero_downtime.deploy.tests.integration.providers.shop import (
    BLUE,
    DEMO,
    GREEN,
    HOSTS,
    REQUESTS,
    Shop,
)
from ansible_collections.zero_downtime.deploy.tests.support.balancers.find import found

# `make test` runs the first of each list.
BLUE_GREEN = [name for name in ("envoy", "nginx", "apache", "traefik") if found(name)]
CANARY = [name for name in ("nginx", "envoy") if found(name)]

# Goes on where it stopped the last time: the judge asks every second, and the record grows.
COUNT = """
import json, os, sys
asked, record = json.load(sys.stdin), sys.argv[1]
place = ".".join([record, *asked["members"]])
known = {"read": 0, "requests": 0, "errors": 0}
if os.path.exists(place):
    with open(place) as file:
        known = json.load(file)
with open(record, "rb") as samples:
    samples.seek(known["read"])
    for line in samples:
        if not line.endswith(b"\\n"):
            break  # half written
        known["read"] += len(line)
        sample = json.loads(line)
        if sample.get("member") in asked["members"]:
            known["requests"] += 1
            known["errors"] += sample["outcome"] != "ok"
with open(place, "w") as file:
    json.dump(known, file)
print(json.dumps({"requests": known["requests"], "errors": known["errors"]}))
"""


@pytest.fixture
def shop(provider, tmp_path):
    """Version 1.0 on every host."""
    made = Shop(tmp_path, provider)
    try:
        made.good(str(DEMO / "first.yml"))
        yield made
    finally:
        made.fleet.stop()


@pytest.mark.parametrize("provider", BLUE_GREEN)
def test_blue_green_there_and_back_and_there_again(shop, provider):
    out = shop.work / "out.yml"
    out.write_text(
        json.dumps(
            [
                {
                    "hosts": "localhost",
                    "gather_facts": False,
                    "tasks": [
                        {
                            "zero_downtime.deploy.pool_member": {
                                "balancers": "{{ rollout_balancers }}",
                                "pool": "{{ rollout_pools }}",
                                "members": GREEN,
                                "state": "disabled",
                                "drain_wait": 0.1,
                            }
                        }
                    ],
                }
            ]
        )
    )
    shop.good(str(out))
    with shop.under_load("there") as load:
        shop.good("zero_downtime.deploy.blue_green", rollout_version="2.0", blue_green_bake=2)
        shop.good("zero_downtime.deploy.rollback")
        # Said in advance: with a gate before the end the old colour is kept until somebody promotes.
        gates = [{"before": "promotion", "approval": "all is well"}]
        given = {"blue_green_bake": 2, "rollout_gates": gates}
        assert "has paused" in shop.good("zero_downtime.deploy.blue_green", rollout_version="2.0", **given)
        shop.good("zero_downtime.deploy.promote", **given)
    assert load["failed"] == 0 and load["requests"] >= REQUESTS, (load["requests"], load["why"], load["failures"][:5])
    assert shop.serving() == GREEN
    assert shop.fleet.versions() == {**dict.fromkeys(BLUE, "1.0"), **dict.fromkeys(GREEN, "2.0")}


@pytest.mark.parametrize("provider", CANARY)
def test_a_canary_that_passes_and_one_that_fails(shop, provider):
    count = shop.work / "count.py"
    count.write_text(COUNT)

    def canary(version, under):
        samples = str(shop.fleet.run / f"load-{under}.samples")
        source = {"command": [sys.executable, str(count), samples]}
        metric = {"name": "errors", "kind": "errors", "source": source, "allowed_increase": "50%"}
        steps = [{"traffic": 20, "watch": 6}, {"hosts": "50%", "watch": 2}]
        return {"rollout_version": version, "canary_steps": steps, "canary_interval": 1, "canary_metrics": [metric]}

    with shop.under_load("good") as load:
        shop.good("zero_downtime.deploy.canary", **canary("2.0", "good"))
    assert load["failed"] == 0 and load["requests"] >= REQUESTS, (load["requests"], load["why"], load["failures"][:5])
    assert set(shop.fleet.versions().values()) == {"2.0"}
    with shop.under_load("bad") as load:
        said = shop.bad("zero_downtime.deploy.canary", **canary("3.1", "bad"))
    assert "1 host is back on 2.0, states and weights as before" in said
    # The release's own errors, and no other.
    assert set(load["why"]) == {"status"} and load["failed"] < 200, load["why"]
    assert set(shop.fleet.versions().values()) == {"2.0"} and shop.serving() == HOSTS
