# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Former workers of HAProxy: what its answers and the kernel's tables mean, without either."""

from __future__ import annotations

import re
import time

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import haproxy_processes as local
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import haproxy_workers as workers
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, Refused, Unreachable
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Member

NOW = "Pid: 30\nUptime_sec: 7\nNbproc: 1"


def proc(*pids):
    """What the master says of its workers."""
    rows = "".join(f"{pid}              worker          1               0d00h00m04s     2.8.25\n" for pid in pids)
    master = "10              master          1 [failed: 0]   0d00h00m04s     2.8.25\n"
    return f"#<PID>          <type>          <reloads>\n{master}# workers\n{rows}# programs"


def states(*servers):
    """What a worker says of its servers: number of the backend, its name, name of the server, port."""
    rows = "".join(f"{number} {backend} {server} 127.0.0.1 {port}\n" for number, backend, server, port in servers)
    return f"1\n# be_id be_name srv_name srv_addr srv_port\n{rows}"


def stat(*rows):
    """Statistics: proxy, server, number, and requests under way."""
    return "# pxname,svname,iid,qcur,scur,\n" + "".join(f"{proxy},{server},{number},0,{count},\n" for proxy, server, number, count in rows)


class Master:
    """A master whose former worker 20 has what a test says; it ends after so many questions."""

    def __init__(self, proxies, servers, lives=99, there=("20", "30")):
        self.proxies, self.servers, self.lives, self.there = proxies, servers, lives, there
        self.asked = []

    def __call__(self, command):
        self.asked.append(command)
        self.lives -= 1
        if command == "show proc":
            return proc(*(pid for pid in self.there if pid != "20" or self.lives > 0))
        if self.lives <= 0:
            return ""
        if command.endswith("show servers state"):
            return states((3, "app", "m1", 81), (3, "app", "m2", 82), (4, "old", "was", 83))
        return self.proxies if " -1 3 " in command else self.servers[re.search(r"#(\d+)", command).group(1)]


PROXIES = stat(("fe", "FRONTEND", 2, 4), ("app", "BACKEND", 3, 3), ("old", "BACKEND", 4, 1))
SERVERS = {"3": stat(("app", "m1", 3, 2), ("app", "m2", 3, 0)), "4": stat(("old", "was", 4, 1))}


def counted(master, *members):
    """The requests that are known of each member."""
    found = workers.Workers("lb", lambda: NOW, False, master, lambda path: master, "/master")
    return {member.name: member.in_flight for member in found.counted("app", list(members))}, found


def member(name, port=0, state="disabled", in_flight=1):
    return Member(name, f"127.0.0.1:{port}", state, 1, "up", in_flight)


def test_requests_are_those_of_the_member_and_those_that_have_no_server_yet():
    seen, _found = counted(Master(PROXIES, SERVERS), member("m1"), member("m2"), member("in", state="enabled"))
    assert seen == {"m1": 1 + 2 + 1, "m2": 1 + 0 + 1, "in": 1}


def test_a_member_of_another_name_is_found_by_its_address():
    assert counted(Master(PROXIES, SERVERS), member("m9", 83), member("new", 99))[0] == {"m9": 2, "new": 1}


def test_clients_beyond_the_requests_may_bring_one():
    idle = stat(("fe", "FRONTEND", 2, 7), ("app", "BACKEND", 3, 2), ("old", "BACKEND", 4, 1))
    assert counted(Master(idle, SERVERS), member("m2"))[0] == {"m2": 1 + 4}


@pytest.mark.parametrize("lives", range(3, 7))
def test_a_worker_that_ends_in_between_is_no_error(lives):
    assert counted(Master(PROXIES, SERVERS, lives), member("m1"))[0]["m1"] in (1, 4)


@pytest.mark.parametrize(("proxies", "servers"), [("", SERVERS), (stat(), SERVERS), (PROXIES, {"3": ""}), (PROXIES, {"3": stat()})])
def test_what_a_worker_does_not_tell_is_not_known(proxies, servers):
    seen, found = counted(Master(proxies, servers), member("m1"))
    assert seen == {"m1": None} and "`hard-stop-after`" in found.busy_sentence({"m1": None})


def test_without_members_that_are_out_and_without_former_workers_little_is_asked():
    master = Master(PROXIES, SERVERS)
    counted(master, member("m1", state="enabled"))
    assert master.asked == ["show proc"]
    master = Master(PROXIES, SERVERS, there=("30",))
    counted(master, member("m1"))
    assert master.asked == ["show proc"] * 2


@pytest.mark.parametrize(("uptime", "in_flight"), [(7, None), (30, 1)])
def test_where_former_workers_cannot_be_seen_they_are_busy_for_a_time(uptime, in_flight):
    found = workers.Workers("lb", lambda: NOW.replace("7", str(uptime)), False, None, lambda path: None)
    out, there = found.counted("app", [member("m1"), member("m2", state="enabled")])
    assert (out.in_flight, there.in_flight) == (in_flight, 1)
    assert ("`master_address`" in found.busy_sentence({"m1": None})) is (in_flight is None)
    assert "count as busy for 30 s" in found.source


