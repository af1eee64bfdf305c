# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only Apache httpd has."""

from __future__ import annotations

import os
import subprocess
import tempfile
from http.client import HTTPException

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import apache
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.http_api import HttpApi
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    InvalidInput,
    NotApplied,
    Refused,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Aside, Bound, bound_to
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import (
    OTHER_POOL,
    POOL,
    persist,
    read,
    set_pool,
    until,
)
from ansible_collections.zero_downtime.deploy.tests.support.ports import free_ports


@pytest.fixture
def proxied(make_apache):
    """The usual pool."""
    return make_apache()


def row(rig, name):
    """What the page shows of a member, by column."""
    return rig.driver()._page().pools[POOL].named[name].cells


def test_members_of_many_kinds(make_apache, apps):
    check = "hcmethod=GET hcuri=/health hcinterval=100ms hcpasses=2"
    ports = dict(zip(("ignoring", "out", "stopped", "drained"), (app.port for app in apps.values())))
    flags = {"ignoring": "+I", "out": "+D", "stopped": "+S", "drained": "+N"}
    rig = make_apache(
        members={**ports, "spare": 1},
        more={"member_options": {**{n: f"{check} status={flag}" for n, flag in flags.items()}, "spare": "status=+H"}},
        wait=False,
    )
    assert {name: (m.state, m.health, m.checked) for name, m in rig.members().items()} == {
        "ignoring": ("enabled", "up", True),
        "out": ("disabled", "up", True),  # it is checked nevertheless
        "stopped": ("disabled", "unknown", True),
        "drained": ("drained", "up", True),
        "spare": ("enabled", "unknown", False),
    }
    set_pool(rig.entry(), ["out", "stopped", "drained"], state="enabled")
    assert {m.state for m in rig.members().values()} == {"enabled"}


def test_what_else_a_person_has_set_stays(make_apache):
    rig = make_apache(more={"member_options": {"m2": "status=+I lbset=3 redirect=m3 loadfactor=40"}}, wait=False)
    ours = ("Worker URL", "Route", "RouteRedir", "Factor", "Set", "Status", "HC Method", "HC Interval")
    before = [row(rig, name)[column] for name in ("m1", "m2") for column in ours]
    for state in ("drained", "disabled", "drained", "enabled"):
        set_pool(rig.entry(), ["m2"], state=state, weight=7, health="none")
    set_pool(rig.entry(), ["m2"], weight=40)
    assert [row(rig, name)[column] for name in ("m1", "m2") for column in ours] == before


def test_members_without_a_route_are_called_by_their_addresses(make_apache, apps):
    ports = [app.port for app in apps.values()]
    members = "\n".join(
        f"BalancerMember http://127.0.0.1:{port} {route}"
        for port, route in zip(ports, ("", "route=a", "route=b", "route=b"))
    )
    rig = make_apache(more={"extra": f'<Proxy "balancer://other">\n{members}\n</Proxy>'})
    names = [f"127.0.0.1:{ports[0]}", "a", f"127.0.0.1:{ports[2]}", f"127.0.0.1:{ports[3]}"]
    assert [m.name for m in rig.balancer().members("other")] == names
    rig.balancer().apply("other", [Change(names[2], "disabled")])
    assert [m.state for m in rig.balancer().members("other")] == ["enabled", "enabled", "disabled", "enabled"]
    assert {m.state for m in rig.members().values()} == {"enabled"}


def test_a_graceful_restart_between_reading_and_writing(proxied, monkeypatch):
    posts = apache.Apache._posts

    def reloading(*arguments):
        monkeypatch.setattr(apache.Apache, "_posts", posts)
        proxied.reload()
        return posts(*arguments)

    monkeypatch.setattr(apache.Apache, "_posts", reloading)
    set_pool(proxied.entry(), ["m1"], state="disabled", weight=5)
    assert (proxied.members()["m1"].state, proxied.members()["m1"].weight) == ("disabled", 5)


