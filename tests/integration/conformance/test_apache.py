# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What only Apache httpd has."""

from __future__ import annotations

import os
import subprocess
import tempfile

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import apache
from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.http_api import HttpApi
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    InvalidInput,
    NotApplied,
    Refused,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.clients import Aside
from ansible_collections.zero_downtime.deploy.tests.integration.conformance.rigs.base import (
    POOL,
    read,
    set_pool,
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
    with pytest.raises(Refused, match=r"answered 401 to a GET.*`username` and `password`") as refusal:
        read({**entry, "password": "wr0ng"})
    assert "wr0ng" not in str(refusal.value)


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
