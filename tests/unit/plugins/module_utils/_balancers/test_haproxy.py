# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What HAProxy says, in the design's words: the parsing, without a HAProxy."""

from __future__ import annotations

import contextlib
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import haproxy, haproxy_counters
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, NotApplied, Unreachable


def member(admin=0, op="2", check_state="6", status="UP", tracked="", address="192.0.2.1", **stat):
    """One member, from the fields that matter."""
    state = {
        "srv_name": "m1",
        "srv_addr": address,
        "srv_port": "80",
        "srv_admin_state": str(admin),
        "srv_op_state": op,
        "srv_uweight": "100",
        "srv_check_state": check_state,
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
    return haproxy._member(state, {**seen, **stat})


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
    assert member(scur="", qcur="").in_flight == 0


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
    ("text", "answers"),
    [
        ("", []),
        ("\n", [""]),
        ("\n\n\n", ["", "", ""]),
        ("No such server.\n\n", ["No such server."]),
        ("\nPermission denied\n\n\n", ["", "Permission denied", ""]),
        ("1\n# a b\n1 2\n\n# c\n3\n\n", ["1\n# a b\n1 2", "# c\n3"]),
        ("1\n# a b\n1 2", []),
        ("\nhalf an ans", [""]),
    ],
)
def test_answers_end_with_an_empty_line_and_those_cut_short_do_not_count(text, answers):
    assert haproxy._answers(text) == answers


@given(st.lists(st.lists(st.text("ab ,#", min_size=1), max_size=4)))
def test_as_many_answers_come_out_as_went_in(answers):
    text = "".join("".join(f"{line}\n" for line in lines) + "\n" for lines in answers)
    assert haproxy._answers(text) == ["\n".join(lines) for lines in answers]


def test_rows_of_the_two_tables():
    assert list(haproxy._state_rows("1\n# be_id srv_name\n3 m1\n3 m2")) == [
        {"be_id": "3", "srv_name": "m1"},
        {"be_id": "3", "srv_name": "m2"},
    ]
    assert list(haproxy._state_rows("1\n# be_id srv_name")) == []
    assert list(haproxy._stat_rows('# pxname,svname,last_chk\napp,m1,"a, b"', haproxy.STAT_COLUMNS)) == [
        {"pxname": "app", "svname": "m1", "last_chk": "a, b"}
    ]


@given(st.lists(st.lists(st.text("x", min_size=1, max_size=200), min_size=1, max_size=3)))
def test_commands_keep_their_order_and_their_company_and_fit_into_a_line(groups):
    lines = haproxy._lines(groups)
    assert [command for line in lines for command in line] == [command for group in groups for command in group]
    assert all(len(";".join(line)) < haproxy.LINE for line in lines)
    starts = {sum(map(len, groups[:index])) for index in range(len(groups))}
    assert {sum(map(len, lines[:index])) for index in range(len(lines))} <= starts


def test_a_group_longer_than_a_line_is_sent_all_the_same():
    group = ["x" * haproxy.LINE]
    assert haproxy._lines([["a"], group, ["b"]]) == [["a"], group, ["b"]]


@pytest.mark.parametrize(
    "address", ["host", "host:", ":1", "host:x", "host:0", "host:65536", "host:999999999999", "host:-1", "host:²"]
)
def test_addresses_that_are_none(address):
    with pytest.raises(InvalidInput, match="is host:port"):
        opened(address=address)


@pytest.mark.parametrize(
    ("address", "parts"), [("h:1", ("h", 1)), ("192.0.2.1:65535", ("192.0.2.1", 65535)), ("[::1]:9999", ("::1", 9999))]
)
def test_addresses(address, parts):
    assert haproxy._host_and_port(address) == parts


def test_a_balancer_that_hangs_takes_no_more_connections(tmp_path):
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as listening, contextlib.ExitStack() as waiting:
        listening.bind(path)
        listening.listen(0)
        with contextlib.suppress(BlockingIOError):
            while True:
                client = waiting.enter_context(socket.socket(socket.AF_UNIX))
                client.setblocking(False)
                client.connect(path)
        with pytest.raises(Unreachable, match="takes no more connections: it hangs, or has too much to do"):
            opened("lb1", socket=path, timeout=0.2).members("app")


def test_the_same_socket_is_the_same_endpoint(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "socket")
    one = opened("one", socket=str(tmp_path / "socket"))
    other = opened("other", socket=str(tmp_path / "link"))
    assert one.endpoint == other.endpoint and one.name != other.name


@pytest.mark.parametrize("name", ["app", "app.shop", "a-b_c:8", "7"])
def test_names_that_haproxy_allows(name):
    haproxy._check_name("pool", name)


@given(st.text().filter(lambda text: any(not (c.isascii() and (c.isalnum() or c in "_.:-")) for c in text)))
def test_names_that_it_does_not(name):
    with pytest.raises(InvalidInput):
        haproxy._check_name("pool", name)


def opened(name="lb", **options):
    return open_balancer({"provider": "haproxy", "name": name, **options})


class Recorder(haproxy.RuntimeApi):
    """Answers like a HAProxy whose member does all that it is told."""

    def __init__(self):
        super().__init__("/x", None, 1)
        self.lines = []

    def ask(self, *commands):
        self.lines.append(commands)
        return ["" for each in commands]


def written(changes, distrust=False):
    driver = opened(socket="/x")
    driver.api = Recorder()
    driver.members = lambda pool: []
    driver._following = {"app": {"follows"}}
    try:
        driver.apply("app", changes, distrust)
    except NotApplied:
        pass
    return driver.api.lines


def test_who_leaves_does_so_before_its_weight_changes_and_who_returns_after():
    assert written(
        [haproxy.Change("m1", "disabled", 5), haproxy.Change("m2", "enabled", 6), haproxy.Change("m3", None, 7)]
    ) == [
        (
            "set server app/m1 state maint",
            "set server app/m1 weight 5",
            "set server app/m2 weight 6",
            "set server app/m2 state ready",
            "set server app/m3 weight 7",
        )
    ]


def test_who_leaves_maintenance_distrusted_is_held_down_in_the_same_line():
    # Bound clients reach a drained member that counts as up: nothing may come between the two.
    assert written([haproxy.Change("m1", "drained", 5), haproxy.Change("follows", "drained", 5)], distrust=True) == [
        (
            "set server app/m1 weight 5",
            "set server app/m1 state drain",
            "set server app/m1 health down",
            "set server app/follows weight 5",
            "set server app/follows state drain",
        )
    ]


@pytest.mark.parametrize(("version", "forgets"), [("2.6.12-1+deb12u2", False), ("2.8.25", False), ("3.0.11-1", True), ("unknown", True)])
def test_which_versions_leave_some_failures_out(version, forgets):
    assert haproxy_counters.forgets(version) is forgets


def test_a_row_has_numbers_only_and_what_is_missing_is_none_of_them():
    numbers = haproxy_counters.numbers({"stot": "7", "scur": 2, "hrsp_5xx": "", "svname": "m1"})
    assert (numbers["stot"], numbers["scur"], numbers["hrsp_5xx"], numbers["econ"]) == (7, 2, 0, 0) and "svname" not in numbers