def test_what_a_graceful_restart_undoes_while_we_wait_is_written_again(proxied):
    leaving = Aside(lambda: set_pool(proxied.entry(), ["m1"], state="disabled", drain_wait=2))
    proxied.wait_until("m1 is written", lambda pool: pool["m1"].state == "disabled")
    proxied.reload()
    assert leaving.ended().result["balancers"][0]["reasserted"] == 1
    assert proxied.members()["m1"].state == "disabled"


def test_a_graceful_restart_undoes_what_was_set(proxied):
    set_pool(proxied.entry(), ["m1"], state="drained", weight=5)
    proxied.reload()
    assert (proxied.members()["m1"].state, proxied.members()["m1"].weight) == ("enabled", 100)


def test_balancer_persist_keeps_what_was_set_when_it_last_restarted_cleanly_unless_a_member_goes(make_apache):
    rig = make_apache(more={"extra": "BalancerPersist On"})
    set_pool(rig.entry(), ["m1"], state="drained", weight=5)
    rig.reload()
    assert (rig.members()["m1"].state, rig.members()["m1"].weight) == ("drained", 5)
    set_pool(rig.entry(), ["m1"], state="disabled")
    rig.restart()  # killed, it cannot write anything down: what holds is what the graceful restart wrote
    assert (rig.members()["m1"].state, rig.members()["m1"].weight) == ("drained", 5)
    set_pool(rig.entry(), ["m1"], state="disabled")
    rig.settings.members.pop("m4")
    rig.reload()
    assert (rig.members()["m1"].state, rig.members()["m1"].weight) == ("enabled", 100)


def test_a_post_whose_referer_was_dropped_is_told(proxied, monkeypatch):
    ask = HttpApi.ask

    def dropping(self, method, path, body=None, headers=None):
        return ask(self, method, path, body, {key: value for key, value in headers.items() if key != "Referer"})

    monkeypatch.setattr(HttpApi, "ask", dropping)
    with pytest.raises(Refused, match=r"ignored what was posted for app/m1.*the Referer.*as they were before \(m1\)"):
        set_pool(proxied.entry(), ["m1"], state="disabled")
    assert proxied.members()["m1"].state == "enabled"


def test_a_post_with_a_wrong_nonce_is_found_by_reading_back(proxied, monkeypatch):
    page = apache.Apache._page

    def other_nonce(self):
        seen = page(self)
        seen.pools[POOL].nonce = "00000000-0000-0000-0000-000000000000"
        return seen

    monkeypatch.setattr(apache.Apache, "_page", other_nonce)
    with pytest.raises(
        NotApplied, match=r"m1 was to be disabled and, read back, is enabled, weight 100\. Was Apache restarted"
    ):
        proxied.driver().apply(POOL, [Change("m1", "disabled")])
    with pytest.raises(NotApplied, match=r"does not hold app/m1 to be down"):
        proxied.driver().apply(POOL, [Change("m1", "drained")], distrust=True)


def test_nothing_we_do_is_an_error_in_the_log(proxied):
    log = proxied.directory / "error.log"
    before = log.stat().st_size
    set_pool(proxied.entry(), ["m1"], state="disabled")
    set_pool(proxied.entry(), ["m1"], state="enabled")
    assert ":error]" not in log.read_text(encoding="utf-8")[before:]


def test_a_write_that_has_no_effect_is_found_by_reading_back(proxied, monkeypatch):
    with pytest.raises(NotApplied, match=r"m1 was to be disabled, weight 300 and, read back, is disabled, weight 100"):
        proxied.driver().apply(POOL, [Change("m1", "disabled", 300)])


def test_a_member_gone_meanwhile_is_told_before_anything_is_written(proxied):
    with pytest.raises(NotApplied, match=r"no longer has m9"):
        proxied.driver().apply(POOL, [Change("m1", "disabled"), Change("m9", "disabled")])
    assert proxied.members()["m1"].state == "enabled"


