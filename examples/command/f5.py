# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins an F5 BIG-IP by way of the provider `command`; the protocol is in README.md, beside this file.

NOT TRIED on a BIG-IP: written after F5's documentation of iControl REST (https://clouddocs.f5.com/api/icontrol-rest/), to start
from. User and password are taken from the environment, F5_USER and F5_PASSWORD. A pool is named with its partition: /Common/shop.

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


class Failed(Exception):
    """What the user is to read."""


class BigIp:
    """One BIG-IP, by its REST interface."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url.rstrip("/")
        self._login = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def ask(self, method: str, path: str, body: object = None) -> dict | None:
        """What it answers; None when there is no such thing."""
        request = urllib.request.Request(
            f"{self.url}/mgmt/tm{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": self._login, "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise Failed(
                f"{method} {path} was answered with {error.code}: {error.read(500).decode(errors='replace')}"
            ) from None
        except (OSError, ValueError) as error:
            raise Failed(f"{self.url} cannot be talked to: {error}") from None

    def members(self, pool: str) -> list[dict] | None:
        """A pool's members; None when there is no such pool."""
        answer = self.ask("GET", f"/ltm/pool/{named(pool)}/members")
        return None if answer is None else answer.get("items", [])


def named(full_path: str) -> str:
    """`/Common/shop` as a part of a URL has it: `~Common~shop`."""
    return quote(full_path.replace("/", "~"), safe="~:%")


def member(item: dict) -> dict:
    """One member as the protocol shows it."""
    session, state = item["session"], item["state"]
    return {
        "name": item["name"],
        "address": f"{item['address']}:{item['name'].rpartition(':')[2]}",
        "state": "disabled" if state == "user-down" else "drained" if session == "user-disabled" else "enabled",
        "health": {"up": "up", "down": "down"}.get(state, "unknown"),
        "checked": state != "unchecked",
        "last_check": state,
    }


def read(bigip: BigIp, request: dict) -> dict:
    """The pool's members, or the pools there are."""
    items = bigip.members(request["pool"])
    if items is None:
        return {"pools": [pool["fullPath"] for pool in (bigip.ask("GET", "/ltm/pool") or {}).get("items", [])]}
    return {"members": [member(item) for item in items]}


def write(bigip: BigIp, request: dict) -> dict:
    """Change members, one after the other (several in one step would be a transaction), and keep that beyond a restart."""
    paths = {item["name"]: item["fullPath"] for item in bigip.members(request["pool"]) or []}
    for change in request["changes"]:
        if change["name"] not in paths:
            raise Failed(f"{request['pool']} has no member {change['name']}")
        if "state" in change:
            bigip.ask(
                "PATCH",
                f"/ltm/pool/{named(request['pool'])}/members/{named(paths[change['name']])}",
                WRITTEN[change["state"]],
            )
    bigip.ask("POST", "/sys/config", {"command": "save"})
    return {}


def in_flight(bigip: BigIp, request: dict) -> dict:
    """Connections that are open on the members' side, by member."""
    counts = {}
    for item in bigip.members(request["pool"]) or []:
        answer = bigip.ask("GET", f"/ltm/pool/{named(request['pool'])}/members/{named(item['fullPath'])}/stats") or {}
        entries = [entry["nestedStats"]["entries"] for entry in answer.get("entries", {}).values()]
        if not entries:
            raise Failed(f"there are no statistics of {item['fullPath']}")
        counts[item["name"]] = sum(entry["serverside.curConns"]["value"] for entry in entries)
    return counts


def main() -> None:
    """Read the request, do it, print the answer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--url", required=True, help="of the BIG-IP, such as https://bigip.example.com")
    programs = {"read": read, "write": write, "in_flight": in_flight}
    parser.add_argument("program", choices=list(programs))
    options = parser.parse_args()
    try:
        bigip = BigIp(options.url, os.environ["F5_USER"], os.environ["F5_PASSWORD"])
        print(json.dumps(programs[options.program](bigip, json.load(sys.stdin))))
    except KeyError as error:
        sys.exit(f"{error} is missing: of the environment, or of what the BIG-IP answered")
    except Failed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
