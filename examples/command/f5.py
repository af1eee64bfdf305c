# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins an F5 BIG-IP by way of the provider `command`; the protocol is in README.md, beside this file.

NOT TRIED on a BIG-IP: written after F5's documentation of iControl REST (https://clouddocs.f5.com/api/icontrol-rest/), to start
from. User and password are taken from the environment, F5_USER and F5_PASSWORD. A pool is named with its partition: /Common/shop.
A user of a remote directory needs a token: name the provider of the login with `--login tmos`, or as it is called there.
A certificate that no known authority has signed needs `--ca FILE`, or `--insecure`, which checks nothing.

    read:      [python3, /usr/local/lib/lb/f5.py, --url, "https://bigip.example.com", read]
    write:     [python3, /usr/local/lib/lb/f5.py, --url, "https://bigip.example.com", write]
    in_flight: [python3, /usr/local/lib/lb/f5.py, --url, "https://bigip.example.com", in_flight]
    can: [sticky_drain, health_readback, survives_reload]
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from urllib.parse import quote

# What a person sets: `disabled` keeps who is bound to the member, `forced offline` keeps connections that are open.
WRITTEN = {
    "enabled": {"session": "user-enabled", "state": "user-up"},
    "drained": {"session": "user-disabled", "state": "user-up"},
    "disabled": {"session": "user-disabled", "state": "user-down"},
}


TIMEOUT = 10  # seconds for one request


class Failed(Exception):
    """What the user is to read."""


