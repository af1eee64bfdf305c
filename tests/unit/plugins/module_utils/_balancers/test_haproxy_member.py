# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What HAProxy's two tables say of a server, in the project's words."""

from __future__ import annotations

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import haproxy_member as rows


def member(
    admin=0,
    op="2",
    check_state="6",
    status="UP",
    tracked="",
    address="192.0.2.1",
    agent="0",
    unix="",
    more=None,
    **stat,
):
    """One member, from the fields that matter."""
    state = {
        "srv_name": "m1",
        "srv_addr": address,
        "srv_port": "80",
        "srv_admin_state": str(admin),
        "srv_op_state": op,
        "srv_uweight": "100",
        "srv_check_state": check_state,
        "srv_agent_state": agent,
    }
    seen = {
        "status": status,
        "tracked": tracked,
        "scur": "2",
        "qcur": "1",
        "check_status": "L7OK",
        "check_code": "200",
        "last_chk": "OK",
    }
    return rows.as_member({**state, **(more or {})}, {**seen, **stat}, unix=unix)


@pytest.mark.parametrize(
    ("admin", "state"),
    [
        (0x00, "enabled"),
        (0x01, "disabled"),
        (0x02, "disabled"),  # inherited from a member that it tracks
        (0x04, "enabled"),  # only remembers that the configuration said `disabled`
        (0x05, "disabled"),
        (0x08, "drained"),
        (0x0C, "drained"),
        (0x10, "drained"),
        (0x20, "disabled"),  # its name has no address any more
        (0x40, "disabled"),
        (0x09, "disabled"),
    ],
)
def test_the_state_is_in_the_admin_bits(admin, state):
    assert member(admin).state == state


@pytest.mark.parametrize(
    ("op", "status", "health"),
    [
        ("2", "UP", "up"),
        ("2", "UP 1/2", "up"),
        ("0", "DOWN", "down"),
        ("0", "DOWN 1/2", "down"),
        ("1", "UP", "starting"),
        ("3", "NOLB", "down"),
        ("9", "?", "unknown"),
    ],
)
def test_health(op, status, health):
    assert (member(op=op, status=status).state, member(op=op, status=status).health) == ("enabled", health)


def test_a_drained_member_that_is_down_is_drained():
    seen = member(0x08, op="0", status="DOWN")
    assert (seen.state, seen.health, seen.available) == ("drained", "down", False)


def test_in_maintenance_nothing_is_known_of_its_health():
    assert member(0x01, op="0", check_state="14", status="MAINT").health == "unknown"


@pytest.mark.parametrize(
    ("found", "checked"),
    [
        ({}, True),
        ({"check_state": "14"}, True),  # paused by maintenance
        ({"check_state": "7"}, True),  # one is under way
        ({"check_state": "0", "status": "no check"}, False),
        ({"check_state": "2", "status": "no check"}, False),  # `disable health`
        ({"check_state": "10", "status": "MAINT", "admin": 1}, False),  # the same, in maintenance
        ({"check_state": "0", "tracked": "app/other"}, True),
        ({"check_state": "0", "tracked": "app/other", "status": "no check"}, False),
    ],
)
def test_whether_it_is_checked(found, checked):
    assert member(**found).checked is checked


def test_an_unchecked_member_is_of_unknown_health_and_takes_work():
    seen = member(check_state="0", status="no check", check_status="", check_code="", last_chk="")
    assert (seen.health, seen.available, seen.last_check) == ("unknown", True, "")


def test_the_address_is_host_and_port_whatever_the_host():
    assert (member().address, member(address="2001:db8::1").address) == ("192.0.2.1:80", "[2001:db8::1]:80")


def test_the_queue_is_in_flight_too():
    assert member().in_flight == 3
    assert member(qcur="").in_flight == 2 and member(scur="").in_flight is None


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ({}, "L7OK 200 OK"),
        ({"check_status": "* L7STS", "check_code": "503", "last_chk": ""}, "L7STS 503"),
        (
            {"check_status": "L4CON", "check_code": "", "last_chk": None, "check_desc": "Layer4 connection problem"},
            "L4CON Layer4 connection problem",
        ),
    ],
)
def test_the_last_check_in_its_own_words(found, words):
    assert member(**found).last_check == words


