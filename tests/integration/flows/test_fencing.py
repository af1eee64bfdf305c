# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A controller that was stopped for longer than its lease is good, while another one did the work, changes nothing when it wakes."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
import urllib.request

import fleet
import pytest
from shops import CORES, RAMP, SOON

# So short that a test can sit it out; long enough for the waits below, which would make it longer by themselves otherwise.
LEASE = {
    "rollout_lease_ttl": 14,
    "traffic_drain_timeout": 4,
    "traffic_health_timeout": 4,
    "rollout_health_deadline": 10,
}
THERE = {"app1": "2.1", "app2": "2.1", "app3": "2.1"}


@pytest.fixture
def other(tmp_path):
    """Another controller, as far as it is one by its directories."""
    home = tmp_path / "other"
    (home / "tmp").mkdir(parents=True)
    return home


def stop(run):
    """All of its processes, as if the machine slept."""
    os.killpg(run.process.pid, signal.SIGSTOP)


def begun(run, task, times=1):
    """Wait until it has begun that task so often."""

    def there():
        assert run.process.poll() is None, run.output
        return len(re.findall(rf"^TASK \[.*{re.escape(task)}", run.output, re.MULTILINE)) >= times

    fleet.until(there, f"it does not come to the task '{task}', see {run.log}")


def wait_for_the_end_of(shop):
    """Until anybody may take the lease."""
    lease = json.loads((shop.journal / "shop" / "lease.json").read_text())
    end = time.mktime(time.strptime(lease["expires"], "%Y-%m-%dT%H:%M:%SZ")) - time.timezone
    time.sleep(max(0.0, end - time.time()) + 0.1)


def in_the_drain(shop, hold, start):
    address = f"http://127.0.0.1:{shop.fleet.port}/slow?seconds=10"
    request = urllib.request.Request(address, headers={"Cookie": "SRV=app1"})
    slow = threading.Thread(target=lambda: urllib.request.urlopen(request, timeout=20).read(), daemon=True)
    slow.start()

    run = start()
    fleet.until(lambda: shop.pool()["app1"][0] == "disabled", f"app1 is not drained, see {run.log}")
    return run


def before_the_deploy(shop, hold, start):
    run = start(rollout_hooks=hold())
    hold.until(run)
    return run


def while_its_health_is_looked_at(shop, hold, start):
    run = start("3.0")
    begun(run, "Check the hosts from the controller", 2)
    return run


def on_the_way_back(shop, hold, start):
    run = start(traffic_warmup=[10], traffic_warmup_step=2)
    begun(run, "Bring back into traffic")
    return run


@pytest.mark.parametrize(
    "point", [in_the_drain, before_the_deploy, while_its_health_is_looked_at, on_the_way_back], ids=lambda point: point.__name__
)
def test_a_controller_that_overslept_changes_nothing(shop, hold, other, point):
    def start(version="2.0", **more):
        batches = {"rolling_batches": [3]} if "rollout_hooks" in more else RAMP
        return shop.start_rolling(version, **{**LEASE, **batches, **more})

    late = point(shop, hold, start)
    stop(late)
    wait_for_the_end_of(shop)
    shop.roll("2.1", home=other).assert_good()
    shop.assert_as_ever(THERE)
    left = shop.all_of_it()
    hold.let_go()
    late.send(signal.SIGCONT)
    assert late.code not in (0, None), late.output[-3000:]
    assert shop.all_of_it() == left
    shop.assert_as_ever(THERE)
    assert "another controller may be at work by now" in late.output or "that lease is no longer its own" in late.output
    assert "Traceback" not in late.output


@pytest.mark.thorough
def test_a_step_that_outlasts_the_lease_is_no_reason_to_stop_while_nobody_else_comes(shop, hooks, notes):
    take_long = {"name": "Take long", "ansible.builtin.command": "sleep 14", "run_once": True}
    directory = hooks(after_deploy=[take_long], before_enable=[notes.task("enabling")])
    run = shop.roll("2.0", rollout_hooks=directory, rolling_batches=[3], **LEASE).assert_good()
    shop.assert_as_ever({"app1": "2.0", "app2": "2.0", "app3": "2.0"})
    assert len(notes.read()) == 3 and "3 hosts are on it" in run.output and shop.lease() is None


@pytest.mark.thorough
@CORES
def test_what_takes_longer_than_the_lease_inside_the_deployment_is_not_gone_on_with(shop, hooks, notes):
    take_long = {"name": "Take long", "ansible.builtin.command": "sleep 14", "run_once": True}
    directory = hooks(deploy=[take_long, notes.task("deploying")], on_rollback=[])
    run = shop.roll("2.0", rollout_hooks=directory, rolling_batches=[3], **{**LEASE, **SOON})
    run.assert_bad("FAILED in the batch", "took longer than rollout_lease_ttl (14 s)")
    assert notes.read() == []


def test_of_two_that_begin_at_once_one_works_and_the_other_says_who_does(shop, other):
    both = [shop.start_rolling("2.0", home=home, rolling_batches=[3]) for home in (None, other)]
    for run in both:
        run.wait()
    winner, loser = sorted(both, key=lambda run: run.code)
    winner.assert_good()
    loser.assert_bad("The lease of service shop is held by ", f"(process {winner.process.pid})", "Nothing was changed.")
    shop.assert_as_ever({"app1": "2.0", "app2": "2.0", "app3": "2.0"})
    assert len(shop.journals()) == 1
