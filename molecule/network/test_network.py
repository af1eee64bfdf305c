# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must hold when the network is bad, or parted: no request fails, and once it is mended one more command sets things right."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scenario import figures
from scenario.fleet import journal, lab, lease_is_free, look, pools, until, versions
from scenario.load import Load
from scenario.places import BALANCERS, HOSTS
from scenario.releases import build
from scenario.runs import Run

HOOKS = Path(__file__).with_name("hooks")
AT_LEAST = 3000


@pytest.fixture(autouse=True)
def mended() -> Iterator[None]:
    """However a test ends, its successor has good lines."""
    yield
    lab("link", *HOSTS, *BALANCERS)


def settled(before: dict[str, Any], after: dict[str, Any], to: str, outcome: str) -> None:
    """One version everywhere, states and weights as before, nothing in the way of the next rollout."""
    assert versions(after) == dict.fromkeys(HOSTS, to)
    assert pools(after) == pools(before)
    assert lease_is_free(after)
    assert journal(after)["outcome"] == outcome


def unharmed(clients: Load, case: str, **more: Any) -> None:
    """Stop the clients, whom nothing happened."""
    report = clients.stop()
    figures.keep(case, report, **more)
    assert report["failed"] == 0, report["failures"]
    assert report["requests"] >= AT_LEAST


def test_a_bad_network(clients: Load) -> None:
    """Two of a hundred packets are lost on every line, and those to the hosts are slow: it takes longer, and nothing else."""
    build("2.0.0")
    before = look()
    clients.start(AT_LEAST)
    lab("link", *BALANCERS, "--loss", "2")  # and not slow: what their users ask for would not fit through
    lab("link", *HOSTS, "--loss", "2", "--kbit", "2000")
    run = Run("bad", "zero_downtime.deploy.rolling", rollout_hosts="shop", rollout_version="2.0.0")
    assert run.wait() == 0, run.output
    lab("link", *HOSTS, *BALANCERS)
    settled(before, look(), "2.0.0", "succeeded")
    unharmed(clients, "loss and slow lines", seconds=run.seconds)


@pytest.mark.parametrize(
    ("case", "to", "disturbed", "named"),
    [
        ("controller and host parted", "2.1.0", ["app3", "--cut", "controller"], "app3"),
        ("controller and balancer parted", "2.2.0", ["lb2", "--cut", "controller:22"], "lb2"),
        ("balancer and host parted", "2.3.0", ["lb2", "--cut", "app3"], "app3"),
    ],
    ids=["host", "balancer", "between"],
)
def test_a_parted_network(clients: Load, case: str, to: str, disturbed: list[str], named: str) -> None:
    """While app3 is out for its deployment. Who cannot be put right is named; `rollback` does so once all reach each other again."""
    build(to)
    before = look()
    (was,) = set(versions(before).values())
    clients.start(AT_LEAST)
    run = Run(
        named, "zero_downtime.deploy.rolling", rollout_hosts="shop", rollout_version=to,
        rollout_hooks=str(HOOKS), disturbed=disturbed, traffic_health_timeout=8,
    )  # fmt: skip
    assert run.wait() != 0
    words = run.last_words()
    assert "NOT undone, look at them now" in words and named in words
    lab("link", *HOSTS, *BALANCERS)
    until(lambda: all(m["status"] in ("UP", "MAINT") for pool in pools(look()).values() for m in pool.values()), "all seen again")
    parted = look()
    assert lease_is_free(parted) and journal(parted)["outcome"] == "rollback_failed"
    assert all(version == was or host in words for host, version in versions(parted).items())

    back = Run(f"{named}-back", "zero_downtime.deploy.rollback", rollout_hosts="shop")
    assert back.wait() == 0, back.output
    settled(before, look(), str(was), "rolled_back")
    unharmed(clients, case, seconds=run.seconds, seconds_back=back.seconds)
