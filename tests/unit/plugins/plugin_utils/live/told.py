# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A rollout as Ansible tells of it, for the tests of the live view: the tasks of our roles, in a few words each."""

from __future__ import annotations

from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.live.hearing import (
    FAILED,
    OK,
    SKIPPED,
    Hearing,
    News,
    Result,
)

OURS = "zero_downtime.deploy."
SET_FACT = "ansible.builtin.set_fact"
GROUPS = [["app1"], ["app2", "app3"]]


class Told:
    """Tells a `Hearing` of tasks; every task takes a second.

    :attr now: the time.
    :attr news: what came of it, in words.
    """

    def __init__(self, hearing: Hearing | None = None) -> None:
        self.hearing = hearing or Hearing()
        self.now = 100.0
        self.news: list[News] = []

    @property
    def rollout(self):
        return self.hearing.rollout

    @property
    def batch(self):
        return self.hearing.rollout.batches[-1]

    def start(self, action, state=""):
        """A task begins; what it is given are templates still, but for a state that our role spells out."""
        given = {"state": state} if state == "disabled" else {"state": "{{ secret }}"}
        self.news += self.hearing.started(action, given, self.now)

    def end(self, action, kind=OK, host="app1", args=None, ignored=False, **result):
        self.news += self.hearing.heard(Result(kind, action, host, args or {}, result, ignored), self.now)

    def task(self, action, kind=OK, host="app1", args=None, lasts=1.0, **result):
        """A task from its start to its end."""
        self.start(action, (args or {}).get("state", ""))
        self.now += lasts
        self.end(action, kind, host, args, **result)

    def journal(self, action, **args):
        self.task(OURS + "rollout", args={"action": action, **args}, lasts=0.0)

    def record(self, event, *hosts, **details):
        self.journal("record", event=event, hosts=list(hosts), details=details)

    def fact(self, host="app1", **facts):
        self.task(SET_FACT, host=host, lasts=0.0, ansible_facts=facts)

    # Steps of our roles

    def begin(self, strategy="rolling", groups=None, lacks=("soak",), **more):
        self.journal("begin", service="shop", version="2.0", strategy=strategy, path="/secret")
        self.fact(__rollout={"groups": GROUPS if groups is None else groups, "lacks": dict.fromkeys(lacks, "never"), **more})

    def drain(self, problem="", **how):
        self.task(OURS + "pool_member", args={"state": "disabled"}, problem=problem, **how)

    def deploy(self, lasts=2.0):
        self.task("ansible.builtin.command", args={"argv": ["secret"]}, lasts=lasts)

    def check(self, *hosts, sick=(), lasts=1.0):
        targets = [{"name": host, "healthy": host not in sick, "seen": "HTTP 500."} for host in hosts]
        self.task(OURS + "health_check", targets=targets, lasts=lasts)
        # The other of the two tasks, for hosts that ask for themselves.
        self.task(OURS + "health_check", SKIPPED, lasts=0.0)

    def bring_back(self, problem=""):
        self.task(OURS + "pool_member", args={"state": "as_before"}, problem=problem)

    def good_batch(self, *hosts, reached=()):
        """A batch from its first to its last task; five seconds."""
        self.record("batch_begun", *hosts)
        self.drain()
        self.deploy()
        self.check(*hosts)
        self.bring_back()
        self.fact(__rolling_reached=[*reached, *hosts])

    def finish(self, outcome, *lines, failed=False):
        self.journal("finish", outcome=outcome, summary={"lines": list(lines), "failed": failed})

    # What is known

    def phases(self, batch=None):
        """Names and seconds of a batch's phases."""
        return [(phase.name, phase.seconds(self.now)) for phase in (batch or self.batch).phases]


__all__ = ["FAILED", "GROUPS", "OK", "OURS", "SET_FACT", "SKIPPED", "Told"]
