# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold when a host, a balancer or the controller is lost: no request fails, and one more command sets it right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scenario import figures
from scenario.fleet import journal, lab, lease_is_free, left_behind, look, pool, pools, ssh, until, version, versions
from scenario.load import Load
from scenario.places import BALANCERS, HOSTS
from scenario.releases import build
from scenario.runs import Run
from scenario.watch import Watch

HOOKS = Path(__file__).with_name("hooks")
AT_LEAST = 3000
MINIMUM = 2  # traffic_min_available in the inventory
ANSIBLES_OWN = "/.ansible/tmp/"


def roll(name: str, to: str, **variables: Any) -> Run:
    """Start a rollout."""
    build(to)
    return Run(name, "zero_downtime.deploy.rolling", rollout_hosts="shop", rollout_version=to, **variables)


def unharmed(clients: Load, case: str, **more: Any) -> None:
    """Stop the clients, whom nothing happened."""
    report = clients.stop()
    figures.keep(case, report, **more)
    assert report["failed"] == 0, report["failures"]
    assert report["cut_by_death"] == 0
    assert report["requests"] >= AT_LEAST


def settled(before: dict[str, Any], after: dict[str, Any], to: str, outcome: str) -> None:
    """One version everywhere, states and weights as before, nothing in the way of the next rollout.

    A controller that is cut off in the middle of a task leaves the temporary directory that Ansible made for it.
    """
    assert versions(after) == dict.fromkeys(HOSTS, to)
    assert pools(after) == pools(before)
    assert lease_is_free(after)
    assert journal(after)["outcome"] == outcome
    assert not [path for paths in left_behind(after).values() for path in paths if ANSIBLES_OWN not in path]


@pytest.fixture
def read_only_balancer() -> Iterator[str]:
    """On lb2 the socket that the rollout uses answers questions, and nothing else."""
    config = "/etc/haproxy/haproxy.cfg"

    def give(level: str) -> None:
        ssh("lb2", f"sed -i '/admin.sock/s/level [a-z]*/level {level}/' {config} && systemctl restart haproxy")
        until(lambda: all(member["status"] == "UP" for member in pool("lb2").values()), "members up on lb2")

    give("operator")
    yield "lb2"
    give("admin")


def test_a_balancer_that_refuses(read_only_balancer: str, clients: Load) -> None:
    """What the other balancer had done by then is put back, and no host has been touched."""
    before = look()
    clients.start(AT_LEAST)
    run = roll("balancer", "2.0.0")
    code = run.wait()
    after = look()
    unharmed(clients, "a balancer refuses", seconds=run.seconds)

    assert code != 0
    settled(before, after, "1.0.0", "rolled_back")
    assert [host["shop"] for host in after["hosts"].values()] == [host["shop"] for host in before["hosts"].values()]
    assert f"Balancer {read_only_balancer}" in run.last_words()
    assert "No host had been touched" in run.last_words()


def test_a_host_without_power(clients: Load) -> None:
    """The others have their release back, the lost one stays out; once it is mended, `rollback` lets it in again."""
    before = look()
    clients.start(AT_LEAST)
    run = roll("power", "2.1.0", rollout_hooks=str(HOOKS))
    code = run.wait()
    without = look(without=("app3",))
    assert code != 0
    assert versions(without) == {**dict.fromkeys(HOSTS, "1.0.0"), "app3": None}
    for balancer in BALANCERS:
        then, now = pools(before)[balancer], pools(without)[balancer]
        assert now.pop("app3")["state"] == "disabled"
        assert now == {name: member for name, member in then.items() if name != "app3"}
    assert lease_is_free(without)
    assert journal(without)["outcome"] == "rollback_failed"
    assert "NOT undone, look at them now: app3" in run.last_words()

    lab("reset", "app3")
    back = Run("power-back", "zero_downtime.deploy.rollback", rollout_hosts="shop")
    assert back.wait() == 0, back.output
    settled(before, look(), "1.0.0", "rolled_back")
    unharmed(clients, "a host loses its power", seconds=run.seconds, seconds_back=back.seconds)


def test_a_controller_that_is_killed(clients: Load) -> None:
    """In the middle of the second batch. The same command goes on where it was, and finishes."""
    before = look()
    clients.start(AT_LEAST)
    run = roll("killed", "2.2.0")
    run.until_task("Put the release in place, activate it and restart the service", occurrence=2)
    run.kill()
    assert {pool(name)["app2"]["state"] for name in BALANCERS} == {"disabled"}
    assert version("app1") == "2.2.0"

    again = roll("killed-again", "2.2.0")
    with Watch() as watch:
        assert again.wait() == 0, again.output
    assert watch.fewest >= MINIMUM
    after = look()
    settled(before, after, "2.2.0", "succeeded")
    assert len(journal(after)["attempts"]) == 2
    unharmed(clients, "the controller is killed", seconds_again=again.seconds)


def test_a_controller_that_is_interrupted(clients: Load) -> None:
    """With Ctrl-C in the second batch. Before that, nobody else could begin; after it, `rollback` brings all back."""
    before = look()
    was = version("app1")
    clients.start(AT_LEAST)
    run = roll("interrupted", "2.3.0")
    run.until_task("Put the release in place, activate it and restart the service", occurrence=1)
    other = roll("another", "2.4.0")
    assert other.wait() != 0
    assert "The lease of service shop is held by " in other.last_words()
    run.until_task("Put the release in place, activate it and restart the service", occurrence=2)
    run.interrupt()
    assert run.wait() != 0

    back = Run("rollback", "zero_downtime.deploy.rollback", rollout_hosts="shop")
    assert back.wait() == 0, back.output
    settled(before, look(), str(was), "rolled_back")
    unharmed(clients, "the controller is interrupted", seconds_back=back.seconds)