def test_who_is_not_checked_is_not_distrusted_since_nothing_would_ever_bring_it_back(make_apache):
    for more in ({}, {"without": ("proxy_hcheck",)}):
        rig = make_apache(checked=False, wait=False, more=more)
        with pytest.raises(Refused, match="no health check"):
            rig.driver().apply(POOL, [Change("m1", "drained")], distrust=True)
        assert rig.members()["m1"].available and not rig.members()["m1"].checked


@pytest.mark.parametrize("names", [None, {"m1": "m1"}])
def test_where_one_pass_brings_a_member_up_its_fresh_health_is_not_to_be_had(make_apache, names):
    rig = make_apache(rise=1, more={"one_pass": True})
    entry = rig.entry(names=names)
    assert read(entry)["balancers"][0]["capabilities"]["fresh_health"] is False
    set_pool(entry, ["m1"], state="disabled")
    with pytest.raises(InvalidInput, match=r"Accept that with `health: none`\. Nothing was touched"):
        set_pool(entry, ["m1"], state="enabled")
    with pytest.raises(Refused, match="no health check with `hcpasses=2`"):
        rig.driver().apply(POOL, [Change("m1", "drained")], distrust=True)
    set_pool(entry, ["m1"], state="enabled", health="none")


def test_an_only_member_has_no_weight_but_a_state(make_apache, apps):
    rig = make_apache(members={"m1": apps["m1"].port})
    with pytest.raises(Refused, match=r"m1 is alone in its pool.*makes any weight"):
        set_pool(rig.entry(), ["m1"], weight=50)
    set_pool(rig.entry(), ["m1"], state="disabled", min_available=0)
    set_pool(rig.entry(), ["m1"], state="enabled")
    assert (rig.members()["m1"].state, rig.members()["m1"].weight) == ("enabled", 100)


def test_a_fraction_of_a_weight_is_never_lost(make_apache):
    rig = make_apache(more={"member_options": {"m1": "loadfactor=2.5"}}, wait=False)
    set_pool(rig.entry(), ["m1"], state="disabled")
    with pytest.raises(Refused, match=r"`loadfactor=2\.50`.*could not be put back"):
        set_pool(rig.entry(), ["m1"], weight=50)
    set_pool(rig.entry(), ["m1"], state="enabled", health="none")
    assert row(rig, "m1")["Factor"] == "2.50"


def test_two_hundred_members(make_apache):
    names = [f"application-server-with-a-rather-long-name-{number:03}" for number in range(200)]
    rig = make_apache(members={name: port for port, name in enumerate(names, 1)}, checked=False, wait=False)
    set_pool(rig.entry(), names, state="disabled", weight=10, min_available=0)
    assert {(m.state, m.weight) for m in rig.members().values()} == {("disabled", 10)}
    set_pool(rig.entry(), names, state="enabled", weight=100, health="none")
    assert {(m.state, m.weight) for m in rig.members().values()} == {("enabled", 100)}


def test_a_server_that_has_another_name_for_itself(make_apache):
    rig = make_apache(more={"extra": "UseCanonicalName On"})
    set_pool(rig.entry(), ["m1"], state="disabled")
    assert rig.members()["m1"].state == "disabled"


def test_over_ipv6(make_apache):
    (port,) = free_ports(1)
    rig = make_apache(more={"extra": f"Listen [::1]:{port}"})
    set_pool(rig.entry(url=f"http://[::1]:{port}/balancer-manager"), ["m1"], state="disabled")
    assert rig.members()["m1"].state == "disabled"


