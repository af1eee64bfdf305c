# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The configuration that the Data Plane API shows; without an API."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.dataplane_config import config

SERVERS = [{"name": "m1", "address": "192.0.2.1", "port": 80, "check": "enabled"}]
SHUTS = {"on-marked-down": "shutdown-sessions"}


@pytest.mark.parametrize(
    ("backend", "servers", "defaults", "shuts"),
    [
        ({}, SERVERS, [], False),
        ({}, [{**SERVERS[0], **SHUTS}], [], True),
        ({"default_server": SHUTS}, SERVERS, [], True),
        ({"from": "d"}, SERVERS, [{"name": "d", "default_server": SHUTS}], True),
        ({"from": "e"}, SERVERS, [{"name": "d", "default_server": SHUTS}, {"name": "e", "from": "d"}], True),
        ({"from": "e"}, SERVERS, [{"name": "d", "default_server": SHUTS}, {"name": "e"}], False),
        # With one section only that can be meant it is that one.
        ({}, SERVERS, [{"name": "d", "default_server": SHUTS}], True),
        ({}, SERVERS, [{"name": "d"}], False),
        ({}, SERVERS, [{"name": "d"}, {"name": "e"}], None),
        ({"from": "gone"}, SERVERS, [{"name": "d"}], None),
        ({"from": "d"}, SERVERS, [{"name": "d", "from": "d"}], None),
        # A server-template's servers are not listed.
        ({}, [], [], None),
        (None, None, None, None),
    ],
)
def test_whether_sessions_are_shut(backend, servers, defaults, shuts):
    assert config("app", backend, servers, defaults).shuts_sessions("app", ["m1"]) is shuts


def test_how_long_checks_take():
    defaults = [{"name": "d", "default_server": {"inter": 30000, "rise": 3}, "check_timeout": 4000}]
    found = config("app", {"from": "d"}, SERVERS, defaults).check_time("app")
    assert found == (94, "inter 30s, rise 3 in the configuration that the Data Plane API shows")
    unchecked = [{**SERVERS[0], "check": "disabled"}]
    assert config("app", {"from": "d"}, unchecked, defaults).check_time("app") is None
    assert config("app", {"default_server": {"check": "enabled"}}, [{"name": "m1"}], []).check_time("app")


def test_whether_all_backups_serve():
    assert config("app", {"allbackups": "enabled"}, SERVERS, []).all_backups("app") is True
    assert config("app", {"from": "d"}, SERVERS, [{"name": "d", "allbackups": "enabled"}]).all_backups("app") is True
    assert config("app", {}, SERVERS, []).all_backups("app") is False


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.sampled_from(["d", "enabled", "app"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "from", "default_server", "check", "inter", "rise", "track", "on-marked-down"]), inner, max_size=5
        )
    ),
    max_leaves=15,
)


@given(JSON, JSON, JSON)
def test_whatever_is_shown_it_is_read(backend, servers, defaults):
    found = config("app", backend, servers, defaults)
    assert found.shuts_sessions("app", ["m1"]) in (True, False, None)
    assert found.check_time("app") is None or found.check_time("app")[0] > 0
