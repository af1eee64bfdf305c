# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only Traefik has."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import re
import socket
import threading

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.config_file import ConfigFile
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.http_api import HttpApi
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    InvalidInput,
    NotApplied,
    Refused,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Aside, Asking, Bound, Load
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import POOL, read, set_pool, until

OUT = "app.zero_downtime-out"


@pytest.fixture
def traefik(make_traefik):
    return make_traefik()


def services(rig):
    return json.loads(rig.file.read_text(encoding="utf-8"))["http"]["services"]


def put(rig, text):
    """Write the file as anybody should: beside the folder, and renamed into it."""
    new = rig.directory / "new.yml"
    new.write_text(text, encoding="utf-8")
    new.rename(rig.file)


def test_who_is_out_is_seen_in_the_file_and_by_traefik(traefik, apps):
    set_pool(traefik.entry(), ["m2"], state="disabled", weight=7)
    url = f"http://127.0.0.1:{apps['m2'].port}#1"
    assert services(traefik)[OUT] == {"loadBalancer": {"servers": [{"url": url, "weight": 7}]}}
    answer = traefik.driver().api.http.ask("GET", f"/api/http/services/{OUT}@file").json()
    assert answer["status"] == "enabled" and "usedBy" not in answer and "serverStatus" not in answer
    assert "zero_downtime" not in traefik.log() and "ERR" not in traefik.log()


def test_the_file_is_as_before_when_all_have_returned(traefik):
    before = traefik.file.read_bytes()
    set_pool(traefik.entry(), ["m1", "m3"], state="disabled")
    set_pool(traefik.entry(), ["m2"], state="disabled")
    assert list(traefik.members()) == ["m1", "m2", "m3", "m4"]
    assert traefik.file.read_bytes() != before
    set_pool(traefik.entry(), ["m2", "m3"], state="enabled")
    set_pool(traefik.entry(), ["m1"], state="enabled")
    assert traefik.file.read_bytes() == before


def got(rig):
    """What users got: requests, errors, and who left."""
    (balancer,) = read(rig.entry(), counters=True)["balancers"]
    return balancer["served"] and tuple(balancer["served"][kind] for kind in ("requests", "errors", "left"))


@pytest.mark.needs("served")
def test_clients_that_leave_are_told_apart_and_a_change_forgets_nobody(make_traefik):
    rig = make_traefik(checked=False, wait=False)
    assert Asking(rig.port, keep=False, timeout=0.2).ask(2, "/hold") == 2
    until("they are counted", lambda: got(rig), lambda seen: seen == (2, 0, 2))
    set_pool(rig.entry(), ["m1"], state="disabled")
    assert Asking(rig.port, keep=False).ask(3) == 0
    until("they are counted, too", lambda: got(rig), lambda seen: seen == (5, 0, 2))
    # Nobody is left, and Traefik answers by itself.
    set_pool(rig.entry(), ["m2", "m3", "m4"], state="disabled", min_available=0)
    assert Asking(rig.port, keep=False).ask(3) == 3
    until("they are counted, too", lambda: got(rig), lambda seen: seen == (8, 3, 2))


@pytest.mark.needs("served")
def test_without_routers_in_its_metrics_it_does_not_tell(make_traefik):
    rig = make_traefik(more={"extra": {"metrics": {"prometheus": {}}}})
    Asking(rig.port, keep=False).ask(1)
    until("the request is in the metrics", lambda: got(rig) is None)


