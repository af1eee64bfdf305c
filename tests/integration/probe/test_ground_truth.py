# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the probe tells, held against what was done, what an independent client counted, and what HAProxy wrote down."""

from __future__ import annotations

import json
import os
import stat
import time
from collections import Counter
from pathlib import Path

from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe.caller import USER_AGENT
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import until
from ansible_collections.zero_downtime.deploy.tests.integration.probe import client as independent
from ansible_collections.zero_downtime.deploy.tests.integration.probe.client import Client


def assert_whole(stopped):
    """The file has every line whole, its end too, and says the same as the result."""
    path = Path(stopped["path"])
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    text = path.read_text(encoding="utf-8")
    header, *lines = [json.loads(line) for line in text.splitlines()]
    assert text.endswith("\n") and lines[-1]["ended"] == stopped["ended"] == "it was told to stop"
    counted = Counter()
    for line in lines:
        for second in line["seconds"]:
            counted.update(second.get("outcomes", {}))
    assert counted == stopped["felt"]["outcomes"] and header["rate"] == stopped["felt"]["rate"]


def test_every_way_of_failing_is_counted_to_the_request(balancer, members, probe):
    """So many answers are spoilt in each way; whoever of the two clients met them, together they have met each once."""
    spoilt = {"cut": 6, "cut_chunked": 5, "error": 7, "close": 4, "reset": 3, "garbage": 2, "hang": 4}
    with Client(balancer.port, timeout=1.0) as client:
        probe.start(f"http://127.0.0.1:{balancer.port}/", rate=80.0, timeout=1.0, version_header="X-Version")
        for member in members:
            member.spoil(**spoilt)
        for member in members:
            until("all of it is done", member.spoil, lambda left: not any(left.values()))
        probe.wait_for(20)
    stopped = probe.run("stopped")
    felt = stopped["felt"]
    together = Counter(felt["outcomes"]) + client.outcomes
    # What comes of no answer, or of a bad one, HAProxy turns into a 502.
    assert {kind: count for kind, count in together.items() if kind != "ok"} == {
        "truncated": 2 * (spoilt["cut"] + spoilt["cut_chunked"]),
        "status": 2 * (spoilt["error"] + spoilt["close"] + spoilt["reset"] + spoilt["garbage"]),
        "timeout": 2 * spoilt["hang"],
    }
    assert felt["failed"] == len(felt["failures"]) > 5
    # An answer that breaks off says who gave it, and one that never came does not.
    assert all(bool(one["version"]) == (one["outcome"] == "truncated") for one in felt["failures"])
    assert set(felt["versions"]) == {"m1", "m2", ""} and felt["late"] == 0
    assert_whole(stopped)


def test_members_that_are_killed(balancer, members, probe):
    """Whatever HAProxy says of each request that it served, the one who sent it says the same."""
    with Client(balancer.port, timeout=20.0) as client:
        probe.start(f"http://127.0.0.1:{balancer.port}/", rate=100.0, timeout=20.0, version_header="X-Version")
        probe.wait_for(50)
        began = time.time()
        for member in (*members, *members):
            member.kill()
            probe.wait_for(50)
            member.start()
            probe.wait_for(50)
    ended = time.time()
    stopped = probe.run("stopped")
    felt = stopped["felt"]
    # The first look, when the probe was started, is in the log, too.
    probed = Counter(felt["outcomes"]) + Counter(ok=1)
    assert probed == balancer.logged(USER_AGENT, sum(probed.values()))
    assert client.outcomes == balancer.logged(independent.USER_AGENT, sum(client.outcomes.values()))
    assert felt["failed"] > 0 and felt["late"] == 0
    # A request that was under way at the first death was sent a moment before it.
    assert began - 1 < felt["first_failure"] <= felt["last_failure"] < ended
    assert_whole(stopped)


def test_every_way_in_which_a_balancer_itself_fails(balancer, members, probe):
    """Each URL fails in its own way, and they take turns: how many of each there must be is known."""
    members[0].spoil(garbage=10_000)
    front = f"http://127.0.0.1:{balancer.port}"
    ways = {
        f"{front}/unavailable": "status",
        f"{front}/reject": "closed",
        f"{front}/drop": "timeout",
        f"http://127.0.0.1:{balancer.garbage_port}/": "garbled",
        f"http://127.0.0.1:{balancer.nobodys_port}/": "refused",
        f"https://127.0.0.1:{balancer.port}/": "tls",
    }
    started = probe.start(*ways, rate=60.0, timeout=0.5)
    assert len(started["warnings"]) == len(ways)
    probe.wait_for(60)
    stopped = probe.run("stopped")
    felt = stopped["felt"]
    assert felt["late"] == 0 and felt["failed"] == felt["requests"] >= 60
    share, rest = divmod(felt["requests"], len(ways))
    assert felt["outcomes"] == {way: share + (number < rest) for number, way in enumerate(ways.values())}
    assert all(ways[failure["url"]] == failure["outcome"] for failure in felt["failures"])
    assert_whole(stopped)


def test_a_balancer_that_is_killed(balancer, probe):
    """Nobody is left to count but the probe: what it has of the time before and after, the log has, too."""
    probe.start(f"http://127.0.0.1:{balancer.port}/", rate=100.0)
    probe.wait_for(50)
    down = time.time()
    balancer.server.stop()
    probe.wait_for(100)
    balancer.start()
    up = time.time()
    probe.wait_for(100)
    stopped = probe.run("stopped")
    felt = stopped["felt"]
    answered = felt["outcomes"]["ok"] + 1
    assert answered == sum(balancer.logged(USER_AGENT, answered).values())
    # Those that were under way when it died: a few at most.
    under_way = felt["failed"] - felt["outcomes"]["refused"]
    assert 0 <= under_way <= 10 and felt["outcomes"]["refused"] >= 50
    assert down - 1 < felt["first_failure"] <= felt["last_failure"] < up
    assert felt["disturbance"] == round(felt["last_failure"] - felt["first_failure"], 3)
    assert_whole(stopped)
