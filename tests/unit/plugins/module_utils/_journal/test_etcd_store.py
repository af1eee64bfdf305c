# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only a place that is asked over the network has: it is down, hangs, says no, loses answers, and has a clock of its own."""

from __future__ import annotations

import json
import os
import socket
import ssl
import threading
import time
from contextlib import contextmanager

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    DeployError,
    InvalidInput,
    Refused,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal.etcd_store import EtcdStore
from ansible_collections.zero_downtime.deploy.tests.support.etcd.server import EtcdServer
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils._use_cases.places import (
    ALEX,
    KIM,
    InEtcd,
)

SECRET = "pass-word-of-tests"


@pytest.fixture
def shop(etcd):
    return InEtcd(etcd)


@pytest.fixture
def own(etcd_binary, tmp_path):
    """``own(*options)``: a service in an etcd that the test may do anything to."""
    servers = []

    def start(*options):
        directory = tmp_path / f"etcd-{len(servers)}"
        directory.mkdir()
        servers.append(EtcdServer(etcd_binary, directory, *options))
        return InEtcd(servers[-1])

    yield start
    for server in servers:
        server.go_on()
        server.stop()


@pytest.fixture
def nobody():
    """A URL where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


def told(shop, **options):
    """The service with other options of etcd."""
    other = InEtcd(shop.server)
    other.prefix = shop.prefix
    other.given = {"etcd": {**shop.given["etcd"], **options}}
    return other


# Down, hanging, one of two


def test_nobody_there(shop, nobody):
    for check_mode in (False, True):
        with pytest.raises(Unreachable, match=f"etcd at {nobody}: connection refused.*Nothing was changed"):
            told(shop, urls=[nobody]).begin(check_mode=check_mode)


def test_all_members_that_were_asked_are_named(shop, nobody):
    with pytest.raises(Unreachable) as error:
        told(shop, urls=[nobody, "http://127.0.0.1:1"]).begin()
    assert nobody in error.value.message and "http://127.0.0.1:1:" in error.value.message


def test_one_member_is_enough(shop, nobody):
    begun = told(shop, urls=[nobody, shop.server.url]).begin()
    assert shop("read")["lease"]["rollout"] == begun["id"]


def test_one_that_hangs_keeps_nobody_and_nothing_of_it_is_written(own):
    shop = own()
    begun = shop.begin()
    shop.server.hang()
    with pytest.raises(Unreachable, match="no answer within 0.5 s.*Nothing was changed"):
        told(shop, timeout=0.5).record(begun, event="x")
    shop.server.go_on()
    assert shop("read")["journal"]["events"] == []


def test_one_that_hangs_is_asked_once(shop):
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        url = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        told(shop, urls=[url, shop.server.url], timeout=0.5).begin()
        hanging.setblocking(False)
        hanging.accept()[0].close()
        with pytest.raises(BlockingIOError):
            hanging.accept()


def test_it_survives_a_crash_of_etcd(own):
    shop = own()
    begun = shop.begin(ttl=600)
    shop.record(begun, event="x")
    shop.server.stop()
    with pytest.raises(Unreachable):
        shop.record(begun, event="y")
    shop.server.start()
    known = shop("read")
    assert known["lease"]["owner"]["name"] == "kim" and not known["lease"]["expired"]
    assert [event["event"] for event in known["journal"]["events"]] == ["x"]
    shop.record(begun, event="y")


# Who may


def test_users_and_rights(own):
    shop = own()
    with pytest.raises(Refused, match="authentication is not enabled there"):
        told(shop, username="kim", password=SECRET).begin()
    shop.server.protect(shop.prefix + "/", "kim", SECRET, "READ")
    with pytest.raises(Refused, match="asks who this is.*Give username and password"):
        shop.begin()
    with pytest.raises(Refused, match="does not let user kim in") as error:
        told(shop, username="kim", password=SECRET + "x").begin()
    assert SECRET not in error.value.message
    kim = told(shop, username="kim", password=SECRET)
    assert kim("read")["lease"]["fence"] == 0
    for check_mode in (True, False):
        with pytest.raises(Refused, match="may not|does not let user kim read and write the keys below"):
            kim.begin(check_mode=check_mode)
    assert kim("read")["lease"]["fence"] == 0
    root = shop.server.ask("auth/authenticate", {"name": "root", "password": "root"})["token"]
    shop.server.permit(shop.prefix + "/", "kim", "READWRITE", root)
    assert kim.begin(check_mode=True)["fence"] == kim.begin()["fence"] == 1


def test_a_user_that_is_changed_in_between(own):
    """A token that was good when the first question was asked is not when the second one is."""
    shop = own()
    shop.server.protect(shop.prefix + "/", "kim", SECRET)
    store = EtcdStore({**_options(shop), "username": "kim", "password": SECRET}, "shop")
    root = shop.server.ask("auth/authenticate", {"name": "root", "password": "root"})["token"]

    def work(records, _now):
        shop.server.ask("auth/user/changepw", {"name": "kim", "password": SECRET}, root)
        return {"ids": records.ids()}

    assert store.look(Clock(), work) == {"ids": []}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"urls": []}, "urls is empty"),
        ({"urls": ["etcd1:2379"]}, "http://host:port"),
        ({"urls": [f"http://kim:{SECRET}@127.0.0.1:2379"]}, "Credentials have options of their own"),
        ({"username": "kim"}, "one is missing"),
        ({"password": SECRET}, "one is missing"),
        ({"client_key": "/x"}, "client_cert beside it"),
        ({"timeout": 0}, "above 0"),
        ({"urls": ["https://127.0.0.1:1"], "ca_path": "/nowhere"}, "/nowhere cannot be read: No such file"),
        ({"urls": ["https://127.0.0.1:1"], "client_cert": "/nowhere"}, "client certificate /nowhere .*No such file"),
    ],
    ids=lambda each: str(sorted(each)) if isinstance(each, dict) else None,
)
def test_senseless_options(shop, wrong, words):
    with pytest.raises(InvalidInput, match=words) as error:
        told(shop, **wrong).begin()
    assert SECRET not in error.value.message


def test_something_else_answers(serve, answer, shop):
    server = serve(answer("200 OK", b"<html>hello</html>"))
    with pytest.raises(Unreachable, match="is not etcd, or does not .*: to `POST /v3/kv/range` it said 200 <html>hello"):
        told(shop, urls=[server.url("")]).begin()


# TLS


def test_tls(own, certificates):
    shop = own(f"--cert-file={certificates.server}", f"--key-file={certificates.client_key}")
    with pytest.raises(Unreachable, match="its certificate is not trusted: .*Nothing was changed"):
        shop.begin()
    with pytest.raises(Unreachable, match="is not etcd|connection reset|cut off"):
        told(shop, urls=[shop.server.url.replace("https", "http")]).begin()
    trusting = told(shop, ca_path=str(certificates.authority))
    assert trusting.begin()["fence"] == 1 and told(shop, validate_certs=False).record(trusting("read")["journal"], event="x")["changed"]


def test_https_where_http_is_spoken(shop):
    with pytest.raises(Unreachable, match="TLS failed: "):
        told(shop, urls=[shop.server.url.replace("http", "https")]).begin()


def test_https_where_somebody_hangs_up(shop):
    def hang_up():
        connection, _peer = server.accept()
        connection.recv(1)  # what is left unread makes it a reset
        connection.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=hang_up, daemon=True).start()
        with pytest.raises(Unreachable, match="TLS failed: connection reset"):
            told(shop, urls=["https://127.0.0.1:%d" % server.getsockname()[1]]).begin()


def test_a_client_certificate(own, certificates):
    shop = own(
        f"--cert-file={certificates.server}", f"--key-file={certificates.client_key}", "--client-cert-auth",
        f"--trusted-ca-file={certificates.authority}",
    )  # fmt: skip
    trusting = {"ca_path": str(certificates.authority)}
    with pytest.raises(Unreachable, match="TLS failed: .*(client certificate|certificate required|bad certificate)"):
        told(shop, **trusting).begin()
    with pytest.raises(InvalidInput, match="cannot be loaded"):
        told(shop, **trusting, client_cert=str(certificates.client), client_key=str(certificates.sealed_key)).begin()
    own_certificate = {"client_cert": str(certificates.client), "client_key": str(certificates.client_key)}
    assert told(shop, **trusting, **own_certificate).begin()["fence"] == 1
    shop.server.context = ssl.create_default_context(cafile=certificates.authority)
    shop.server.context.load_cert_chain(certificates.client, certificates.client_key)
    shop.server.protect(shop.prefix + "/", "kim", SECRET)
    with pytest.raises(Refused, match="no client certificate with a common name"):
        told(shop, **trusting, **own_certificate, username="kim", password=SECRET).begin()


# Whose clock


def test_etcd_counts_the_time_down(shop):
    """For real: here nobody's clock is moved."""
    begun = shop.begin(ttl=1)
    ours = shop.clock.time
    end = time.monotonic() + 60
    while not shop("read")["lease"]["expired"]:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert shop.clock.time == ours
    taken = shop.begin(ALEX)
    assert taken["taken_over_from"]["reason"] == "expired" and taken["id"] == begun["id"]


