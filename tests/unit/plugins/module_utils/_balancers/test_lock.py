# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One writer at a time, among real processes."""

from __future__ import annotations

import multiprocessing
import signal
import tempfile

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.lock import LONGEST_WAIT, only_writer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import Refused, TimedOut

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def locks(tmp_path, monkeypatch):
    """Locks of this test's own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


class Impatient(Clock):
    """A clock whose time passes by sleeping alone."""

    time = 0.0

    def monotonic(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds


def _hold(what, held):
    with only_writer(what, Clock()):
        held.send(True)
        signal.pause()


@pytest.fixture
def holder():
    """Another process that holds the lock of `pool`."""
    held, tell_held = FORK.Pipe(duplex=False)
    process = FORK.Process(target=_hold, args=("pool", tell_held))
    process.start()
    assert held.poll(30)
    yield process
    process.kill()
    process.join()


def test_another_process_is_waited_for_and_then_named(holder, locks):
    clock = Impatient()
    with pytest.raises(TimedOut, match=r"so nothing was touched. Find it with `fuser .*\.lock`"):
        with only_writer("pool", clock):
            raise AssertionError("two writers")
    assert clock.time >= LONGEST_WAIT


def test_other_pools_are_not_waited_for(holder):
    with only_writer("another pool", Impatient()):
        pass


def test_the_lock_of_a_process_that_was_killed_is_free(holder):
    holder.kill()
    holder.join()
    with only_writer("pool", Impatient()):
        pass


def test_a_failure_inside_frees_it():
    with pytest.raises(ZeroDivisionError), only_writer("pool", Impatient()):
        raise ZeroDivisionError
    with only_writer("pool", Impatient()):
        pass


def test_nobody_else_can_read_it_or_lead_it_elsewhere(locks):
    with only_writer("pool", Clock()):
        (path,) = locks.iterdir()
        assert path.stat().st_mode & 0o777 == 0o600
    path.unlink()
    path.symlink_to(locks / "elsewhere")
    with pytest.raises(Refused, match="nothing was touched"), only_writer("pool", Clock()):
        raise AssertionError("a lock behind a link")
    assert not (locks / "elsewhere").exists()


def _add(path, times):
    for _each in range(times):
        with only_writer("pool", Clock()):
            count = int(path.read_text()) + 1
            path.write_text(str(count))


def test_nothing_is_lost_between_processes(locks):
    path = locks / "count"
    path.write_text("0")
    processes = [FORK.Process(target=_add, args=(path, 20)) for each in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert path.read_text() == "80"