def test_who_is_busy_is_told_with_the_process_and_what_bounds_it():
    seen, found = counted(Master(PROXIES, SERVERS), member("m1"))
    assert "1 former worker (process 20)" in found.busy_sentence(seen) and "still has requests" in found.busy_sentence(seen)
    assert found.busy_sentence({}) == found.busy_sentence({"other": 3}) == ""


def test_another_master_and_what_is_none_are_refused():
    with pytest.raises(InvalidInput, match=r"process 30, which answers, is none of its workers \(20\)"):
        counted(Master(PROXIES, SERVERS, there=("20",)), member("m1"))
    with pytest.raises(Unreachable, match="is not HAProxy's master socket"):
        counted(lambda command: "hello", member("m1"))


def test_several_processes_with_states_of_their_own_are_refused():
    found = workers.Workers("lb", lambda: NOW.replace("Nbproc: 1", "Nbproc: 4"), False, None, lambda path: None)
    with pytest.raises(Refused, match=r"runs 4 processes \(`nbproc`\).*Nothing was touched"):
        found.counted("app", [member("m1")])


@pytest.mark.parametrize(
    ("version", "adds"), [("2.2.9-2+deb11u6", False), ("2.4.0", False), ("2.5.1", True), ("2.10.0", True), ("3.0.11", True), ("x", True)]
)
def test_which_versions_add_servers(version, adds):
    assert workers.Info.read(f"Name: HAProxy\nVersion: {version}\n{NOW}").adds_servers is adds


TABLE = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 7 1
   1: 0100007F:1F90 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 11 1
   2: 0100007F:9C41 0100007F:0051 01 00000000:00000000 00:00000000 00000000     0        0 12 1
   3: 0100007F:9C42 0100007F:0051 05 00000000:00000000 00:00000000 00000000     0        0 13 1
   4: 0100007F:9C43 0100007F:0051 06 00000000:00000000 00:00000000 00000000     0        0 0 1
   5: 0100007F:9C44 0100007F:0051 01 00000000:00000000 00:00000000 00000000     0        0 99 1
   6: 0100007F:9C45 0100007F:0051 08 00000000:00000000 00:00000000 00000000     0        0 14 1
"""


def test_connections_of_a_process_are_those_of_its_sockets_that_may_carry_an_answer():
    seen = local._counted(TABLE, {"11", "12", "13", "14"})
    assert (seen.clients, seen.servers, seen.listens) == (1, 2, False)
    assert [seen.lead_to(address) for address in ("127.0.0.1:81", "127.0.0.1:82", "127.0.0.1:0", "-:0", "name:81")] == [2, 0, 2, None, None]
    assert local._counted(TABLE, {"7"}).listens


def test_processes_of_one_number_that_began_together_are_not_told_apart(monkeypatch):
    began = time.clock_gettime(time.CLOCK_BOOTTIME) - 60
    monkeypatch.setattr(local, "_process", lambda number: None)
    monkeypatch.setattr(local, "_own_number", lambda pid: 8)
    for starts, found in [((0, 100), 100), ((0, 1), None), ((), None)]:
        running = [local.Process(100 + index, "haproxy", 1, began + start) for index, start in enumerate(starts)]
        monkeypatch.setattr(local, "_all_processes", lambda running=running: running)
        assert local.find(8, 60) == found


def test_an_address_is_written_as_the_kernel_does():
    assert local._written("127.0.0.1") == ("0100007F", "0000000000000000FFFF00000100007F")
    assert local._written("::1") == ("00000000000000000000000001000000",)


def test_connections_to_a_member_and_clients_without_a_server_count():
    seen = local.Connections({"0100007F:0051": 2}, clients=5, servers=3, listens=False)
    assert workers.connected([member("m1", 81), member("m2", 82)], seen) == {"m1": 4, "m2": 2}
    assert workers.connected([Member("m1", "-:0", "disabled", 1, "up", 0)], seen) == {"m1": None}
    nothing = local.Connections({}, clients=0, servers=0, listens=False)
    assert workers.connected([Member("m1", "-:0", "disabled", 1, "up", 0)], nothing) == {"m1": 0}


@pytest.mark.parametrize(
    ("words", "numbers", "rest"),
    [
        ("haproxy -f a.cfg", set(), "-f a.cfg"),
        ("haproxy -f a.cfg -sf 1 22 -x sock", {1, 22}, "-f a.cfg"),
        ("/usr/sbin/haproxy -sf 1 -x sockpair@4 -D -f a.cfg", {1}, "-D -f a.cfg"),
        ("haproxy -st 5 -f a.cfg", {5}, "-f a.cfg"),
    ],
)
def test_a_command_line_without_the_processes_that_it_follows(words, numbers, rest):
    assert local._without_former(words.split()) == (numbers, rest.split())