@pytest.mark.parametrize("apart", [-86400, 86400])
def test_clocks_of_controllers_may_differ(shop, apart):
    begun = shop.begin(ttl=600)
    elsewhere = told(shop)
    elsewhere.clock.time += apart
    with pytest.raises(Refused, match=r"held by kim on c1 .*\(expires in (10 min|9 min 5\d s)\)"):
        elsewhere.begin(ALEX)
    lease = elsewhere("read")["lease"]
    day = "20" if apart < 0 else "22"
    assert lease["acquired"].startswith(f"2026-11-{day}T") and not lease["expired"]
    shop.pass_time(600)
    assert elsewhere("read")["lease"]["expired"]
    assert elsewhere.begin(ALEX)["taken_over_from"]["reason"] == "expired"
    with pytest.raises(Refused, match="number 2 is held by alex"):
        shop.record(begun, event="late")


def test_no_lease_of_etcds_own_is_left_behind(own):
    shop = own()

    def leases():
        return [each["ID"] for each in shop.server.ask("lease/leases", {}).get("leases", [])]

    begun = shop.begin()
    (first,) = leases()
    shop.record(begun, event="x")
    assert leases() == [first]
    shop.record(begun, event="x", ttl=50)
    (second,) = leases()
    assert second != first
    taken = shop.begin(ALEX, take_over=True)
    assert len(leases()) == 1
    shop.finish(taken)
    assert leases() == []