@pytest.fixture
def guarded(make_apache, tmp_path):
    """A balancer-manager behind TLS and a password; its URL and the certificate."""
    (port,) = free_ports(1)
    made = [
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
        "-addext",
        "subjectAltName=DNS:localhost",
    ]
    files = ["-keyout", str(tmp_path / "key"), "-out", str(tmp_path / "certificate")]
    subprocess.run(["openssl", "req", *made, *files], check=True, capture_output=True)
    digest = subprocess.run(["openssl", "passwd", "-apr1", "right"], check=True, capture_output=True, text=True).stdout
    users = tempfile.NamedTemporaryFile("w")  # Apache serves as another user, who may not look into `tmp_path`
    os.fchmod(users.fileno(), 0o644)
    users.write(f"deploy:{digest}")
    users.flush()
    rig = make_apache(
        more={
            "extra": f"""
Listen 127.0.0.1:{port}
<VirtualHost 127.0.0.1:{port}>
    SSLEngine on
    SSLCertificateFile {tmp_path}/certificate
    SSLCertificateKeyFile {tmp_path}/key
    <Location "/balancer-manager">
        AuthType Basic
        AuthName balancers
        AuthUserFile {users.name}
        Require valid-user
    </Location>
</VirtualHost>"""
        }
    )
    yield rig, f"https://localhost:{port}/balancer-manager", str(tmp_path / "certificate")
    users.close()


def test_over_tls_with_a_password(guarded):
    rig, url, certificate = guarded
    entry = rig.entry(url=url, username="deploy", password="right", ca_path=certificate)
    set_pool(entry, ["m1"], state="disabled")
    assert rig.members()["m1"].state == "disabled"
    with pytest.raises(Unreachable, match="certificate is not trusted"):
        read({**entry, "ca_path": None})
    assert read({**entry, "ca_path": None, "validate_certs": False})["balancers"]
    with pytest.raises(Refused, match=r"answered 401 to a GET.*It refuses the `username` and `password`") as refusal:
        read({**entry, "password": "wr0ng"})
    assert "wr0ng" not in str(refusal.value)
    with pytest.raises(Refused, match=r"answered 401 to a GET.*needs `username` and `password`"):
        read({**entry, "username": None, "password": None})


def test_digest_authentication_is_said_not_to_be_supported(make_apache):
    rig = make_apache(
        more={
            "extra": """
<Location "/balancer-manager/digest">
    AuthType Digest
    AuthName balancers
    AuthUserFile /nonexistent
    Require valid-user
</Location>""",
            "modules": ("auth_digest",),
        }
    )
    with pytest.raises(Refused, match=r"401.*asks for Digest authentication, which is not supported.*`AuthType Basic`"):
        read(rig.entry(url=rig.url + "/digest", username="deploy", password="right"))


def test_where_no_balancer_manager_is(proxied, apps):
    root = proxied.url[: -len("/balancer-manager")]
    with pytest.raises(Unreachable, match=r"is not Apache's balancer-manager.*no heading.*'m[1-4]'"):
        read(proxied.entry(url=root))
    apps["m1"].broken = apps["m2"].broken = apps["m3"].broken = apps["m4"].broken = True
    with pytest.raises(Unreachable, match="answered 500 to a GET.*SetHandler balancer-manager"):
        read(proxied.entry(url=root + "/elsewhere"))


def test_its_version(proxied):
    said = subprocess.run([proxied.binary, "-v"], capture_output=True, text=True, check=True).stdout
    assert f"Apache/{proxied.driver().version()} " in said


def answering(port):
    """Which members answer a dozen clients."""
    return {Bound(port).get() for _each in range(12)}


def test_requests_go_to_the_lowest_tier_that_has_an_available_member(make_apache):
    tiers = {"m1": "", "m2": "status=+R", "m3": "status=+H", "m4": "lbset=3"}
    rig = make_apache(checked=False, wait=False, more={"member_options": tiers})
    assert {name: member.tier for name, member in rig.members().items()} == {"m1": 0, "m2": 1, "m3": 2, "m4": 3}
    for name in tiers:
        assert answering(rig.port) == {name}
        rig.balancer().apply(POOL, [Change(name, "disabled")])


def test_a_spare_takes_requests_as_soon_as_one_member_is_out(make_apache):
    rig = make_apache(checked=False, wait=False, more={"member_options": {"m3": "status=+R", "m4": "status=+H"}})
    assert answering(rig.port) == {"m1", "m2"}
    rig.balancer().apply(POOL, [Change("m1", "drained")])
    assert answering(rig.port) == {"m2", "m3"}


