# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a user writes to drivers."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import registry
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.base import Balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput


@pytest.mark.parametrize(
    ("entry", "name"),
    [
        ({"name": "n", "host": "h", "address": "a:1", "socket": "/s"}, "n"),
        ({"name": None, "host": "h", "address": "a:1", "socket": "/s"}, "h"),
        ({"address": "a:1", "socket": None}, "a:1"),
        ({"socket": "/s"}, "/s"),
        ({}, "balancer"),
    ],
)
def test_what_a_balancer_is_called(entry, name):
    assert registry.balancer_name(entry) == name


def test_names_are_its_own():
    assert registry.balancer_names([{"host": "a"}, {"host": "b"}]) == ["a", "b"]
    with pytest.raises(InvalidInput, match="Several balancers are called a, b:"):
        registry.balancer_names([{"host": "b"}, {"host": "a"}, {"name": "b"}, {"name": "a"}, {"name": "c"}])


def test_none_at_all():
    with pytest.raises(InvalidInput, match="`balancers` is empty"):
        registry.balancer_names([])


@pytest.mark.parametrize("provider", sorted(registry.PROVIDERS))
def test_every_provider_says_what_it_can_do(provider):
    driver = registry.PROVIDERS[provider]
    assert issubclass(driver, Balancer) and driver.provider == provider
    low, high = driver.capabilities.weight_range
    assert 0 <= low < high
    assert provider in registry.BALANCER_OPTIONS["provider"]["choices"]


def test_a_driver_knows_its_name_and_place(tmp_path):
    driver = registry.open_balancer(
        {"provider": "haproxy", "socket": str(tmp_path / "s"), "name": "lb", "timeout": 2.0}
    )
    assert (driver.provider, driver.name, driver.endpoint) == ("haproxy", "lb", str(tmp_path / "s"))
