# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.agenda import Agenda


def taken(agenda, now):
    jobs = []
    while True:
        job = agenda.take(now)
        if job is None:
            return jobs
        jobs.append(job)


def test_jobs_come_when_they_are_due_and_there_is_room():
    agenda = Agenda(size=2, jobs=3)
    for job, due in enumerate((5.0, 1.0, 2.0)):
        agenda.plan(job, due)
    assert (taken(agenda, 0.0), agenda.next_due) == ([], 1.0)
    assert taken(agenda, 1.0) == [1]
    assert taken(agenda, 9.0) == [2]
    assert not agenda.room
    agenda.done(1)
    assert taken(agenda, 9.0) == [0]


def test_slow_jobs_leave_places_to_quick_ones():
    agenda = Agenda(size=8, jobs=20)
    for job in range(10):
        agenda.plan(job, 0.0, slow=True)
    assert len(taken(agenda, 1.0)) == 6
    agenda.plan(10, 2.0)
    assert taken(agenda, 2.0) == [10]


def test_quick_jobs_leave_places_to_slow_ones_that_wait():
    agenda = Agenda(size=8, jobs=20)
    for job in range(10):
        agenda.plan(job, 0.0)
    agenda.plan(10, 0.0, slow=True)
    assert 10 in taken(agenda, 1.0)


def test_with_a_place_for_each_none_is_kept_free():
    agenda = Agenda(size=8, jobs=8)
    for job in range(8):
        agenda.plan(job, 0.0, slow=True)
    assert len(taken(agenda, 1.0)) == 8