def test_requests_are_counted_and_checks_are_not(proxied, apps):
    before = sum(app.checks for app in apps.values())
    proxied.balancer().apply(POOL, [Change("m1", "disabled")])
    for _each in range(9):
        Bound(proxied.port).get()
    until("some checks more", lambda: sum(app.checks for app in apps.values()), lambda checks: checks > before + 8)
    requests = {name: member.requests for name, member in proxied.members().items()}
    assert requests["m1"] == 0 and sum(requests.values()) == 9


def test_another_pool_is_found_however_its_urls_are_written(make_apache, apps):
    rig = make_apache(
        more={
            "extra": f"""
<Proxy "balancer://paths">
    BalancerMember http://localhost:{apps["m1"].port}/shop
    BalancerMember ajp://LOCALHOST:{apps["m2"].port}
</Proxy>
<Proxy "balancer://elsewhere">
    BalancerMember http://127.0.0.1
</Proxy>""",
            "modules": ("proxy_ajp",),
        }
    )
    assert [(other.name, other.members) for other in rig.balancer().other_pools(POOL)] == [("paths", ("m1", "m2"))]
    with pytest.raises(InvalidInput, match="has no pool 'shop'"):
        rig.balancer().other_pools("shop")


def test_a_member_that_is_out_of_one_pool_is_reached_by_the_other(make_apache, apps):
    rig = make_apache(other={"m1": apps["m1"].port})
    rig.balancer().apply(POOL, [Change("m1", "disabled")])
    assert "m1" not in answering(rig.port)
    assert answering(rig.other_port) == {"m1"}
    rig.balancer().apply(OTHER_POOL, [Change("m1", "disabled")])
    before = apps["m1"].served
    with pytest.raises(HTTPException, match="503"):
        Bound(rig.other_port).get()
    assert apps["m1"].served == before


def test_a_virtual_host_shows_its_own_balancers_and_those_of_the_main_server(make_apache, apps):
    (port,) = free_ports(1)
    rig = make_apache(
        more={
            "extra": f"""
Listen 127.0.0.1:{port}
<VirtualHost 127.0.0.1:{port}>
    <Proxy "balancer://own">
        BalancerMember http://127.0.0.1:{apps["m1"].port} route=m1
    </Proxy>
    ProxyPass "/balancer-manager" "!"
    ProxyPass "/" "balancer://own/"
</VirtualHost>"""
        }
    )
    assert rig.balancer().other_pools(POOL) == []  # the limit that the documentation tells
    entry = rig.entry(url=f"http://127.0.0.1:{port}/balancer-manager")
    set_pool(entry, ["m1"], state="disabled")
    assert rig.members()["m1"].state == "disabled"  # one balancer, whichever page it is written by
    found = open_balancer(entry).other_pools(POOL)
    assert [(other.name, other.members) for other in found] == [("own", ("m1",))]


@pytest.mark.parametrize("change", [Change("m1", "disabled"), Change("m1", "drained"), Change("m1", None, 5)])
def test_a_graceful_restart_is_noticed_though_the_nonce_stays(make_apache, change):
    rig = make_apache(more={"balancer_options": "nonce=deploy-2f6c"})
    rig.driver().apply(POOL, [change])
    before = rig.driver().running()
    assert rig.driver().running() == before
    rig.reload()
    assert rig.driver().running() != before


def test_a_crash_is_noticed_though_balancer_persist_keeps_the_nonce(make_apache):
    rig = make_apache(more={"extra": "BalancerPersist On"})
    rig.reload()  # which writes down how the members are now
    rig.driver().apply(POOL, [Change("m1", "disabled")])
    nonce, before = rig.driver()._page().pools[POOL].nonce, rig.driver().running()
    rig.restart()
    assert rig.driver()._page().pools[POOL].nonce == nonce and rig.members()["m1"].state == "enabled"
    assert rig.driver().running() != before


