# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traefik's services as its API lists them, without a Traefik."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import traefik_services
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.pools import OtherPool, Timing


def servers(*urls, **more):
    return {"loadBalancer": {"servers": [{"url": url} for url in urls]}, **more}


@pytest.mark.parametrize(
    ("where", "address"),
    [
        ("http://A.example", "a.example:80"),
        ("https://a.example./x", "a.example:443"),
        ("h2c://[2001:DB8:0::1]:90", "[2001:db8::1]:90"),
        ("http://[::ffff:192.0.2.1]:81", "192.0.2.1:81"),
        ("192.0.2.1:81", "192.0.2.1:81"),
        ("[::1]:81", "[::1]:81"),
        ("http://a:1#3", "a:1"),
        ("http://a:70000", ""),
        ("http://", ""),
        ("", ""),
    ],
)
def test_an_address_is_written_in_one_way(where, address):
    assert traefik_services.address(where) == address


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [
        ("30s", 30),
        ("1m30s", 90),
        ("1h0m0.5s", 3600.5),
        ("250ms", 0.25),
        ("2µs", 2e-6),
        ("", None),
        ("5", None),
        (5, None),
        ("s", None),
    ],
)
def test_durations(duration, seconds):
    assert traefik_services.seconds(duration) == (seconds if seconds is None else pytest.approx(seconds))


def test_a_check_that_begins_now_takes_the_longer_interval_and_the_timeout():
    check = {"interval": "10s", "unhealthyInterval": "30s", "timeout": "5s"}
    timing = traefik_services.check_timing({"loadBalancer": {"healthCheck": check}})
    assert timing == Timing(None, 35.0, "interval 10s, unhealthyInterval 30s, timeout 5s of the service's healthCheck")
    assert traefik_services.check_timing({"loadBalancer": {"healthCheck": {"interval": "10s"}}}) == Timing()


def test_what_is_below_a_service_that_leads_to_itself():
    services = {
        "a@file": {"failover": {"service": "b", "fallback": "c@docker"}},
        "b@file": {"weighted": {"services": [{"name": "a"}, {"name": "d"}, {"name": "e"}]}},
        "c@docker": {"mirroring": {"service": "f", "mirrors": [{"name": "d@file"}]}},
        "d@file": servers("http://a"),
    }
    assert traefik_services.below(services, "a@file") == {"d@file": False, "e@file": False, "f@docker": True}


def test_a_pool_that_is_kept_beside_another_one_is_that_pool():
    listed = {
        "app@file": servers("http://a:1", usedBy=["r"]),
        "app.zero_downtime-out@file": servers("http://a:2#0"),
        "admin.zero_downtime-out@file": servers("http://a:2#0"),
        "admin@file": servers("http://a:3", usedBy=["r"]),
        "app@docker": servers("http://a:1/x", usedBy=["r"]),
    }
    found = traefik_services.others("app@file", {"a:1": "m1", "a:2": "m2"}, listed, {})
    assert found == [OtherPool("admin", ("m2",)), OtherPool("app@docker", ("m1",))]


ANYTHING = st.recursive(
    st.none() | st.integers() | st.text(max_size=5) | st.sampled_from(["a@file", "http://a", "5s"]),
    lambda value: (
        st.lists(value, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "loadBalancer",
                    "servers",
                    "url",
                    "healthCheck",
                    "interval",
                    "timeout",
                    "failover",
                    "service",
                    "weighted",
                ]
                + ["services", "name", "mirroring", "mirrors", "fallback", "highestRandomWeight"]
            ),
            value,
            max_size=4,
        )
    ),
    max_leaves=12,
)


@given(
    st.lists(ANYTHING | st.fixed_dictionaries({"name": st.sampled_from(["a@file", "b@file", "x"])}), max_size=4),
    ANYTHING,
)
def test_services_of_anything(listed, described):
    services = {
        **traefik_services.by_name(listed),
        **traefik_services.in_file(described),
        "a@file": {"failover": described},
    }
    traefik_services.below(services, "a@file")
    traefik_services.others("a@file", {"a:80": "m1"}, services, {"t@file": {"loadBalancer": described}})
    traefik_services.check_timing(described)
