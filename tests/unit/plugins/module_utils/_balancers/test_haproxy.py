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

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import haproxy, haproxy_api, haproxy_counters
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, Unreachable


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
    assert haproxy_api._answers(text) == answers


@given(st.lists(st.lists(st.text("ab ,#", min_size=1), max_size=4)))
def test_as_many_answers_come_out_as_went_in(answers):
    text = "".join("".join(f"{line}\n" for line in lines) + "\n" for lines in answers)
    assert haproxy_api._answers(text) == ["\n".join(lines) for lines in answers]


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
    assert haproxy_api.host_and_port(address) == parts


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


@pytest.mark.parametrize(("version", "forgets"), [("2.6.12-1+deb12u2", False), ("2.8.25", False), ("3.0.11-1", True), ("unknown", True)])
def test_which_versions_leave_some_failures_out(version, forgets):
    assert haproxy_counters.forgets(version) is forgets


def test_a_row_has_numbers_only_and_what_is_missing_is_none_of_them():
    numbers = haproxy_counters.numbers({"stot": "7", "scur": 2, "hrsp_5xx": "", "svname": "m1"})
    assert (numbers["stot"], numbers["scur"], numbers["hrsp_5xx"], numbers["econ"]) == (7, 2, 0, 0) and "svname" not in numbers
