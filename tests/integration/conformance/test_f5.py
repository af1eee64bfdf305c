# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The example for F5's BIG-IP, against a stand-in that answers as F5's documentation of iControl REST shows; no BIG-IP."""

from __future__ import annotations

import json
import re
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.registry import open_balancer
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    InvalidInput,
    Refused,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.members import Change

F5 = Path(__file__).resolve().parents[3] / "examples" / "command" / "f5.py"
POOL = "/Common/shop"
BASE = "/mgmt/tm/ltm/pool"
MEMBERS = {
    "10.0.0.1%1:80": {"address": "10.0.0.1%1"},
    "10.0.0.2:80": {"address": "10.0.0.2"},
    "2001:db8::1.80": {"address": "2001:db8::1"},
    "app.example.org:80": {"address": "any6", "fqdn": {"tmName": "app.example.org"}, "state": "fqdn-up"},
}


class BigIp(BaseHTTPRequestHandler):
    """Malformed escapes in a path are refused, and a `%` in a name is written `%25`, as F5's own modules do it."""

    members: dict
    failover: str
    login_required: bool
    saved: int

    def _answer(self, status, answer):
        data = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _handle(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if re.search("%(?![0-9A-Fa-f]{2})", self.path):
            return self._answer(400, {"code": 400, "message": f"java.net.URISyntaxException: Malformed escape pair: {self.path}"})
        path = unquote(self.path)
        if path == "/mgmt/shared/authn/login":
            known = json.loads(body) == {"username": "admin", "password": "secret", "loginProviderName": "ad"}
            return self._answer(200, {"token": {"token": "t0k3n"}}) if known else self._answer(401, {"code": 401})
        if self.login_required and self.headers.get("X-F5-Auth-Token") != "t0k3n":
            return self._answer(401, {"code": 401, "message": "Authorization failed"})
        if path == BASE:
            return self._answer(200, {"items": [{"name": "shop", "fullPath": POOL}]})
        if path == "/mgmt/tm/cm/device":
            one = {"name": "bigip1", "selfDevice": "true", "failoverState": self.failover}
            other = {"name": "bigip2", "selfDevice": "false", "failoverState": "active"}
            return self._answer(200, {"items": [one, other]})
        if path == "/mgmt/tm/sys/config":
            type(self).saved += 1
            return self._answer(200, {"kind": "tm:sys:config:savestate"})
        if path == f"{BASE}/~Common~shop/members":
            return self._answer(200, {"items": list(self.members.values())})
        found = re.fullmatch(f"{BASE}/~Common~shop/members/~Common~([^/]+?)(/stats)?", path)
        if not found or found.group(1) not in self.members:
            return self._answer(404, {"code": 404, "message": "01020036:3: The requested object was not found."})
        member = self.members[found.group(1)]
        if found.group(2):
            counts = {"serverside.curConns": {"value": 2 if member["name"] == "10.0.0.2:80" else 0}}
            return self._answer(200, {"entries": {"https://localhost/x": {"nestedStats": {"entries": counts}}}})
        change = json.loads(body)
        member["session"] = "monitor-enabled" if change["session"] == "user-enabled" else change["session"]
        member["state"] = "up" if change["state"] == "user-up" else change["state"]
        return self._answer(200, member)

    do_GET = do_PATCH = do_POST = _handle

    def log_message(self, *args):
        return


@pytest.fixture
def bigip(monkeypatch):
    """Starts a stand-in; `bigip(...)` is the driver for it."""
    usual = {"session": "monitor-enabled", "state": "up"}
    state = {name: {"name": name, "fullPath": f"/Common/{name}", **usual, **more} for name, more in MEMBERS.items()}
    handler = type("Handler", (BigIp,), {"members": state, "failover": "active", "login_required": False, "saved": 0})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("F5_USER", "admin")
    monkeypatch.setenv("F5_PASSWORD", "secret")

    def driver(*words, scheme="http"):
        url = f"{scheme}://127.0.0.1:{server.server_address[1]}"
        programs = {name: [sys.executable, str(F5), "--url", url, *words, name] for name in ("read", "write", "in_flight")}
        return open_balancer({"provider": "command", **programs, "can": ["sticky_drain", "health_readback"], "timeout": 20.0})

    driver.handler, driver.server = handler, server
    yield driver
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_members_of_every_kind_leave_and_return(bigip):
    balancer = bigip()
    for name in MEMBERS:
        for state in ("drained", "disabled", "enabled"):
            members = {member.name: member for member in balancer.apply(POOL, [Change(name, state)])}
            assert members[name].state == state
    assert bigip.handler.saved == 3 * len(MEMBERS)
    assert [(m.address, m.health, m.in_flight) for m in members.values()] == [
        ("10.0.0.1%1:80", "up", 0),
        ("10.0.0.2:80", "up", 2),
        ("[2001:db8::1]:80", "up", 0),
        ("app.example.org:80", "up", 0),
    ]


def test_a_member_that_is_resolved_is_available(bigip):
    assert all(member.available for member in bigip().members(POOL))


def test_unknown_pools_and_members_are_named(bigip):
    with pytest.raises(InvalidInput, match="no pool '/Common/nope'. Its pools are: /Common/shop"):
        bigip().members("/Common/nope")
    with pytest.raises(Refused, match="has no member 10.9.9.9:80"):
        bigip().apply(POOL, [Change("10.9.9.9:80", "drained")])


def test_the_standby_unit_is_not_written_to(bigip):
    bigip.handler.failover = "standby"
    with pytest.raises(Refused, match=r"is the standby unit; write to the active one \(bigip2\)"):
        bigip().apply(POOL, [Change("10.0.0.2:80", "drained")])
    assert bigip.handler.members["10.0.0.2:80"]["session"] == "monitor-enabled"


def test_remote_users_get_a_token(bigip):
    bigip.handler.login_required = True
    with pytest.raises(Unreachable, match="refuses the user or the password; a remote user needs `--login`"):
        bigip().members(POOL)
    assert len(bigip("--login", "ad").members(POOL)) == len(MEMBERS)


def test_a_certificate_of_its_own_needs_its_authority_or_no_check(bigip, tmp_path):
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 1 -subj /CN=bigip -addext subjectAltName=IP:127.0.0.1".split()
    subprocess.run([*words, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    bigip.server.socket = context.wrap_socket(bigip.server.socket, server_side=True)
    with pytest.raises(Unreachable, match="certificate verify failed"):
        bigip(scheme="https").members(POOL)
    for words in (["--ca", str(certificate)], ["--insecure"]):
        assert len(bigip(*words, scheme="https").members(POOL)) == len(MEMBERS)
    with pytest.raises(Unreachable, match="No such file"):
        bigip("--ca", str(tmp_path / "nothing.pem"), scheme="https").members(POOL)


def test_missing_credentials_are_named(bigip, monkeypatch):
    monkeypatch.delenv("F5_USER")
    with pytest.raises(Unreachable, match="'F5_USER' is missing"):
        bigip().members(POOL)
