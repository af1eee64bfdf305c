# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Any balancer: what it cannot do is refused in words, before anything is touched."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import read, set_pool


def refused(rig, said, **options):
    before = rig.written()
    for check in (True, False):
        with pytest.raises(InvalidInput, match=f"Balancer .*provider .*{said}.*Nothing was touched"):
            set_pool(rig.entry(), ["m1"], check=check, **options)
    assert rig.written() == before


@pytest.mark.needs("not_sticky_drain")
def test_no_drained(rig):
    refused(rig, "Use `disabled`", state="drained")


@pytest.mark.needs("not_in_flight")
def test_no_count_of_requests_in_flight(rig):
    refused(rig, "with `drain_wait`", state="disabled", drain_wait=0)


@pytest.mark.needs("not_cut")
def test_no_cut(rig):
    refused(rig, "cannot end requests that are under way", state="disabled", on_drain_timeout="cut")


@pytest.mark.needs("not_fresh_health")
def test_no_fresh_health(rig):
    refused(rig, "Accept that with `health: none`", state="enabled", health="fresh")


@pytest.mark.needs("not_weights")
def test_no_weights(rig):
    refused(rig, "has no weights", weight=5)


@pytest.mark.needs("not_membership")
def test_no_members_added_or_removed(rig):
    refused(rig, "cannot add or remove members", state="absent")
    with pytest.raises(InvalidInput, match="cannot add or remove members"):
        set_pool(rig.entry(), ["m9"], state="enabled", addresses={"m9": "127.0.0.1:9"})


@pytest.mark.needs("not_counters", "not_served")
def test_no_counters(rig):
    with pytest.raises(InvalidInput, match=r"provider .* does not count the requests of members or users .*Leave out `counters`"):
        read(rig.entry(), counters=True)


@pytest.mark.needs("not_clean_writes")
def test_no_write_without_errors(rig):
    said = "`provider: health_endpoint`, or accept the errors with `accept_errors: true`"
    refused(rig, said, state="disabled", accept_errors=False)
    refused(rig, said, weight=5, accept_errors=False)
    assert not set_pool(rig.entry(), ["m1"], state="enabled", accept_errors=False)["changed"]
