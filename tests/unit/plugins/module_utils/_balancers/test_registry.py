# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a user writes to drivers."""

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import registry
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.base import Balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change, Member


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


def named(entries, pools=("shop",)):
    return [(entry["name"], entry["pool"]) for entry in registry.by_pool(entries, [*pools])]


def test_a_balancer_with_one_pool_keeps_its_name():
    assert named([{"host": "a"}, {"host": "b"}]) == [("a", ["shop"]), ("b", ["shop"])]
    assert named([{"host": "a", "pool": ["web"]}]) == [("a", ["web"])]


def test_one_with_several_pools_is_named_after_each():
    assert named([{"host": "a"}, {"host": "b", "pool": ["x"]}], ["web", "api", "web"]) == [
        ("a/web", ["web"]),
        ("a/api", ["api"]),
        ("b", ["x"]),
    ]
    assert named([{"host": "a", "pool": ["web"]}, {"host": "a", "pool": ["api"], "names": {"m1": "s1"}}]) == [
        ("a/web", ["web"]),
        ("a/api", ["api"]),
    ]


def test_what_was_parted_stays_as_it_is():
    entries = registry.by_pool([{"host": "a"}], ["web", "api"])
    assert registry.by_pool(entries, ["web", "api"]) == entries


def test_balancers_that_cannot_be_told_apart_are_refused():
    with pytest.raises(InvalidInput, match="Several balancers are called a/shop, b/shop:"):
        named([{"host": "b"}, {"host": "a"}, {"name": "b"}, {"name": "a"}, {"name": "c"}])


def test_none_at_all():
    with pytest.raises(InvalidInput, match="`balancers` is empty"):
        named([])


def test_an_entry_without_a_pool():
    with pytest.raises(InvalidInput, match="Balancer b has no `pool`"):
        named([{"host": "a", "pool": ["web"]}, {"host": "b"}], [])


def test_a_version_that_is_too_old_is_refused_with_both(monkeypatch):
    caddy = dataclasses.replace(registry.PROVIDERS["caddy"], minimum="2.7")
    monkeypatch.setitem(registry.PROVIDERS, "caddy", caddy)
    assert registry.too_old("caddy", "v2.6.2") == "Caddy 2.7 or later is required; this is v2.6.2."
    assert [registry.too_old("caddy", version) for version in ("2.7", "2.11.7", "unknown", "")] == [""] * 4


@pytest.mark.parametrize("provider", registry.DECLARED, ids=lambda provider: provider.name)
def test_every_provider_is_declared_whole(provider):
    driver = provider.driver()
    assert issubclass(driver, Balancer) and driver.provider == provider.name
    if provider.capabilities.weight_range:
        low, high = provider.capabilities.weight_range
        assert 0 <= low < high
    assert provider.name in registry.BALANCER_OPTIONS["provider"]["choices"]
    assert provider.verified
    assert {*provider.remarks} <= {field.name for field in dataclasses.fields(provider.capabilities)}
    assert {option for group in provider.one_of for option in group} <= {*provider.options}
    for option in provider.options.values():
        assert all(sentence.endswith(".") for sentence in option.sentences)


def test_an_option_of_several_providers_has_one_type():
    for name, having in registry.documented().items():
        assert name not in registry.COMMON
        assert (
            len({(option.type, option.elements, option.choices, option.secret) for _provider, option in having}) == 1
        ), name


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"socket": "/x", "sokket": 1},
            "provider haproxy has no `sokket` (its own options are: address, server_options, socket, state_file)",
        ),
        ({}, "provider haproxy takes exactly one of `socket`, `address`"),
        ({"socket": "/x", "address": "h:1"}, "provider haproxy takes exactly one of `socket`, `address`"),
        ({"socket": ""}, "`socket` is empty"),
        ({"socket": "/x", "timeout": 0}, "`timeout` is 0 s and must be more than 0"),
        ({"socket": "/x", "timeout": -1.0}, "`timeout` is -1 s and must be more than 0"),
        ({"socket": "/x", "timeout": float("nan")}, "`timeout` is nan s and must be more than 0"),
    ],
)
def test_options_that_do_not_fit_the_provider(options, said):
    with pytest.raises(InvalidInput) as error:
        registry.open_balancer({"provider": "haproxy", "name": "lb", **options})
    assert error.value.message == f"Balancer lb: {said}. Nothing was touched."


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ([{"provider": "haproxy", "socket": "/x", "name": "lb"}], []),
        ("lb1", ["The balancers are to be a list of dictionaries, each with a `provider`."]),
        (["lb1"], ["The balancers are to be a list of dictionaries, each with a `provider`."]),
        ([{"name": "lb", "provider": "haproxy"}], ["Balancer lb: provider haproxy takes exactly one of `socket`, `address`."]),
        ([{"name": "lb", "socket": "/x"}], ["Balancer lb: missing required arguments: provider."]),
        ([{"provider": "haproxy", "sokket": "/x"}], ["sokket. Supported parameters include"]),
        ([{"provider": "haprxy"}, {"provider": "haproxy"}], ["Balancer balancer: value of provider must be", "exactly one of"]),
    ],
)
def test_what_can_be_told_without_asking_anybody(entries, said):
    found = registry.problems(entries)
    assert [words in sentence for words, sentence in zip(said, found)] == [True] * len(said) == [True] * len(found), found


def test_what_is_not_given_is_what_the_provider_declares():
    driver = registry.open_balancer({"provider": "haproxy", "address": "h:1", "server_options": None, "socket": None})
    assert driver.server_options == "check inter 2s"


def test_members_by_other_names():
    driver = registry.open_balancer({"provider": "haproxy", "address": "h:1", "names": {"m1": "b1"}})
    seen = [Member("b1", "h:2", "enabled", 1, "up"), Member("b2", "h:3", "enabled", 1, "up")]
    asked = []
    driver.driver.members = lambda pool: seen
    driver.driver.apply = lambda pool, changes, distrust=False: asked.append((changes, distrust)) or seen
    for method in ("cut", "remove", "add"):
        setattr(driver.driver, method, lambda *args, method=method: asked.append((method, *args)))
    assert [member.name for member in driver.members("app")] == ["m1", "b2"]
    assert [member.name for member in driver.apply("app", [Change("m1", "drained"), Change("b2", None, 3)], True)] == [
        "m1",
        "b2",
    ]
    driver.cut("app", ["m1"])
    driver.remove("app", ["m1", "b2"])
    driver.add("app", "m1", "h:2", 5)
    assert asked == [
        ([Change("b1", "drained"), Change("b2", None, 3)], True),
        ("cut", "app", ["b1"]),
        ("remove", "app", ["b1", "b2"]),
        ("add", "app", "b1", "h:2", 5),
    ]
    assert (driver.provider, driver.endpoint, driver.capabilities) == ("haproxy", "h:1", driver.driver.capabilities)


def test_two_members_of_one_name():
    with pytest.raises(InvalidInput, match="several members the same name"):
        registry.open_balancer({"provider": "haproxy", "address": "h:1", "names": {"m1": "b1", "m2": "b1"}})


def test_a_driver_knows_its_name_and_place(tmp_path):
    driver = registry.open_balancer(
        {"provider": "haproxy", "socket": str(tmp_path / "s"), "name": "lb", "timeout": 2.0}
    )
    assert (driver.provider, driver.name, driver.endpoint) == ("haproxy", "lb", str(tmp_path / "s"))
