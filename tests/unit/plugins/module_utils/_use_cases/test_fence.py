# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process that is stopped in the middle of its work writes nothing when it wakes, whatever it was about to write."""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.base import Balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import Late
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.fence import held
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.fence import Fence, Fenced, read
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.place import Place
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils._use_cases.fake_balancer import (
    CAN_ALL,
    FakeBalancer,
    FakeClock,
)

TTL = 100  # of which 89 s can be used
WRITES = {
    "heal": ("app",),
    "apply": ("app", []),
    "settle": ("app", ["m1"]),
    "cut": ("app", ["m1"]),
    "add": ("app", "m9", "127.0.0.1:1"),
    "remove": ("app", ["m1"]),
    "persist": ("app",),
}
READS = {
    "lock_name", "version", "members", "other_pools", "timing", "drains_first", "busy_sentence", "running", "counters", "served",
    "check_written",
}  # fmt: skip


def lease(clock):
    about = {"service": "shop", "rollout": "r-7", "fence": 7, "ttl": TTL}
    return held(about, read(clock))


def test_whatever_a_balancer_can_do_either_only_reads_or_is_fenced():
    methods = {name for name in vars(Balancer) if not name.startswith("_") and callable(getattr(Balancer, name))}
    assert methods == READS | set(WRITES)
    assert set(WRITES) == {name for name in vars(Fenced) if not name.startswith("_")}


@pytest.mark.parametrize("name", list(WRITES))
def test_no_write_of_a_late_owner_reaches_the_balancer(name):
    clock, reached = FakeClock(), []
    balancer = SimpleNamespace(name="lb1", **{name: lambda *args, **options: reached.append(args)})
    fenced = Fenced(balancer, Fence(lease(clock), clock))
    getattr(fenced, name)(*WRITES[name])
    clock.sleep(88.9)
    getattr(fenced, name)(*WRITES[name])
    assert len(reached) == 2
    clock.sleep(0.2)
    with pytest.raises(Late, match="Balancer lb1, pool app: nothing is written any more"):
        getattr(fenced, name)(*WRITES[name])
    assert len(reached) == 2


def test_what_is_held_beyond_the_task_is_held_no_longer_than_the_lease(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    clock = FakeClock()
    lb = FakeBalancer("lb", clock)
    lb.capabilities = replace(CAN_ALL, survives_reload=False)
    lb.running = lambda: ("1", clock.time)
    place = Place(lb, {"name": "lb", "pool": ["app"]}, {"hold": 500.0, "lease": lease(clock)}, clock)
    from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change

    place.keep_beyond([Change("m1", "disabled", 100)])
    asleep = place.hold
    asleep._running = lambda: ("2", 0.0)  # it has been restarted, and has forgotten
    clock.sleep(90)
    asleep._write_again(("2", 0.0))
    assert lb.wrote == []
    asleep.keep()
    assert clock.time < 100 and lb.wrote == []


def _worker(said, begun):
    barrier = Fence(lease(Clock()), Clock())
    barrier.check("In a run that lives")
    begun.set()
    while os.getppid() == multiprocessing.parent_process().pid:
        time.sleep(0.01)
    try:
        barrier.check("In a run that is gone")
        said.put("written")
    except Late as error:
        said.put(error.message)


def _run(said):
    context = multiprocessing.get_context("fork")
    begun = context.Event()
    context.Process(target=_worker, args=(said, begun)).start()
    begun.wait(20)
    os._exit(0)


def test_a_worker_writes_nothing_when_its_run_was_killed():
    """The next run on this machine takes the lease at once."""
    context = multiprocessing.get_context("fork")
    said = context.SimpleQueue()
    run = context.Process(target=_run, args=(said,))
    run.start()
    run.join(20)
    assert said.get().startswith("In a run that is gone: nothing is written any more. The run that this task belonged to is gone.")
