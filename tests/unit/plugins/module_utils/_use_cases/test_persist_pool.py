# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeping a pool beyond a restart, with balancers in memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import Refused
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import persist_pool
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils._use_cases.fake_balancer import (
    CAN_ALL,
    FakeBalancer,
)


@pytest.fixture
def pair(monkeypatch):
    balancers = {"lb1": FakeBalancer("lb1"), "lb2": FakeBalancer("lb2")}
    monkeypatch.setattr(persist_pool, "open_balancer", lambda entry: balancers[entry["name"]])
    return balancers


def persist(check=False):
    entries = [{"provider": "haproxy", "name": name} for name in ("lb1", "lb2")]
    return persist_pool.run({"balancers": entries, "pool": ["app"]}, check, FakeBalancer().clock)


def test_who_keeps_everything_by_itself_needs_nothing(pair):
    assert persist() == {
        "changed": False,
        "balancers": [{"name": name, "pool": "app", "changed": False} for name in ("lb1", "lb2")],
    }


def test_who_needs_it_writes_it_down(pair):
    asked = []
    pair["lb2"].persist = lambda pool, check_mode: asked.append((pool, check_mode)) or True
    assert [persist(check=True)["changed"], persist()["changed"]] == [True, True]
    assert asked == [("app", True), ("app", False)]


def test_who_cannot_is_named(pair):
    pair["lb2"].capabilities = replace(CAN_ALL, survives_reload=False)
    with pytest.raises(Refused, match="Balancer lb2: provider fake cannot keep states and weights"):
        persist()