@pytest.mark.parametrize(
    ("admin", "state", "own"),
    [
        (0x00, "enabled", "enabled"),
        (0x01, "disabled", "disabled"),
        (0x02, "disabled", "enabled"),
        (0x03, "disabled", "disabled"),
        (0x05, "disabled", "disabled"),
        (0x08, "drained", "drained"),
        (0x0A, "disabled", "drained"),  # drained by us, in maintenance with the server that it tracks
        (0x10, "drained", "enabled"),
        (0x11, "disabled", "disabled"),
        (0x20, "disabled", "enabled"),
        (0x28, "disabled", "drained"),
        (0x40, "disabled", "enabled"),
    ],
)
def test_what_was_written_is_told_from_what_is_inherited(admin, state, own):
    seen = member(admin)
    assert (seen.state, seen.own) == (state, own)


@pytest.mark.parametrize(
    ("admin", "words"),
    [
        (0x02, "in maintenance with web/a1, which it tracks; L7OK 200 OK"),
        (0x10, "drained with web/a1, which it tracks; L7OK 200 OK"),
        (0x20, "in maintenance, because its name app.example has no address; L7OK 200 OK"),
        (0x40, "in maintenance, because its host name was changed; L7OK 200 OK"),
        (0x0A, "in maintenance with web/a1, which it tracks; L7OK 200 OK"),
        (0x03, "L7OK 200 OK"),
        (0x18, "L7OK 200 OK"),
    ],
)
def test_who_is_out_by_inheritance_is_told_why(admin, words):
    assert member(admin, tracked="web/a1", more={"srv_fqdn": "app.example"}).last_check == words


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (
            {"agent_health": "0", "last_agt": "via agent : down (too busy)"},
            "its agent says down (too busy); L7OK 200 OK",
        ),
        ({"agent_health": "0"}, "its agent says down; L7OK 200 OK"),
        ({"agent_health": "1", "last_agt": "via agent : up"}, "L7OK 200 OK"),
        ({"agent_health": "0", "agent": "18"}, "L7OK 200 OK"),  # switched off: it has no say
    ],
)
def test_an_agent_that_keeps_it_down_is_named(found, words):
    assert member(op="0", status="DOWN (agent)", **{"agent": "22", "agent_rise": "1", **found}).last_check == words


@pytest.mark.parametrize(
    ("found", "progress"),
    [
        ({"op": "0", "check_health": "1"}, (1, 3)),
        ({"op": "0", "check_health": "0"}, (0, 3)),
        ({"op": "2", "check_health": "3"}, None),
        ({"op": "0", "check_health": "5"}, None),  # down by its agent
        ({"op": "0", "check_health": ""}, None),
        ({"op": "0", "check_health": "1", "admin": 1}, None),
    ],
)
def test_how_far_a_check_has_come(found, progress):
    assert member(check_rise="3", **found).check_progress == progress


@pytest.mark.parametrize(
    ("found", "address"),
    [
        ({"address": "-", "addr": "unix", "unix": "/run/app.sock"}, "unix:/run/app.sock"),
        ({"address": "-", "addr": "unix"}, "unix:"),
        ({"address": "-"}, "-"),
    ],
)
def test_addresses_that_are_no_host_and_port(found, address):
    assert member(**found).address == address


def test_what_it_has_been_given_is_counted():
    assert member(stot="17").requests == 17 and member().requests is None


def test_tiers_one_backup_after_the_other_or_all_at_once():
    stats = [{"svname": name, "bck": "1" if name.startswith("b") else "0"} for name in ("b1", "m1", "b2", "m2")]
    assert rows.tiers(stats, False) == {"b1": 1, "m1": 0, "b2": 2, "m2": 0}
    assert rows.tiers(stats, True) == {"b1": 1, "m1": 0, "b2": 1, "m2": 0}
    assert rows.tiers([{"svname": "m1"}], False) == {"m1": 0}
