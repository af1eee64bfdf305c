# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import threading

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.crew import Crew


def collect(crew, count):
    reports = []
    while len(reports) < count:
        reports += crew.collect(30)
    return {report.job: report for report in reports}


def test_jobs_run_side_by_side():
    together = threading.Barrier(3)
    crew = Crew(lambda job: (together.wait(30), job * 10)[1], 3, Clock())
    for job in range(3):
        crew.start(job)
    reports = collect(crew, 3)
    assert {job: report.result for job, report in reports.items()} == {0: 0, 1: 10, 2: 20}
    crew.dismiss()


def test_threads_are_used_again():
    threads = set()
    crew = Crew(lambda _job: threads.add(threading.get_ident()), 3, Clock())
    for job in range(5):
        crew.start(job)
        collect(crew, 1)
    assert len(threads) == 1
    crew.dismiss()


def test_an_error_is_reported():
    crew = Crew(lambda job: 1 // job, 1, Clock())
    crew.start(0)
    assert isinstance(collect(crew, 1)[0].error, ZeroDivisionError)
    crew.dismiss()


def test_nothing_to_report():
    assert Crew(lambda job: job, 1, Clock()).collect(0) == []


def test_dismissed_threads_end():
    before = set(threading.enumerate())
    crew = Crew(lambda job: job, 2, Clock())
    crew.start(1)
    (thread,) = set(threading.enumerate()) - before
    crew.dismiss()
    thread.join(30)
    assert not thread.is_alive()
