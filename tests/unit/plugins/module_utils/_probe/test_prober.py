# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The pace of the prober, with callers and a clock that do as they are told."""

from __future__ import annotations

import threading
import time

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.felt import TOLD, Ended
from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe import prober as prober_module
from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe.caller import Unable
from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe.prober import OTHER, Prober

BEGAN = 1_763_790_000.25


class FakeWriter:
    """Keeps what is written; `full` refuses it."""

    def __init__(self):
        self.seconds, self.lines, self.ended, self.full = {}, 0, None, False

    def add(self, until, seconds, ended=None):
        if self.full:
            return False
        self.lines += 1
        for second in seconds:
            kept = self.seconds.setdefault(second.at, type(second)(second.at))
            kept.add(second)
        self.ended = ended
        return True

    def total(self, name):
        return sum(getattr(second, name) for second in self.seconds.values())


class FakeCaller:
    """Calls `behave` with the number of each request; it may return how that ended."""

    def __init__(self, behave=None, url="http://shop/"):
        self.behave, self.url, self.times, self.lock = behave, url, [], threading.Lock()

    def call(self, clock, timeout, at):
        with self.lock:
            self.times.append(at)
            number = len(self.times)
        behaved = self.behave(number) if self.behave else None
        return behaved or Ended(at, "ok", 1.0, "1.4.1", self.url)


def hanging(gate, count):
    """The first `count` requests end when the gate is opened."""

    def behave(number):
        if number <= count:
            gate.wait(30)

    return behave


def probe(callers, requests, rate=200.0, timeout=5.0, clock=None, writer=None):
    """Until so many requests were begun by the first of `callers`, and whatever is under way has ended."""
    writer = writer or FakeWriter()

    def over():
        return "enough" if len(callers[0].times) >= requests else None

    Prober(callers, rate, timeout, BEGAN, time.monotonic(), writer, over, clock or Clock()).run()
    return writer


def test_urls_take_turns_and_every_request_is_told():
    callers = [FakeCaller(url="a"), FakeCaller(url="b")]
    writer = probe(callers, 20)
    sent = [len(caller.times) for caller in callers]
    assert writer.total("requests") == sum(sent) and 0 <= sent[0] - sent[1] <= 1
    assert writer.ended == "enough" and writer.total("failed") == writer.total("late") == 0
    assert min(writer.seconds) == int(BEGAN)


def test_those_that_hang_hold_up_nobody():
    gate = threading.Event()
    caller = FakeCaller(hanging(gate, 5))

    def over():
        if len(caller.times) < 25:
            return None
        gate.set()
        return "enough"

    writer = FakeWriter()
    Prober([caller], 200.0, 30.0, BEGAN, time.monotonic(), writer, over, Clock()).run()
    # Those that hung were waited for, too.
    assert writer.total("requests") == len(caller.times) >= 25


def test_those_under_way_at_the_end_are_waited_for():
    gate, writer = threading.Event(), FakeWriter()
    caller = FakeCaller(hanging(gate, 1000))

    def over():
        if len(caller.times) < 3:
            return None
        threading.Timer(0.2, gate.set).start()
        return "enough"

    Prober([caller], 200.0, 30.0, BEGAN, time.monotonic(), writer, over, Clock()).run()
    assert writer.total("requests") == len(caller.times) >= 3 and writer.total("failed") == 0


def test_one_that_hangs_for_ever_is_told_as_a_timeout(monkeypatch):
    monkeypatch.setattr(prober_module, "OVERDUE", 0.1)
    gate = threading.Event()
    caller = FakeCaller(hanging(gate, 1))
    writer = probe([caller], 3, timeout=0.1)
    gate.set()
    (failure,) = [failure for second in writer.seconds.values() for failure in second.failures]
    assert (failure["outcome"], failure["url"]) == ("timeout", "http://shop/") and "hangs" in failure["why"]
    assert writer.total("requests") == len(caller.times)


class Jumping(Clock):
    """Jumps ahead once, as when the prober was stopped for a while."""

    def __init__(self, caller, seconds):
        self.caller, self.seconds = caller, seconds

    def monotonic(self):
        return super().monotonic() + (self.seconds if len(self.caller.times) >= 5 else 0)


def test_what_cannot_be_sent_in_time_is_counted_and_not_made_up_for():
    caller = FakeCaller()
    writer = probe([caller], 20, clock=Jumping(caller, 60))
    # 60 s at 200 a second; what was due in the last half second is sent.
    late = writer.total("late")
    assert 60 * 200 - 110 <= late <= 60 * 200 + 20
    assert writer.total("requests") == len(caller.times) < 200


def test_more_than_can_be_under_way_is_late(monkeypatch):
    monkeypatch.setattr(prober_module, "WORKERS", 3)
    gate, writer = threading.Event(), FakeWriter()
    caller = FakeCaller(hanging(gate, 1000))
    prober = Prober([caller], 200.0, 30.0, BEGAN, time.monotonic(), writer, lambda: None, Clock())

    def over():
        if sum(second.late for second in prober._seconds.values()) < 4:
            return None
        gate.set()
        return "enough"

    prober._over = over
    prober.run()
    assert len(caller.times) == writer.total("requests") == 3 and writer.total("late") >= 4


def test_what_this_machine_could_not_send_is_late():
    def unable(number):
        if number == 2:
            raise Unable("Too many open files")

    caller = FakeCaller(unable)
    writer = probe([caller], 5)
    assert (writer.total("late"), writer.total("requests")) == (1, len(caller.times) - 1)


def test_a_mistake_of_ours_is_not_hidden():
    def broken(number):
        raise KeyError(number)

    with pytest.raises(KeyError):
        probe([FakeCaller(broken)], 5)


def test_a_full_disk_loses_nothing():
    caller, writer = FakeCaller(), FakeWriter()
    writer.full = True

    def over():
        if len(caller.times) < 230:  # more than a second's
            return None
        writer.full = False
        return "enough"

    Prober([caller], 200.0, 5.0, BEGAN, time.monotonic(), writer, over, Clock()).run()
    assert writer.lines == 1 and writer.total("requests") == len(caller.times)


def test_versions_without_end_are_not_told_apart():
    caller = FakeCaller(lambda number: Ended(BEGAN, "ok", 1.0, "build %d" % number))
    writer = probe([caller], 100)
    versions = writer.seconds[int(BEGAN)].versions
    assert len(versions) <= prober_module.VERSIONS_MOST and sum(versions.values()) == len(caller.times)
    assert versions[OTHER] > 50


def test_of_an_outage_the_first_failures_are_told_one_by_one():
    caller = FakeCaller(lambda number: Ended(BEGAN, "reset", 1.0, why=str(number)))
    writer = probe([caller], 120)
    second = writer.seconds[int(BEGAN)]
    assert second.failed == len(caller.times) >= 120
    # Fifty at once, and one more each second.
    assert TOLD <= len(second.failures) <= TOLD + 3
