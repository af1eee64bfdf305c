# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A service as the playbook status tells of it."""

from __future__ import annotations

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.status import status

BALANCER = {"name": "lb1", "provider": "haproxy", "version": "3.0", "pool": "shop", "available": 1}


def test_a_service_as_it_is():
    member = {"name": "m1", "state": "enabled", "health": "up", "weight": 30, "in_flight": 2}
    health = [
        {"name": "app1", "healthy": True, "version": "2.0", "seen": "200"},
        {"name": "app10", "healthy": False, "version": None, "seen": "connection refused"},
    ]
    free = {"held": False}
    known = {"lease": free, "journal": None}
    assert status("shop", [{**BALANCER, "members": [member]}], health, known) == [
        "Service shop",
        "  app1   2.0, healthy",
        "  app10  unknown version, connection refused",
        "Balancer lb1 (haproxy 3.0), pool shop: 1 of 1 available",
        "  m1  enabled, up, weight 30, in flight 2",
        "Lease: free",
    ]
    held = {
        "held": True,
        "expired": False,
        "expires": "12:00",
        "owner": {"name": "kim", "controller": "desk"},
        "acquired": "11:00",
    }
    known = {"lease": held, "journal": {"id": "j2", "version": "3.0"}}
    of = "by kim on desk since 11:00"
    assert status("shop", [], [], known)[1:] == [f"Lease: held until 12:00, {of}", "Under way: j2 to 3.0."]
    unfinished = "Unfinished: j2 to 3.0. Run the same command again to go on with it, or the playbook rollback to undo it."
    known["lease"] = {**held, "expired": True}
    assert status("shop", [{**BALANCER, "members": []}], [], known)[2:] == [f"Lease: expired, {of}", unfinished]
    known["lease"] = {**held, "proof": "process 10 no longer runs on desk"}
    left = f"Lease: left behind, {of}; process 10 no longer runs on desk, so the next rollout takes it at once"
    assert status("shop", [], [], known)[1:] == [left, unfinished]


def test_a_rollout_that_has_paused():
    point = {"point": "batch", "number": 2, "why": "waiting for approval: x"}
    waits = {"id": "j2", "version": "3.0", "strategy": "rolling", **point, "since": "11:00", "approved_by": None}
    known = {"lease": {"held": False}, "journal": {"id": "j2", "version": "3.0"}, "waits": waits, "history": []}
    line = status("shop", [], [], known)[2]
    assert line == (
        "Paused: j2 to 3.0, rolling, before batch 2 since 11:00, waiting for approval: x. Run the playbook promote to go on with it, "
        "or rollback to undo it."
    )
    known["waits"] = {**waits, "approved_by": "kim"}
    assert " Approved by kim." in status("shop", [], [], known)[2]
