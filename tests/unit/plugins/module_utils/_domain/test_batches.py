# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Batches: sizes, order, and the spread over failure domains."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain import batches
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput

counts = st.integers(1, 30)
shares = st.integers(1, 100).map(lambda share: f"{share}%")
asked_sizes = st.lists(counts | counts.map(str) | shares, min_size=1, max_size=5)


@st.composite
def fleets(draw, equal=False):
    """Hosts of some domains, in any order, and the domain of each."""
    sizes = (
        [draw(st.integers(1, 6))] * draw(st.integers(1, 5))
        if equal
        else draw(st.lists(st.integers(1, 8), min_size=1, max_size=5))
    )
    domains = {f"{domain}-{number}": f"rack{domain}" for domain, size in enumerate(sizes) for number in range(size)}
    return draw(st.permutations(list(domains))), domains


@given(asked_sizes, st.integers(0, 60))
def test_every_host_is_in_exactly_one_batch(asked, total):
    hosts = [f"app{number}" for number in range(total)]
    sizes = batches.batch_sizes(asked, total)
    assert sum(sizes) == total and all(size > 0 for size in sizes)
    groups = batches.grouped(hosts, sizes)
    assert [host for group in groups for host in group] == hosts
    assert [len(group) for group in groups] == sizes


@given(asked_sizes, st.integers(1, 60))
def test_each_batch_is_as_large_as_asked_and_only_the_last_one_smaller(asked, total):
    def wanted(step):
        if isinstance(step, str) and step.endswith("%"):
            return max(1, int(step[:-1]) * total // 100)
        return int(step)

    sizes = batches.batch_sizes(asked, total)
    for place, size in enumerate(sizes[:-1]):
        assert size == wanted(asked[min(place, len(asked) - 1)])
    assert sizes[-1] <= wanted(asked[min(len(sizes), len(asked)) - 1])


@pytest.mark.parametrize(
    ("asked", "total", "sizes"),
    [
        ([1, "25%"], 6, [1, 1, 1, 1, 1, 1]),
        ([1, "25%"], 8, [1, 2, 2, 2, 1]),
        ([1, "25%", "50%"], 10, [1, 2, 5, 2]),
        (["33%"], 10, [3, 3, 3, 1]),
        (["100%"], 7, [7]),
        (["1%"], 3, [1, 1, 1]),
        ([" 2 ", "50 %"], 6, [2, 3, 1]),
        ([9], 4, [4]),
        ([2], 0, []),
    ],
)
def test_counts_shares_and_ramps(asked, total, sizes):
    assert batches.batch_sizes(asked, total) == sizes


@pytest.mark.parametrize("step", ["", "half", 0, "0", "0%", "101%", -1, "-1", 1.5, "1.5", "%", None, "2 3", True])
def test_what_is_no_size_is_refused_and_named(step):
    with pytest.raises(InvalidInput) as refusal:
        batches.batch_sizes([1, step], 6)
    assert refusal.value.message == f"rolling_batches holds counts such as 2 and shares such as '25%', not {step!r}."


def test_no_size_at_all_is_refused():
    with pytest.raises(InvalidInput, match="rolling_batches is empty: name at least one size"):
        batches.batch_sizes([], 6)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("1,25%,50%", ["1", "25%", "50%"]),
        ("[1, '25%', \"50%\"]", ["1", "25%", "50%"]),
        (" 2 ", ["2"]),
        ("", []),
        ([], []),
        (2, [2]),
        ((1, "25%"), [1, "25%"]),
    ],
)
def test_a_list_is_one_also_as_text(given, meant):
    assert batches.as_list(given) == meant


@given(fleets(), st.data())
def test_the_order_holds_every_host_once_and_the_first_ones_first(fleet, data):
    hosts, domains = fleet
    first = data.draw(st.lists(st.sampled_from([*hosts, "stranger"]), max_size=6))
    ordered = batches.in_order(hosts, first, domains)
    leading = list(dict.fromkeys(host for host in first if host in hosts))
    assert sorted(ordered) == sorted(hosts)
    assert ordered[: len(leading)] == leading


@given(fleets(equal=True))
def test_of_equal_domains_each_round_has_one_host_of_every_domain(fleet):
    hosts, domains = fleet
    ordered = batches.in_order(hosts, [], domains)
    number = len(set(domains.values()))
    for start in range(0, len(ordered), number):
        assert len({domains[host] for host in ordered[start : start + number]}) == number
    # So a batch of at most that many hosts, begun anywhere, holds two of one domain only across two rounds, never three.
    for start in range(len(ordered)):
        window = [domains[host] for host in ordered[start : start + number]]
        assert max(map(window.count, window)) <= 2


@given(fleets(equal=True), st.integers(1, 5))
def test_batches_of_one_size_that_divides_the_number_of_equal_domains_hold_no_domain_twice(fleet, size):
    hosts, domains = fleet
    number = len(set(domains.values()))
    if number % size:
        return
    for group in batches.grouped(batches.in_order(hosts, [], domains), batches.batch_sizes([size], len(hosts))):
        assert len({domains[host] for host in group}) == len(group)


@given(fleets(), st.data())
def test_at_any_moment_every_domain_has_had_its_share_give_or_take_a_host(fleet, data):
    hosts, domains = fleet
    ordered = batches.in_order(hosts, [], domains)
    done = data.draw(st.integers(0, len(ordered)))
    begun = [domains[host] for host in ordered[:done]]
    racks = set(domains.values())
    for rack in racks:
        share = list(domains.values()).count(rack) / len(hosts)
        # Half a host for its own rounding, and its share of the others'. Up to three domains, that is less than a host.
        most = 0.5 + share * (len(racks) - 2) / 2
        assert abs(begun.count(rack) - share * done) <= most + 1e-9
        assert len(racks) > 3 or most < 1


@given(fleets())
def test_within_a_domain_and_without_domains_the_inventory_s_order_is_kept(fleet):
    hosts, domains = fleet
    ordered = batches.in_order(hosts, [], domains)
    for domain in set(domains.values()):
        assert [host for host in ordered if domains[host] == domain] == [
            host for host in hosts if domains[host] == domain
        ]
    assert batches.in_order(hosts, [], {}) == hosts


def test_hosts_of_groups_that_are_whole():
    groups = [["a"], ["b", "c"], ["d"]]
    assert batches.of_whole_groups(groups, ["d", "c", "b"]) == ["b", "c", "d"]
    assert batches.of_whole_groups(groups, ["c", "a"]) == ["a"]
    assert batches.of_whole_groups([], ["a"]) == []