def test_what_a_person_wrote_and_its_owner_and_mode_stay(traefik, apps):
    ports = {name: app.port for name, app in apps.items()}
    written = (
        """{ "http":
  { "middlewares": {"slim": {"compress": {}}},
    "services": { "app": {"loadBalancer": {
        "sticky": {"cookie": {"name": "SRV"}},   "servers": [
            {"weight": 100, "url": "http://127.0.0.1:%(m1)d", "preservePath": false},
            {"url":"http://127.0.0.1:%(m2)d"},
            { "url": "http://127.0.0.1:%(m3)d", "weight": 100 } ],
        "healthCheck": {"path": "\\u002fhealth", "interval": "100ms"}}},
      "other": {"loadBalancer": {"servers": [{"url": "http://127.0.0.1:%(m4)d"}]}} }
  }
}
"""
        % ports
    )
    put(traefik, written)
    os.chmod(traefik.file, 0o640)
    if os.getuid() == 0:
        os.chown(traefik.file, 65534, 65534)
    kept = os.stat(traefik.file)
    one = Change(f"127.0.0.1:{ports['m1']}", "disabled")
    two = Change(f"127.0.0.1:{ports['m2']}", None, 5)
    traefik.driver().apply(POOL, [one, two])
    text = traefik.file.read_text(encoding="utf-8")
    assert f'{{"weight": 100, "url": "http://127.0.0.1:{ports["m1"]}#0", "preservePath": false}}' in text
    assert f'{{"url":"http://127.0.0.1:{ports["m2"]}", "weight": 5}}' in text
    lines = set(written.splitlines()) - set(text.splitlines())
    assert len(lines) == 3 and not any("other" in line or "slim" in line for line in lines)
    assert '"healthCheck": {"path": "\\u002fhealth", "interval": "100ms"}}}, "app.zero_downtime-out"' in text
    traefik.driver().apply(POOL, [Change(one.name, "enabled"), Change(two.name, None, 1)])
    assert traefik.file.read_text(encoding="utf-8") == written.replace(
        f'{ports["m2"]}"}}', f'{ports["m2"]}", "weight": 1}}'
    )
    now = os.stat(traefik.file)
    assert (now.st_mode, now.st_uid, now.st_gid) == (kept.st_mode, kept.st_uid, kept.st_gid)


def test_no_request_that_begins_after_the_write_reaches_the_member(traefik, apps):
    name = f"127.0.0.1:{apps['m1'].port}"
    with Load(traefik.port) as load:
        for _each in range(15):
            traefik.driver().apply(POOL, [Change(name, "disabled")])
            assert "m1" not in {Bound(traefik.port).get() for each in range(30)}
            traefik.driver().apply(POOL, [Change(name, "enabled")])
    assert load.failures == []


@pytest.mark.needs("fresh_health")
def test_the_health_of_a_returning_member_is_checked_where_no_request_goes(traefik, apps):
    set_pool(traefik.entry(), ["m1"], state="disabled")
    apps["m1"].health = 503
    checks, served = apps["m1"].checks, apps["m1"].served
    returning = Aside(lambda: set_pool(traefik.entry(), ["m1"], state="enabled"))
    pool = traefik.wait_until("its check fails", lambda pool: traefik.check_failed(pool["m1"]))
    assert (pool["m1"].state, pool["m1"].health) == ("drained", "down")
    for target in ("/", "*", "http://x/", "//", "/%2e%2e/", ""):
        raw(traefik.port, f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert apps["m1"].served == served and apps["m1"].checks > checks
    apps["m1"].health = 200
    assert returning.ended().error is None
    assert [name for name in services(traefik) if "zero_downtime" in name] == []
    assert "routers" not in json.loads(traefik.file.read_text(encoding="utf-8"))["http"]


class Relay:
    """Metrics of another Traefik's making: what it really says, changed on the way."""

    def __init__(self, rig, change):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                text = rig.driver().metrics.ask("GET", "").text
                body = "".join(change(line) for line in text.splitlines(keepends=True)).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}/metrics"

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.server.shutdown()
        self.server.server_close()


def as_before_3_2(line):
    """With a hash in place of the service's name."""
    return re.sub('(traefik_service_server_up{service=)"[^"]*"', r'\1"132ed4dda3adf540"', line)


@pytest.mark.needs("fresh_health")
def test_metrics_that_do_not_name_the_service_prove_no_check(traefik):
    with Relay(traefik, as_before_3_2) as relay:
        entry = traefik.entry(metrics_url=relay.url)
        (seen,) = read(entry)["balancers"]
        assert (seen["capabilities"]["fresh_health"], seen["capabilities"]["health_readback"]) == (False, True)
        assert {m["health"] for m in seen["members"]} == {"up"}
        set_pool(entry, ["m1"], state="disabled")
        before = traefik.file.read_bytes()
        with pytest.raises(
            InvalidInput, match="does not tell whether its check, begun anew, passes.*Nothing was touched"
        ):
            set_pool(entry, ["m1"], state="enabled", health="fresh")
        assert traefik.file.read_bytes() == before
    set_pool(traefik.entry(), ["m1"], state="enabled", health="fresh")