# What others do meanwhile


def test_work_is_done_again_when_somebody_was_faster(shop):
    begun = shop.begin()
    seen = []

    def work(records, _now):
        held = records.lease()
        seen.append(held["owner"]["name"])
        if len(seen) == 1:
            shop.begin(ALEX, take_over=True)
        records.keep_lease(held)
        return {"fence": held["fence"]}

    assert EtcdStore(_options(shop), "shop").change(Clock(), work, creates=False) == {"fence": 2}
    assert seen == ["kim", "alex"] and shop("read")["lease"]["owner"]["name"] == "alex" and begun["fence"] == 1


def test_what_was_read_is_of_one_moment_even_when_etcd_forgets_it(own):
    shop = own()
    shop.begin()
    seen = []

    def work(records, _now):
        seen.append(records.lease()["owner"]["name"])
        if len(seen) == 1:
            shop.record(shop.begin(ALEX, version="3", take_over=True), event="x")
            known = shop.server.ask("kv/range", {"key": "AA=="})["header"]["revision"]
            shop.server.ask("kv/compaction", {"revision": known})
        return {"journals": len(records.ids())}

    assert EtcdStore(_options(shop), "shop").look(Clock(), work) == {"journals": 2}
    assert seen == ["kim", "alex"]


class Cutting:
    """Stands before an etcd, and passes transactions on without passing the answers back: all, or the first few."""

    def __init__(self, port, cuts):
        self._port, self.cuts = port, cuts
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                client, _address = self._listener.accept()
            except OSError:
                return
            with client, socket.create_connection(("127.0.0.1", self._port)) as server:
                head = b""
                while b"\r\n\r\n" not in head:
                    head += client.recv(65536)
                length = int(head.lower().split(b"content-length:")[1].split()[0])
                while len(head.split(b"\r\n\r\n", 1)[1]) < length:
                    head += client.recv(65536)
                server.sendall(head)
                answer = b"".join(iter(lambda: server.recv(65536), b""))
                if b"/v3/kv/txn" in head and self.cuts:
                    self.cuts -= 1
                else:
                    client.sendall(answer)

    def close(self):
        # The thread ends before its socket's number is given out anew; else it accepts connections of another test's server.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()


