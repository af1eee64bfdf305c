# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HAProxy after a reload: former workers finish their requests, and are counted."""

from __future__ import annotations

import http.client
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import (
    haproxy,
    haproxy_processes,
    haproxy_workers,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.config_file import ConfigFile
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    InvalidInput,
    Refused,
    TimedOut,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Aside, bound_to
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.impostor import http as http_answer
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.impostor import impostor
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import (
    POOL,
    Server,
    Settings,
    read,
    set_pool,
    until,
)
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.haproxy import HAProxyRig
from ansible_collections.zero_downtime.deploy.tests.support.balancers.find import found
from ansible_collections.zero_downtime.deploy.tests.support.ports import free_ports

# How former workers are found: the option, the master's command line, and `/proc` with a master and without.
GIVEN, FOUND, PROC, PLAIN = "given", "found", "proc", "plain"
KEPT = "option idle-close-on-response"


class ReloadedRig(HAProxyRig):
    """HAProxy that is reloaded as its packages do it, listeners handed over.

    :param way: how its former workers are found.
    """

    def __init__(self, binary: str, directory: Path, settings: Settings, way: str, **more: Any) -> None:
        super().__init__(binary, directory, settings, **more)
        self.way = way
        self.master_socket = directory / "master.sock"
        self._former: list[Server] = []
        self._front_port, self._api_port = self.port, int(self.api_address.rpartition(":")[2])
        # A listener is handed over by address.
        self.port, api = free_ports(2)
        self.api_address = f"127.0.0.1:{api}"

    def start(self) -> None:
        self._command([])

    def reload(self) -> None:
        """Start a new worker beside the one that serves; returns once it answers."""
        before = self.pid()
        if self.way == PLAIN:
            self._former.append(self.server)
            self.server = Server(self.directory / f"haproxy{len(self._former)}.log")
            self._command(["-sf", before, "-x", str(self.socket)])
        else:
            # A master that begins, or begins anew after a reload, loses signals until it is ready for them.
            until("the master catches the signal", lambda: catches(self.server.process.pid, signal.SIGUSR2))
            self.server.process.send_signal(signal.SIGUSR2)
        until("the new worker answers", lambda: self._answers() and self.pid() != before)
        self.all_up()

    def pid(self) -> str:
        """Of the worker that answers."""
        return self.driver().running()[0]

    def stop(self) -> None:
        for server in self._former:
            server.stop()
        self._former.clear()
        super().stop()

    def entry(self, **more: Any) -> dict[str, Any]:
        given = {"master_socket": str(self.master_socket)} if self.way == GIVEN else {}
        return super().entry(**given, **more)

    def _command(self, words: list[str]) -> None:
        (self.directory / "haproxy.cfg").write_text(self._configuration(), encoding="utf-8")
        mode = {GIVEN: ["-W", "-S", str(self.master_socket)], PROC: ["-W"], PLAIN: []}
        mode[FOUND] = [*mode[GIVEN][:2], f"{self.master_socket},mode,600"]
        self.server.start(
            [self.binary, "-db", "-f", str(self.directory / "haproxy.cfg"), *mode[self.way], *words], self._answers
        )

    def _configuration(self) -> str:
        text = super()._configuration().replace("mode 600 level admin\n", "mode 600 level admin expose-fd listeners\n", 1)
        text = text.replace(f"fd@{self._front.fileno()}", f"127.0.0.1:{self.port}")
        return text.replace(f"fd@{self._api.fileno()}", f"ipv4@{self.api_address}")


def catches(pid, number):
    """Whether a process has a handler for a signal, and does not block it."""
    masks = dict(re.findall(r"^(SigBlk|SigCgt):\s+([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE))
    bit = 1 << (number - 1)
    return bool(int(masks["SigCgt"], 16) & bit) and not int(masks["SigBlk"], 16) & bit


@pytest.fixture(params=list(found("haproxy").values()), ids=[f"haproxy-{label}" for label in found("haproxy")])
def make(request, tmp_path, apps):
    """Makes a HAProxy that can be reloaded, all its members up."""
    started = []

    def one(way=GIVEN, **more):
        ports = {name: apps[name].port for name in ("m1", "m2", "m3")}
        started.append(ReloadedRig(request.param, tmp_path / f"balancer{len(started)}", Settings(members=ports), way, **more))
        started[-1].start()
        started[-1].all_up()
        return started[-1]

    yield one
    for rig in started:
        rig.close()


def driver_for(entry):
    """The driver, without what stands between it and a task."""
    return open_balancer({"timeout": 5.0, **entry})


def held(rig, apps, name):
    """A request that `name` answers when its gate is open."""
    before = apps[name].holding
    client = bound_to(rig.port, name)
    request = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps[name].holding == before + 1)
    return request


@pytest.mark.parametrize("way", [GIVEN, FOUND, PROC, PLAIN])
def test_requests_of_former_workers_are_waited_for(make, apps, way):
    rig = make(way)
    first = held(rig, apps, "m1")
    rig.reload()
    second = held(rig, apps, "m1")
    rig.reload()
    leaving = Aside(lambda: set_pool(rig.entry(), ["m1"], state="disabled"))
    rig.wait_until("m1 is out, and busy", lambda pool: pool["m1"].state == "disabled" and (pool["m1"].in_flight or 0) >= 2)
    assert leaving.runs and rig.members()["m2"].in_flight == 0
    apps["m1"].gate.set()
    assert (first.ended().result, second.ended().result) == ("m1", "m1")
    (member,) = leaving.ended().result["balancers"][0]["members"]
    assert member["waited"]["for"] == "in flight 0" and member["after"]["in_flight"] == 0


def test_a_client_that_a_former_worker_keeps_may_bring_a_request(make, apps):
    rig = make(GIVEN, defaults=KEPT)
    client = http.client.HTTPConnection("127.0.0.1", rig.port, timeout=20)

    def answered():
        client.request("GET", "/", headers={"Cookie": "SRV=m1"})
        return client.getresponse().read().decode()

    assert answered() == "m1"
    rig.reload()
    leaving = Aside(lambda: set_pool(rig.entry(), ["m1"], state="disabled"))
    rig.wait_until("m1 is out", lambda pool: pool["m1"].state == "disabled" and pool["m1"].in_flight == 1)
    assert leaving.runs
    assert answered() == "m1"  # the former worker does not know that it is out
    assert leaving.ended().error is None


def test_a_long_request_elsewhere_holds_nobody(make, apps):
    rig = make(GIVEN)
    elsewhere = held(rig, apps, "m2")
    rig.reload()
    assert set_pool(rig.entry(), ["m1"], state="disabled")["changed"]
    assert elsewhere.runs
    apps["m2"].gate.set()
    assert elsewhere.ended().result == "m2"


def test_a_member_that_is_called_otherwise_now_is_found_by_its_address(make, apps):
    rig = make(GIVEN)
    slow = held(rig, apps, "m1")
    rig.settings.members["new"] = rig.settings.members.pop("m1")
    (rig.directory / "haproxy.cfg").write_text(rig._configuration(), encoding="utf-8")
    rig.reload()
    rig.ask(f"set server {POOL}/new state maint")
    assert rig.members()["new"].in_flight == 1
    apps["m1"].gate.set()
    slow.ended()


@pytest.mark.parametrize("way", [GIVEN, PROC])
def test_at_the_deadline_the_former_worker_is_named(make, apps, way):
    rig = make(way)
    slow = held(rig, apps, "m1")
    rig.reload()
    driver = rig.driver()
    rig.ask(f"set server {POOL}/m1 state maint")
    busy = {member.name: member.in_flight for member in driver.members(POOL) if member.name == "m1"}
    said = driver.busy_sentence(POOL, busy)
    assert busy["m1"] >= 1 and "1 former worker (process " in said and "`hard-stop-after`" in said
    rig.ask(f"set server {POOL}/m1 state ready")
    with pytest.raises(TimedOut, match=r"in flight \(m1: \d+\)"):
        set_pool(rig.entry(), ["m1"], state="disabled", drain_timeout=0.2)
    apps["m1"].gate.set()
    assert slow.ended().result == "m1"
    until("it has ended", lambda: driver.members(POOL) and driver.busy_sentence(POOL, busy), lambda said: said == "")


def test_at_the_deadline_requests_of_former_workers_can_be_cut(make, apps):
    rig = make(GIVEN)
    slow = held(rig, apps, "m1")
    rig.reload()
    result = set_pool(rig.entry(), ["m1"], state="disabled", drain_timeout=0.2, on_drain_timeout="cut")
    assert result["balancers"][0]["members"][0]["waited"]["cut"] == 1
    assert slow.ended().error is not None


@pytest.mark.parametrize("way", [PROC, PLAIN])
def test_where_a_former_worker_cannot_be_looked_into_nothing_is_known(make, apps, way, monkeypatch):
    rig = make(way)
    slow = held(rig, apps, "m1")

    def forbidden(pid):
        raise PermissionError

    monkeypatch.setattr(haproxy_processes, "connections", forbidden)
    monkeypatch.setattr(haproxy_processes, "may_look", lambda pid: False)
    driver = rig.driver()
    rig.ask(f"set server {POOL}/m1 state maint")
    assert {member.name: member.in_flight for member in driver.members(POOL)} == {"m1": 1, "m2": 0, "m3": 0}
    rig.ask(f"set server {POOL}/m1 state ready")
    rig.reload()
    rig.ask(f"set server {POOL}/m1 state maint")
    assert {member.name: member.in_flight for member in driver.members(POOL)} == {"m1": None, "m2": 0, "m3": 0}
    assert "cannot be looked into" in driver.in_flight_source
    assert "`become`" in driver.busy_sentence(POOL, {"m1": None}) and "`master_socket`" in driver.busy_sentence(POOL, {"m1": None})
    apps["m1"].gate.set()
    slow.ended()
    until("it is idle", lambda: driver.members(POOL)[0].in_flight, lambda count: count == 0)


def test_the_source_of_the_count_is_told(make):
    rig = make(FOUND)

    def source(entry):
        driver = driver_for(entry)
        driver.members(POOL)
        return driver.in_flight_source

    assert f"the master socket {rig.master_socket}, in former workers" in source(rig.entry(master_socket=str(rig.master_socket)))
    assert "of its command line" in source(rig.entry()) and "of its command line" in source(rig.tcp_entry())
    rig.close()
    assert "connections of former workers to the member in /proc" in source(make(PROC).entry())


def test_from_another_machine_former_workers_may_be_busy_for_some_time_after_a_reload(make, monkeypatch):
    rig = make(PROC)
    monkeypatch.setattr(haproxy.RuntimeApi, "is_here", False)
    driver = driver_for(rig.tcp_entry())
    rig.ask(f"set server {POOL}/m1 state maint")
    assert {member.name: member.in_flight for member in driver.members(POOL)} == {"m1": None, "m2": 0, "m3": 0}
    assert "set `master_socket` or `master_address`" in driver.in_flight_source
    monkeypatch.setattr(haproxy_workers, "UNSEEN", 0)
    assert driver.members(POOL)[0].in_flight == 0


def test_another_haproxys_master_is_refused(make):
    one, other = make(GIVEN), make(GIVEN)
    with pytest.raises(InvalidInput, match=r"master socket of another HAProxy.*Nothing was touched"):
        set_pool(one.entry() | {"master_socket": str(other.master_socket)}, ["m1"], state="disabled")
    assert one.members()["m1"].state == "enabled"


def test_a_workers_socket_is_no_masters(make):
    rig = make(GIVEN)
    with pytest.raises(Unreachable, match="is not HAProxy's master socket"):
        read(rig.entry() | {"master_socket": str(rig.socket)})


def test_the_masters_socket_is_no_workers_and_is_named(make):
    rig = make(GIVEN)
    with pytest.raises(Unreachable, match=r"socket of HAProxy's master process.*`stats socket`.*as `socket`.*as `master_socket`"):
        read({"provider": "haproxy", "socket": str(rig.master_socket)})


def test_while_every_member_takes_requests_nothing_is_asked(make, monkeypatch):
    rig = make(GIVEN)
    driver = rig.driver()
    driver.members(POOL)
    monkeypatch.setattr(haproxy_workers.Info, "read", None)
    driver.members(POOL)


def test_an_http_server_is_said_to_be_one(proxy):
    with impostor(lambda asked: http_answer("hello")) as address, pytest.raises(Unreachable, match="An HTTP server answers.*200 OK"):
        read({"provider": "haproxy", "address": address})
    with pytest.raises(Unreachable, match="An HTTP server answers.*400 Bad request"):
        read({"provider": "haproxy", "address": f"127.0.0.1:{proxy.port}"})
    with impostor(lambda asked: b"220 mail ready\r\n") as address, pytest.raises(Unreachable, match="is not HAProxy.*220 mail ready"):
        read({"provider": "haproxy", "address": address})


def test_a_state_file_that_cannot_be_written_is_found_before_anything_is(proxy, monkeypatch):
    written = []
    exchange = haproxy.RuntimeApi._exchange
    monkeypatch.setattr(haproxy.RuntimeApi, "_exchange", lambda self, line: (written.append(line), exchange(self, line))[1])
    missing = proxy.directory / "missing" / "state"
    with pytest.raises(Refused, match=r"state cannot be written: No such file.*Nothing was touched") as failure:
        set_pool(proxy.entry(state_file=str(missing)), ["m1"], state="disabled")
    assert "NOT" not in failure.value.message and not any("set server" in line for line in written)
    with pytest.raises(Refused, match="Is a directory"):
        set_pool(proxy.entry(state_file=str(proxy.directory)), ["m1"], state="disabled")


def test_a_state_file_that_fails_afterwards_does_not_spoil_the_way_back(proxy, monkeypatch):
    def full(self, content):
        raise Refused("No space left.")

    monkeypatch.setattr(ConfigFile, "write", full)
    with pytest.raises(Refused, match=r"No space left\. The members are as they were before \(m1\)"):
        set_pool(proxy.entry(state_file=str(proxy.directory / "state")), ["m1"], state="disabled")
    assert proxy.members()["m1"].state == "enabled"


def test_a_version_that_cannot_add_servers_is_told_in_a_sentence(proxy, apps, monkeypatch):
    exchange = haproxy.RuntimeApi._exchange
    helping = "Unknown command. Please enter one of the following commands only :\n" + "  help : this message\n" * 200 + "\n"
    monkeypatch.setattr(
        haproxy.RuntimeApi, "_exchange", lambda self, line: helping if "add server" in line else exchange(self, line)
    )
    with pytest.raises(Refused, match="does not know the command `add server`: it can add servers from 2.5 on") as failure:
        set_pool(proxy.entry(), ["m9"], state="enabled", addresses={"m9": f"127.0.0.1:{apps['m4'].port}"})
    assert len(failure.value.message) < 300