@pytest.mark.needs("fresh_health")
def test_before_the_first_check_nothing_is_denied(make_traefik):
    rig = make_traefik(interval=30, wait=False)
    (seen,) = read(rig.entry())["balancers"]
    assert seen["capabilities"]["fresh_health"]
    assert {m["last_check"] for m in seen["members"]} == {"serverStatus UP"}


@pytest.mark.needs("fresh_health")
def test_metrics_of_another_traefik_are_found_out_when_a_member_is_to_leave(make_traefik):
    rig, other = make_traefik(), make_traefik()
    before = rig.file.read_bytes()
    entry = rig.entry(metrics_url=f"{other.url}/metrics", timeout=1)
    with pytest.raises(
        NotApplied, match="still show no new configuration.*those of another Traefik.*as they were before"
    ):
        set_pool(entry, ["m1"], state="disabled")
    assert rig.file.read_bytes() == before and rig.members()["m1"].state == "enabled"


@pytest.mark.needs("served")
def test_a_server_that_its_answers_put_out_is_not_available(make_traefik, apps):
    passive = {"passiveHealthCheck": {"maxFailedAttempts": 1, "failureWindow": "60s"}}
    rig = make_traefik(checked=False, wait=False, more={"service": passive})
    apps["m1"].kill()
    until("it was asked", lambda: Bound(rig.port).get() and not rig.members()["m1"].available)
    member = rig.members()["m1"]
    assert (member.health, member.last_check) == ("down", "server_up 0 by its answers")
    with pytest.raises(Refused, match="Nothing was touched"):
        set_pool(rig.entry(), ["m2"], state="disabled", min_available=3)


def raw(port, text):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(text.encode())
        while connection.recv(4096):
            pass


@pytest.mark.needs("fresh_health")
def test_a_change_does_not_make_a_member_healthy_that_is_down(traefik, apps):
    apps["m4"].health = 500
    traefik.wait_until("m4 is down", lambda pool: pool["m4"].health == "down")
    # Traefik holds it to be UP after each of these, until its next check.
    for weight in (20, 30, 40):
        assert {m.name: m for m in traefik.balancer().apply(POOL, [Change("m1", None, weight)])}["m4"].health == "down"


def test_a_file_that_traefik_rejects_is_put_back(traefik):
    text = traefik.file.read_text(encoding="utf-8").replace('"sticky"', '"stickyy"')
    put(traefik, text)
    with pytest.raises(NotApplied, match=r"does not run what .*pool\.yml says.*Look at its log"):
        traefik.balancer().apply(POOL, [Change("m1", "disabled")])
    assert traefik.file.read_text(encoding="utf-8") == text
    assert Bound(traefik.port).get()