@contextmanager
def cutting(shop, cuts):
    stands = Cutting(shop.server.port, cuts)
    try:
        yield stands
    finally:
        stands.close()


def test_a_write_whose_answer_was_lost_is_known_for_ones_own(shop):
    begun = shop.begin()
    with cutting(shop, 1) as stands:
        twice = told(shop, urls=[stands.url, shop.server.url])
        assert twice.record(begun, event="x")["changed"] and stands.cuts == 0
    assert [event["event"] for event in shop("read")["journal"]["events"]] == ["x"]


def test_a_write_of_which_nobody_knows_is_told_and_gone_on_with(shop):
    with cutting(shop, 1) as stands:
        once = told(shop, urls=[stands.url])
        with pytest.raises(Unreachable, match="Whether the last entry for service shop was written is not known"):
            once.begin()
        begun = once.begin()
    assert begun["fence"] == 1 and begun["resumed"]


# How much


def fleet_journal(shop, begun, hosts, balancers=4, batches=10):
    """What a rollout over so many hosts writes down."""
    names = [f"shop-{number:05}.example.net" for number in range(hosts)]
    size = hosts // batches
    groups = [names[start:start + size] for start in range(0, hosts, size)]
    states = {name: {"state": "enabled", "weight": 100, "address": "10.0.0.1:8080"} for name in names}
    before = {
        "balancers": {f"lb{number}": states for number in range(balancers)},
        "versions": dict.fromkeys(names, "1.4.1"),
        "members": {name: name for name in names},
    }
    shop.record(begun, before=before, plan=groups, event="planned", hosts=names)
    for number, group in enumerate(groups):
        shop.record(begun, event="batch_begun", hosts=group, details={"number": number})
        shop.record(begun, event="batch_done", hosts=group, details={"number": number})
    return names


def test_a_thousand_hosts_take_a_fiftieth_of_the_room(shop):
    begun = shop.begin()
    names = fleet_journal(shop, begun, 1000)
    raw = shop.all()["rollouts/" + begun["id"]]
    journal = shop("read")["journal"]
    assert len(json.dumps(journal)) > 400_000 and len(raw) < 1.5 * 2**20 / 50
    assert journal["events"][0]["hosts"] == names and len(journal["events"]) == 21
    shop.finish(begun, summary={"lines": names})
    assert shop("read")["last"]["summary"]["lines"] == names


@pytest.mark.parametrize("mib", [1.7, 3])
def test_more_than_etcd_takes_is_told_and_nothing_of_it_written(shop, mib):
    begun = shop.begin()
    before = shop.all()
    with pytest.raises(DeployError, match="takes no request as large as this.*--max-request-bytes"):
        shop.record(begun, event="x", details={"noise": os.urandom(int(mib * 2**20)).hex()})
    assert shop.all() == before
    shop.record(begun, event="x")


def test_a_full_etcd_is_told(own):
    shop = own(f"--quota-backend-bytes={2**21}")
    begun = shop.begin(KIM)
    with pytest.raises(DeployError, match="is full and takes no more writes.*compact"):
        for _time in range(20):
            shop.record(begun, event="x", details={"noise": os.urandom(2**18).hex()})


def _options(shop):
    absent = dict.fromkeys(("username", "password", "ca_path", "client_cert", "client_key"))
    return {**absent, "validate_certs": True, "timeout": 5.0, **shop.given["etcd"]}
