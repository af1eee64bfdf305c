# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who may have the lease, and what becomes of it."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import Refused
from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal import lease

NOW = 1795255200.0  # 2026-11-21T10:00:00Z
KIM = {"name": "kim", "controller": "c1", "pid": 10, "process_started": 5}
ALEX = {"name": "alex", "controller": "c2", "pid": 11, "process_started": 6}


def held(ttl=900):
    return lease.acquire(lease.unheld("shop"), 1, KIM, "20261121T100000Z-2-1", "2", NOW, ttl)


def test_a_lease_that_nobody_holds_is_free():
    assert lease.claim(lease.unheld("shop"), KIM, NOW, False, None) == "free"


def test_its_owner_has_it_already_also_after_its_time():
    assert lease.claim(held(), KIM, NOW + 10000, False, None) == "ours"


@pytest.mark.parametrize("after, ground", [(899, None), (900, "expired")])
def test_it_expires_at_its_time(after, ground):
    if ground:
        assert lease.claim(held(), ALEX, NOW + after, False, None) == ground
        return
    with pytest.raises(Refused):
        lease.claim(held(), ALEX, NOW + after, False, None)


def test_a_refusal_says_who_since_when_until_when_for_what_and_what_to_do():
    with pytest.raises(Refused) as refusal:
        lease.claim(held(), ALEX, NOW + 450, False, None)
    for words in (
        "service shop", "kim on c1 (process 10)", "since 2026-11-21T10:00:00Z", "until 2026-11-21T10:15:00Z",
        "expires in 7 min 30 s", "rollout 20261121T100000Z-2-1 (version 2)", "-e rollout_take_over=true",
        "Nothing was changed",
    ):
        assert words in refusal.value.message
    assert refusal.value.facts["holder"] == lease.told(held())


def test_it_can_be_taken_over():
    assert lease.claim(held(), ALEX, NOW, True, None) == "take_over"


def test_death_is_believed_for_its_own_number_only():
    assert lease.claim(held(), ALEX, NOW, False, 1) == "dead"
    with pytest.raises(Refused):
        lease.claim(held(), ALEX, NOW, False, 2)


def test_the_number_never_goes_back():
    with pytest.raises(ValueError, match="never goes back"):
        lease.acquire(held(), 1, ALEX, "r", "2", NOW, 900)
    assert lease.release(held())["fence"] == 1


def test_renewing_keeps_what_its_owner_asked_for():
    renewed = lease.renew(held(60), NOW + 30)
    assert (renewed["ttl"], renewed["expires"]) == (60, "2026-11-21T10:01:30Z")
    assert lease.renew(held(60), NOW, 120)["ttl"] == 120


def test_a_late_owner_is_told_who_has_it_now():
    later = lease.acquire(held(), 2, ALEX, "20261121T101500Z-3-2", "3", NOW + 900, 900)
    with pytest.raises(Refused) as refusal:
        lease.demand(later, 1, "20261121T100000Z-2-1", NOW + 901)
    assert "number 2 is held by alex on c2 (process 11)" in refusal.value.message
    assert "Nothing was written" in refusal.value.message


def test_after_a_release_nobody_may_write():
    with pytest.raises(Refused, match="nobody holds it now"):
        lease.demand(lease.release(held()), 1, "20261121T100000Z-2-1", NOW)


def test_the_right_number_for_another_rollout_is_refused():
    with pytest.raises(Refused):
        lease.demand(held(), 1, "20261121T100000Z-9-1", NOW)


@pytest.mark.parametrize(
    ("now", "left", "expires", "expired"),
    [
        (NOW + 100.9, 799, "2026-11-21T10:15:00Z", False),  # the clocks agree
        (NOW + 100.0, 801, "2026-11-21T10:15:00Z", False),
        (NOW + 900.0, 1, "2026-11-21T10:15:01Z", False),  # it is not over as long as whoever counts down says so
        (NOW - 86400, 800, "2026-11-20T10:13:20Z", False),
        (NOW + 86400, 800, "2026-11-22T10:13:20Z", False),
        (NOW + 1000, 0, "2026-11-21T10:15:00Z", True),
        (NOW - 86400, 0, "2026-11-20T10:00:00Z", True),
    ],
)
def test_who_counts_down_says_when_it_ends_and_the_clock_says_how_that_is_told(now, left, expires, expired):
    told = lease.by_clock(held(), left, now)
    assert (told["expires"], lease.expired(told, now)) == (expires, expired)
    if left:
        assert lease.epoch(told["expires"]) - lease.epoch(told["acquired"]) == 900


def test_a_lease_that_nobody_holds_has_no_times_to_tell():
    assert lease.by_clock(lease.unheld("shop", 3), 0, NOW) == lease.unheld("shop", 3)