def test_a_file_that_traefik_does_not_watch_is_put_back(traefik, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    other = tmp_path / "elsewhere" / "pool.yml"
    other.write_bytes(traefik.file.read_bytes())
    with pytest.raises(NotApplied, match="does not run what.*one that its file provider watches.*as they were before"):
        set_pool(traefik.entry(file=str(other), timeout=1), ["m1"], state="disabled")
    assert other.read_bytes() == traefik.file.read_bytes()


UNREAD = "goes on with what it ran before.*`watch` not false.*Mount the directory.*as they were before"


def test_a_file_that_traefik_does_not_watch_for_changes_is_put_back(make_traefik):
    rig = make_traefik(more={"providers": {"file": {"watch": False}}})
    text = rig.file.read_bytes()
    with pytest.raises(NotApplied, match=UNREAD):
        set_pool(rig.entry(timeout=1), ["m1"], state="disabled")
    assert rig.file.read_bytes() == text


def test_a_single_file_that_is_mounted_is_put_back(make_traefik, tmp_path):
    rig = make_traefik()
    rig.stop()
    # Another name of the same file: as within a container, it stays what it was when the file is replaced.
    inside = tmp_path / "inside" / "pool.yml"
    inside.parent.mkdir()
    os.link(rig.file, inside)
    rig.providers = {"file": {"directory": "", "filename": str(inside)}}
    rig.start()
    text = rig.file.read_bytes()
    with pytest.raises(NotApplied, match=UNREAD):
        set_pool(rig.entry(timeout=1), ["m1"], state="disabled")
    assert rig.file.read_bytes() == text


def test_a_file_that_is_not_what_runs_is_told_when_it_is_read(make_traefik):
    rig = make_traefik(more={"providers": {"file": {"watch": False}}})
    put(rig, rig.file.read_text(encoding="utf-8").replace('"weight": 100', '"weight": 50', 1))
    with pytest.raises(Unreachable, match="does not run what.*it runs other servers.*as it was when last read"):
        read(rig.entry(timeout=0.3))


def test_a_member_that_is_back_in_the_list_is_in_traffic_whatever_is_kept_of_it(traefik):
    set_pool(traefik.entry(), ["m1", "m2"], state="disabled", weight=7)
    # A tool, or a person, writes the list anew and leaves the rest of the file.
    described = json.loads(traefik.file.read_text(encoding="utf-8"))
    described["http"]["services"][POOL] = traefik.pool()["http"]["services"][POOL]
    put(traefik, json.dumps(described))
    pool = traefik.members()
    assert {name: (member.state, member.weight) for name, member in pool.items()} == {
        name: ("enabled", 100) for name in ("m1", "m2", "m3", "m4")
    }
    set_pool(traefik.entry(), ["m3"], state="disabled")
    (kept,) = services(traefik)[OUT]["loadBalancer"]["servers"]
    assert kept["url"] == f"http://{traefik.address('m3')}#2"
    set_pool(traefik.entry(), ["m3"], state="enabled")
    assert OUT not in services(traefik)


def test_a_router_of_ours_that_leads_nowhere_goes_with_the_next_write(traefik):
    described = json.loads(traefik.file.read_text(encoding="utf-8"))
    stray = {"rule": "PathPrefix(`/`) && !PathPrefix(`/`)", "service": "app.zero_downtime-back-0123abcd"}
    described["http"]["routers"] = {"app.zero_downtime-back-0123abcd": stray}
    put(traefik, json.dumps(described))
    set_pool(traefik.entry(), ["m1"], weight=50)
    assert "routers" not in json.loads(traefik.file.read_text(encoding="utf-8"))["http"]


def test_what_runs_is_another_once_the_file_was_replaced_or_traefik_restarted(traefik):
    balancer = traefik.balancer()
    first = balancer.running()
    assert balancer.running()[0] == first[0] and 0 <= first[1] < 600
    put(traefik, traefik.file.read_text(encoding="utf-8"))
    second = balancer.running()
    assert second[0] != first[0]
    traefik.restart()
    assert balancer.running()[0] not in (first[0], second[0])


def test_how_long_a_check_takes_is_told_by_the_service(make_traefik):
    timing = make_traefik(interval=1.5, wait=False).balancer().timing(POOL)
    assert (timing.check, timing.source) == (3.5, "interval 1.5s, timeout 2s of the service's healthCheck")
    assert make_traefik(checked=False).balancer().timing(POOL).check is None


def test_a_file_in_another_encoding_is_called_that(traefik):
    content = traefik.file.read_bytes()
    traefik.file.write_bytes(content.replace(b'"SRV"', b'"S\xc4V"'))
    with pytest.raises(Unreachable, match=r"pool\.yml is not UTF-8: the byte 0xc4 at offset \d+ .*Latin-1"):
        open_balancer({"timeout": 5.0, **traefik.entry()}).members(POOL)


def test_an_api_behind_a_host_name_is_told_from_one_that_is_elsewhere(make_traefik):
    api = {"api": {"rule": "Host(`traefik.example`)", "service": "api@internal", "entryPoints": ["other"]}}
    rig = make_traefik()
    routing = json.loads((rig.folder / "routing.yml").read_text(encoding="utf-8"))
    routing["http"]["routers"].update(api)
    new = rig.directory / "routing.yml"
    new.write_text(json.dumps(routing), encoding="utf-8")
    new.rename(rig.folder / "routing.yml")
    http = HttpApi("Traefik", 5, f"http://127.0.0.1:{rig.other_port}", headers={"Host": "traefik.example"})
    until("its router is there", lambda: http.ask("GET", "/api/version").status == 200)
    with pytest.raises(
        Unreachable,
        match=r"it said 404 404 page not found.*not at this address.*one host name.*curl -H 'Host: NAME' http.*/api/version",
    ):
        read(rig.entry(url=f"http://127.0.0.1:{rig.other_port}"))


def test_an_edit_at_the_same_time_is_noticed_and_stays(traefik, monkeypatch):
    driver = traefik.driver()
    read_pool = driver._read

    def meanwhile(pool):
        seen = read_pool(pool)
        put(traefik, traefik.file.read_text(encoding="utf-8") + "\n")
        return seen

    monkeypatch.setattr(driver, "_read", meanwhile)
    with pytest.raises(NotApplied, match="changed by somebody else"):
        driver.apply(POOL, [Change(driver.members(POOL)[0].name, "disabled")])
    assert OUT not in services(traefik)


def test_a_reader_is_not_misled_by_a_file_that_is_replaced_meanwhile(traefik, monkeypatch):
    driver = traefik.driver()
    texts = [traefik.file.read_text(encoding="utf-8")]
    set_pool(traefik.entry(), ["m1"], state="disabled")
    read_file = ConfigFile.read
    monkeypatch.setattr(ConfigFile, "read", lambda self: texts.pop() if texts else read_file(self))
    assert driver.members(POOL)[0].state == "disabled"


def test_the_last_member_leaves_and_returns(make_traefik, apps):
    rig = make_traefik(members={"m1": apps["m1"].port})
    before = rig.file.read_bytes()
    set_pool(rig.entry(), ["m1"], state="disabled", min_available=0)
    assert rig.members()["m1"].state == "disabled"
    set_pool(rig.entry(), ["m1"], state="enabled")
    assert json.loads(rig.file.read_bytes()) == json.loads(before)


def test_two_hundred_members_leave_and_return(make_traefik, apps):
    ports = {f"m{number:03}": apps["m1"].port for number in range(1)}
    ports.update({f"m{number:03}": 20000 + number for number in range(1, 200)})
    rig = make_traefik(members=ports, checked=False)
    before = rig.file.read_bytes()
    set_pool(rig.entry(), list(ports), state="disabled", weight=7, min_available=0, drain_wait=0.01)
    assert {(m.state, m.weight) for m in rig.members().values()} == {("disabled", 7)}
    set_pool(rig.entry(), list(ports), state="enabled", weight=100, health="none")
    assert list(rig.members()) == list(ports)
    assert json.loads(rig.file.read_bytes()) == json.loads(before)


def test_two_writers_of_the_file_lose_nothing(traefik, apps, monkeypatch):
    put_in_place = ConfigFile._put
    both = threading.Barrier(2)

    def slow(self, content):
        with contextlib.suppress(threading.BrokenBarrierError):
            both.wait(1)  # for the other one to get as far, having read the same
        put_in_place(self, content)

    monkeypatch.setattr(ConfigFile, "_put", slow)
    writers = [
        Aside(lambda name=name: traefik.balancer().apply(POOL, [Change(name, "disabled")])) for name in ("m1", "m2")
    ]
    assert [writer.ended().error for writer in writers] == [None, None]
    assert [traefik.members()[name].state for name in ("m1", "m2")] == ["disabled", "disabled"]


def test_two_members_return_side_by_side(traefik):
    set_pool(traefik.entry(), ["m1", "m2"], state="disabled")
    both = [Aside(lambda name=name: set_pool(traefik.entry(), [name], state="enabled")) for name in ("m1", "m2")]
    assert [each.ended().error for each in both] == [None, None]
    assert {m.state for m in traefik.members().values()} == {"enabled"}


@pytest.mark.needs("fresh_health")
def test_a_check_that_has_passed_is_forgotten_when_asked_anew(make_traefik):
    rig = make_traefik(interval=2)
    doubted = [Change("m1", "drained")]
    assert rig.balancer().apply(POOL, doubted, distrust=True)[0].health == "down"
    rig.wait_until("its check has passed", lambda pool: pool["m1"].health == "up")
    assert rig.balancer().apply(POOL, doubted, distrust=True)[0].health == "down"
    rig.wait_until("its next check has passed", lambda pool: pool["m1"].health == "up")


def test_members_come_and_go(make_traefik, apps):
    rig = make_traefik(members={name: apps[name].port for name in ("m1", "m2")})
    address = f"127.0.0.1:{apps['m3'].port}"
    entry = {**rig.entry(), "names": {**rig.entry()["names"], "m3": address}}
    options = {"addresses": {"m3": address}, "state": "enabled", "weight": 40}
    assert set_pool(entry, ["m3"], check=True, **options)["changed"]
    set_pool(entry, ["m3"], **options)
    until("it serves", lambda: Bound(rig.port).get() == "m3")
    assert not set_pool(entry, ["m3"], **options)["changed"]
    set_pool(entry, ["m3"], state="absent")
    assert list(rig.members()) == ["m1", "m2"] and address not in rig.file.read_text(encoding="utf-8")
    with pytest.raises(
        InvalidInput, match="knows its servers by address.*Give it another one for the tasks with `names`"
    ):
        set_pool(rig.entry(), ["m9"], addresses={"m9": address}, state="enabled")


def test_members_are_known_by_their_addresses(traefik, apps):
    entry = {**traefik.entry(), "names": None}
    assert [m["name"] for m in read(entry)["balancers"][0]["members"]] == [
        f"127.0.0.1:{app.port}" for app in apps.values()
    ]


@pytest.mark.parametrize("strategy", ["p2c", "leasttime"])
def test_a_strategy_without_weights(make_traefik, strategy):
    rig = make_traefik(more={"service": {"strategy": strategy}})
    assert read(rig.entry())["balancers"][0]["capabilities"]["weight_range"] is None
    with pytest.raises(InvalidInput, match="has no weights, or none as it is configured"):
        set_pool(rig.entry(), ["m1"], weight=5)
    set_pool(rig.entry(), ["m1"], state="disabled")
    set_pool(rig.entry(), ["m1"], state="enabled")
    assert rig.members()["m1"].available


def test_a_pool_with_capitals_in_its_name(traefik):
    text = traefik.file.read_text(encoding="utf-8").replace('"app"', '"App-Ä.1"')
    put(traefik, text)
    assert len(traefik.balancer().members("App-Ä.1")) == 4
    with pytest.raises(InvalidInput, match=r"no pool 'app'.*are: App-Ä\.1\."):
        traefik.members()


@pytest.mark.parametrize("pool", [OUT, "weighted", "rangeless"])
def test_what_is_no_pool(traefik, pool):
    set_pool(traefik.entry(), ["m1"], state="disabled")
    described = json.loads(traefik.file.read_text(encoding="utf-8"))
    described["http"]["services"]["weighted"] = {"weighted": {"services": [{"name": POOL, "weight": 1}]}}
    described["http"]["services"]["rangeless"] = {"loadBalancer": {"passHostHeader": True}}
    put(traefik, json.dumps(described))
    with pytest.raises(InvalidInput, match="Nothing was touched"):
        read(traefik.entry(), pool=pool)


def test_yaml_is_refused_with_the_way_out(traefik):
    put(traefik, "http:\n  services: {}  # a comment\n")
    with pytest.raises(InvalidInput, match=r"is not JSON .*file of its own.*named \.yml.*Nothing was touched"):
        traefik.members()
    with pytest.raises(InvalidInput, match=r"file named \.yml, .*or \.toml alone|files named \.yml"):
        open_balancer({**traefik.entry(), "file": "/etc/traefik/pool.json"})


class Garbage:
    """Something that answers every request with the same."""

    def __init__(self, status, body):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b"401 Unauthorized", Refused),
        (403, b"", Refused),
        (404, b"404 page not found", Unreachable),
        (200, b"<html>hello</html>", Unreachable),
        (200, b"{}", Unreachable),
        (200, b'"text"', Unreachable),
        (200, b"[" * 100000, Unreachable),
        (200, b"\xff\xfe", Unreachable),
        (200, b"[]", Unreachable),
        (200, b'[1, null, {"name": 5}, {"name": "app@file"}]', Unreachable),
        (200, b'[{"name": "app@file", "loadBalancer": {"servers": [{"url": 5}]}}]', Unreachable),
        (200, b'[{"name": "app@file", "loadBalancer": [], "error": 7}]', Unreachable),
    ],
)
def test_something_else_answers(traefik, status, body, error):
    stranger = Garbage(status, body)
    entry = traefik.entry(url=stranger.url, timeout=0.3)
    text = traefik.file.read_text(encoding="utf-8")
    with pytest.raises(error, match="Traefik"):
        read(entry)
    with pytest.raises(error):
        set_pool(entry, ["m1"], state="disabled")
    assert traefik.file.read_text(encoding="utf-8") == text
    stranger.server.shutdown()
    stranger.server.server_close()


def test_metrics_that_are_none(traefik):
    stranger = Garbage(200, b"hello")
    with pytest.raises(Unreachable, match="not Traefik's metrics"):
        read(traefik.entry(metrics_url=stranger.url))
    stranger.server.shutdown()
    stranger.server.server_close()