class BigIp:
    """One BIG-IP, by its REST interface."""

    def __init__(self, url: str, user: str, password: str, login: str = "", ca: str = "", insecure: bool = False) -> None:
        """
        :param login: name of the provider that issues a token; without it every request has user and password (local users).
        :param ca: file with the authorities' certificates.
        :param insecure: whether the certificate is not checked.
        """
        self.url = url.rstrip("/")
        self._tls = ssl.create_default_context(cafile=ca or None)
        if insecure:
            self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE
        self._credentials = {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
        if login:
            self._credentials = self._token({"username": user, "password": password, "loginProviderName": login})

    def _token(self, user: dict) -> dict:
        """Log in; the header that a token goes into."""
        try:
            return {"X-F5-Auth-Token": (self.ask("POST", "/mgmt/shared/authn/login", user, {}) or {})["token"]["token"]}
        except (KeyError, TypeError):
            raise Failed(f"{self.url} gave {user['username']} no token") from None

    def ask(self, method: str, path: str, body: object = None, credentials: dict | None = None) -> dict | None:
        """What it answers; None when there is no such thing."""
        request = urllib.request.Request(
            f"{self.url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={**(self._credentials if credentials is None else credentials), "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT, context=self._tls) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            if error.code == 401:
                raise Failed(f"{self.url} refuses the user or the password; a remote user needs `--login`") from None
            raise Failed(
                f"{method} {path} was answered with {error.code}: {error.read(500).decode(errors='replace')}"
            ) from None
        except (OSError, ValueError) as error:
            raise Failed(f"{self.url} cannot be talked to: {error}") from None

    def members(self, pool: str) -> list[dict] | None:
        """A pool's members; None when there is no such pool."""
        answer = self.ask("GET", f"/mgmt/tm/ltm/pool/{named(pool)}/members")
        return None if answer is None else answer.get("items", [])

    def check_active(self) -> None:
        """Refuse the standby unit of a pair: its states are overwritten by the active one."""
        devices = (self.ask("GET", "/mgmt/tm/cm/device") or {}).get("items", [])
        me = next((device for device in devices if str(device.get("selfDevice")).lower() == "true"), None)
        if me and me.get("failoverState") == "standby":
            active = [device["name"] for device in devices if device.get("failoverState") == "active"]
            raise Failed(f"{self.url} is the standby unit; write to the active one ({', '.join(active) or 'none was found'})")


def named(full_path: str) -> str:
    """`/Common/shop` as a part of a URL has it: `~Common~shop`; the `%` of a route domain (`10.0.0.1%1:80`) is `%25` there."""
    return quote(full_path.replace("/", "~"), safe="~:")


def port_of(item: dict) -> str:
    """A member's port, which its name ends with: `10.0.0.1:80`, `10.0.0.1%1:80`, `2001:db8::1.80`, `app.example.org:80`."""
    separator = "." if item["name"].count(":") > 1 else ":"
    return item["name"].rpartition(separator)[2]


def address_of(item: dict) -> str:
    """``host:port`` of a member; an IPv6 address in brackets, a name for a member that is resolved."""
    host = (item.get("fqdn") or {}).get("tmName") or item["address"]
    return f"[{host}]:{port_of(item)}" if ":" in host else f"{host}:{port_of(item)}"


def member(item: dict) -> dict:
    """One member as the protocol shows it."""
    session, state = item["session"], item["state"]
    return {
        "name": item["name"],
        "address": address_of(item),
        "state": "disabled" if state == "user-down" else "drained" if session == "user-disabled" else "enabled",
        "health": {"up": "up", "down": "down"}.get(state.removeprefix("fqdn-"), "unknown"),
        "checked": state != "unchecked",
        "last_check": state,
    }


def read(bigip: BigIp, request: dict) -> dict:
    """The pool's members, or the pools there are."""
    items = bigip.members(request["pool"])
    if items is None:
        return {"pools": [pool["fullPath"] for pool in (bigip.ask("GET", "/mgmt/tm/ltm/pool") or {}).get("items", [])]}
    return {"members": [member(item) for item in items]}


def write(bigip: BigIp, request: dict) -> dict:
    """Change members, one after the other (several in one step would be a transaction), and keep that beyond a restart."""
    bigip.check_active()
    paths = {item["name"]: item["fullPath"] for item in bigip.members(request["pool"]) or []}
    for change in request["changes"]:
        if change["name"] not in paths:
            raise Failed(f"{request['pool']} has no member {change['name']}")
        if "state" in change:
            bigip.ask(
                "PATCH",
                f"/mgmt/tm/ltm/pool/{named(request['pool'])}/members/{named(paths[change['name']])}",
                WRITTEN[change["state"]],
            )
    bigip.ask("POST", "/mgmt/tm/sys/config", {"command": "save"})
    return {}


def in_flight(bigip: BigIp, request: dict) -> dict:
    """Connections that are open on the members' side, by member."""
    counts = {}
    for item in bigip.members(request["pool"]) or []:
        path = f"/mgmt/tm/ltm/pool/{named(request['pool'])}/members/{named(item['fullPath'])}/stats"
        answer = bigip.ask("GET", path) or {}
        entries = [entry["nestedStats"]["entries"] for entry in answer.get("entries", {}).values()]
        if not entries:
            raise Failed(f"there are no statistics of {item['fullPath']}")
        counts[item["name"]] = sum(entry["serverside.curConns"]["value"] for entry in entries)
    return counts


def main() -> None:
    """Read the request, do it, print the answer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True, help="of the BIG-IP, such as https://bigip.example.com")
    parser.add_argument("--login", default="", metavar="PROVIDER", help="get a token from this login provider, such as tmos")
    parser.add_argument("--ca", default="", metavar="FILE", help="certificates of the authorities that signed the BIG-IP's")
    parser.add_argument("--insecure", action="store_true", help="do not check the BIG-IP's certificate")
    programs = {"read": read, "write": write, "in_flight": in_flight}
    parser.add_argument("program", choices=list(programs))
    options = parser.parse_args()
    try:
        user, password = os.environ["F5_USER"], os.environ["F5_PASSWORD"]
        bigip = BigIp(options.url, user, password, options.login, options.ca, options.insecure)
        print(json.dumps(programs[options.program](bigip, json.load(sys.stdin))))
    except KeyError as error:
        sys.exit(f"{error} is missing: of the environment, or of what the BIG-IP answered")
    except Failed as error:
        sys.exit(str(error))
    except OSError as error:  # the file of authorities
        sys.exit(f"{options.ca}: {error.strerror or error}")


if __name__ == "__main__":
    main()