@pytest.mark.parametrize("more", [{"balancer_options": "nonce=deploy-2f6c"}, {"extra": "BalancerPersist On"}])
def test_what_is_held_is_written_again_though_the_nonce_stays(make_apache, more):
    rig = make_apache(more=more)
    rig.reload()  # with `BalancerPersist On`, which writes down how the members are now
    set_pool(rig.entry(), ["m1"], state="disabled", hold=60)
    rig.restart()
    rig.wait_until("m1 is out again", lambda pool: pool["m1"].state == "disabled")
    assert set_pool(rig.entry(), ["m1"], state="enabled")["balancers"][0]["reasserted"] == 1


def test_with_balancer_persist_nothing_has_to_be_written_down(make_apache, proxied):
    rig = make_apache(more={"extra": "BalancerPersist On"})
    assert persist(rig.entry())["changed"] is False
    with pytest.raises(Refused, match="with `BalancerPersist On` in its configuration"):
        persist(proxied.entry())


def test_without_a_nonce_nothing_is_written(make_apache):
    rig = make_apache(more={"balancer_options": "nonce=None"})
    with pytest.raises(Refused, match=r"nonce of pool app is switched off.*cannot be written to.*Nothing was written"):
        set_pool(rig.entry(), ["m1"], state="disabled")
    assert rig.members()["m1"].state == "enabled"


def test_a_page_that_is_proxied_to_a_member_is_said_to_be(make_apache):
    extra = 'ProxyPass "/late" "!"\n<Location "/late">\n    SetHandler balancer-manager\n    Require local\n</Location>'
    rig = make_apache(more={"extra": extra})
    with pytest.raises(
        Unreachable, match=r"'m[1-4]'.*proxies the page to a member.*`ProxyPass \"/late\" \"!\"` before"
    ):
        read(rig.entry(url=f"http://127.0.0.1:{rig.port}/late"))


def graceful(rig):
    """Restart it gracefully; returns once a child of the new generation serves, whatever the former ones still do."""
    before = rig.driver()._page().pools[POOL].nonce
    subprocess.run([*rig.command, "-k", "graceful"], check=True, timeout=60)
    until("a new generation answers", lambda: rig.driver()._page().pools[POOL].nonce, lambda nonce: nonce != before)


def test_a_request_that_a_former_generation_serves_is_not_taken_for_none(proxied, apps):
    client = bound_to(proxied.port, "m1")
    slow = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m1"].holding == 1)
    graceful(proxied)
    proxied.balancer().apply(POOL, [Change("m1", "disabled")])
    assert row(proxied, "m1")["Busy"] == "0"  # for which reason it is not read
    assert proxied.members()["m1"].in_flight is None
    apps["m1"].gate.set()
    assert slow.ended().result == "m1"


def test_no_write_ends_a_request_that_is_under_way(proxied, apps):
    client = bound_to(proxied.port, "m1")
    slow = Aside(lambda: client.get("/hold"))
    until("the request is under way", lambda: apps["m1"].holding == 1)
    for state, distrust in (("drained", False), ("disabled", False), ("drained", True), ("enabled", False)):
        proxied.balancer().apply(POOL, [Change("m1", state)], distrust)
    assert apps["m1"].holding == 1 and slow.runs
    apps["m1"].gate.set()
    assert slow.ended().result == "m1"


def test_how_long_a_check_takes_and_how_far_it_has_come(make_apache):
    rig = make_apache(rise=50, interval=0.2, wait=False)
    timing = rig.balancer().timing(POOL)
    assert (timing.leave, timing.check) == (None, 15)
    assert timing.source == "hcinterval=200ms, hcpasses=50 of m1"
    assert rig.members()["m1"].check_progress is None
    rig.balancer().apply(POOL, [Change("m1", "drained")], distrust=True)
    rig.wait_until(
        "a check has passed", lambda pool: 0 < pool["m1"].check_progress[0] < pool["m1"].check_progress[1] == 50
    )


def test_without_checks_no_time_of_a_check_is_told(make_apache):
    rig = make_apache(checked=False, wait=False)
    assert rig.balancer().timing(POOL).check is None
