# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""In which other backends the servers of one are too."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.haproxy_pools import (
    Listed,
    comparable,
    going_with,
    others,
)


def found(*servers, pool="web"):
    """What is found: pool to members and reason."""
    return {other.name: (other.members, other.reason) for other in others(pool, servers)}


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("192.0.2.1", "80", "192.0.2.1 80"),
        ("::ffff:192.0.2.1", "80", "192.0.2.1 80"),
        ("2001:db8:0::1", "80", "2001:db8::1 80"),
        ("-", "0", None),
        ("-", "80", None),  # a slot whose name is not resolved
        ("0.0.0.0", "0", None),
        ("0.0.0.0", "80", None),  # the client's own destination
        ("::", "0", None),
    ],
)
def test_addresses_in_one_form(host, port, address):
    assert comparable(host, port) == address


def test_the_same_address():
    assert found(
        Listed("web", "a1", "192.0.2.1 80"),
        Listed("web", "a2", "192.0.2.2 80"),
        Listed("admin", "other-name", "192.0.2.1 80"),
        Listed("ports", "a2", "192.0.2.2 81"),
    ) == {"admin": (("a1",), "same address")}


def test_servers_without_an_address_are_not_the_same():
    assert found(Listed("web", "slot1", None), Listed("admin", "slot1", None)) == {}


def test_tracking_in_both_directions_and_by_way_of_others():
    servers = (
        Listed("checks", "c1", "192.0.2.9 1"),
        Listed("web", "a1", "192.0.2.1 80", "checks/c1"),
        Listed("web", "a2", "192.0.2.2 80"),
        Listed("socket", "s1", None, "web/a1"),
        Listed("more", "x", None, "socket/s1"),
        Listed("sibling", "y", None, "checks/c1"),
    )
    assert found(*servers) == {
        "checks": (("a1",), "a1 tracks checks/c1"),
        "socket": (("a1",), "tracks web/a1"),
        "more": (("a1",), "tracks web/a1"),
    }


def test_both_reasons_and_many_members():
    servers = [Listed("web", f"a{number}", f"192.0.2.{number} 80") for number in range(3)]
    servers += [Listed("api", f"a{number}", f"192.0.2.{number} 80", f"web/a{number}") for number in range(3)]
    assert found(*servers) == {"api": (("a0", "a1", "a2"), "same address, tracks web/a0 and 2 more")}


def test_tracking_within_the_pool_is_no_other_pool():
    assert found(Listed("web", "a1", "192.0.2.1 80"), Listed("web", "b1", None, "web/a1")) == {}


def test_servers_that_track_each_other_end_nothing():
    assert found(Listed("web", "a1", None, "api/a1"), Listed("api", "a1", None, "web/a1"))["api"][0] == ("a1",)


def test_a_thousand_members_in_four_pools():
    servers = [Listed(pool, f"a{n}", f"192.0.{n // 256}.{n % 256} 80", "" if pool == "web" else f"web/a{n}")
               for pool in ("web", "b", "c", "d") for n in range(1000)]  # fmt: skip
    assert {name: len(members) for name, (members, _reason) in found(*servers).items()} == {
        "b": 1000,
        "c": 1000,
        "d": 1000,
    }


def test_who_goes_up_and_down_with_the_servers_of_a_pool():
    servers = [
        Listed("checks", "c1", None),
        Listed("web", "a1", None, "checks/c1"),
        Listed("api", "x", None, "web/a1"),
        Listed("more", "y", None, "api/x"),
    ]
    assert going_with("web", servers) == {
        ("checks", "c1"): set(),
        ("web", "a1"): {"a1"},
        ("api", "x"): {"a1"},
        ("more", "y"): {"a1"},
    }
