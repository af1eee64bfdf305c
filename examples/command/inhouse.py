# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Joins a balancer by way of the provider `command`; the protocol is in README.md, beside this file.

The balancer here is a HAProxy, and the functions of the middle part speak to its socket. Replace that part by what speaks to
yours; what is above and below it can stay.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import socket
import sys

# --- what the protocol says, in the balancer's words ------------------------------------------------------------------------

WRITTEN = {"enabled": "ready", "drained": "drain", "disabled": "maint"}
HEALTH = {"0": "down", "1": "starting", "2": "up", "3": "down"}  # 3: it asked by its check to get no new work
MAINTENANCE, DRAIN = 0x01 | 0x02 | 0x20 | 0x40, 0x08 | 0x10  # bits of a server's administrative state
OWN_MAINTENANCE, OWN_DRAIN = 0x01, 0x08  # of these, what was written to the server itself
CHECKED = 0x02 | 0x04  # bits of its check's state: configured, and not switched off


class Failed(Exception):
    """What the user is to read."""


# --- the balancer -----------------------------------------------------------------------------------------------------------


class Balancer:
    """One HAProxy, by its socket."""

    def __init__(self, path: str) -> None:
        self.path = path

    def ask(self, command: str) -> str:
        """What it says to one command."""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.connect(self.path)
                connection.sendall(f"{command}\n".encode())
                said = b"".join(iter(lambda: connection.recv(65536), b""))
        except OSError as error:
            raise Failed(f"{self.path} cannot be talked to: {error.strerror or error}") from None
        return said.decode(errors="replace")

    def do(self, *commands: str) -> None:
        """Say something that it does, or refuses with a word; several in one line take effect together."""
        said = " ".join(self.ask("; ".join(commands)).split())
        if said:
            raise Failed(f"to `{'; '.join(commands)}` it said: {said}")

    def servers(self, pool: str) -> list[dict[str, str]] | None:
        """State and statistics of a pool's servers, in one dictionary each; None when there is no such pool."""
        if not re.fullmatch(r"[A-Za-z0-9_.:-]+", pool):  # anything else could be another command
            return None
        said = self.ask(f"show servers state {pool}")
        if said.startswith("Can't find backend"):
            return None
        if not said.startswith("1\n# "):
            raise Failed(f"it is no HAProxy: it said {said[:100]!r}")
        header, *lines = said.splitlines()[1:]
        states = [dict(zip(header[2:].split(), line.split())) for line in lines if line]
        if not states:
            return []
        table = csv.DictReader(io.StringIO(self.ask(f"show stat #{states[0]['be_id']} 4 -1").lstrip("# ")))
        statistics = {row["svname"]: row for row in table}
        return [{**statistics.get(state["srv_name"], {}), **state} for state in states]

    def everywhere(self) -> list[dict[str, str]]:
        """State of the servers of all pools."""
        header, *lines = self.ask("show servers state").splitlines()[1:]
        return [dict(zip(header[2:].split(), line.split())) for line in lines if line]

    def backend(self, server: dict[str, str]) -> dict[str, str]:
        """Statistics of the pool that a server is of, as a whole."""
        return next(csv.DictReader(io.StringIO(self.ask(f"show stat #{server['be_id']} 2 -1").lstrip("# "))))

    def pools(self) -> list[str]:
        """The pools there are."""
        return [name for name in self.ask("show backend").split() if name not in ("#", "name")]

    def about(self) -> dict[str, str]:
        """What it says of itself."""
        return dict(re.findall(r"^(\w+): *(.*)$", self.ask("show info"), re.MULTILINE))


def state(admin: int, maintenance: int, drain: int) -> str:
    """The state that bits of a server's administrative state come to."""
    return "disabled" if admin & maintenance else "drained" if admin & drain else "enabled"


def member(server: dict[str, str], tier: int) -> dict[str, object]:
    """One server as the protocol shows it."""
    admin = int(server["srv_admin_state"])
    checked = server["status"] != "no check" and int(server["srv_check_state"]) & CHECKED == CHECKED
    out = bool(admin & MAINTENANCE)
    return {
        "name": server["srv_name"],
        "address": f"{server['srv_addr']}:{server['srv_port']}",
        "state": state(admin, MAINTENANCE, DRAIN),
        "own_state": state(admin, OWN_MAINTENANCE, OWN_DRAIN),
        "tier": tier,
        "requests": int(server["stot"] or 0),
        "check_progress": progress(server),
        "weight": int(server["srv_uweight"]),
        "health": "unknown" if out or not checked else HEALTH.get(server["srv_op_state"], "unknown"),
        "checked": checked,
        "last_check": " ".join(
            filter(None, (server["check_status"].lstrip("* "), server["check_code"], server["last_chk"]))
        ),
    }


def progress(server: dict[str, str]) -> list[int] | None:
    """Checks passed and needed, of a server that is on its way up."""
    passed, needed = int(server["check_health"] or 0), int(server["check_rise"] or 0)
    return [passed, needed] if passed < needed else None


# --- the programs ------------------------------------------------------------------------------------------------------------


def read(balancer: Balancer, request: dict) -> dict:
    """The pool's members, or the pools there are."""
    servers = balancer.servers(request["pool"])
    if servers is None:
        return {"pools": balancer.pools()}
    # Without `option allbackups` the first backup that is there carries all of the traffic.
    backups = [server["srv_name"] for server in servers if server["bck"] == "1"]
    tiers = {name: number for number, name in enumerate(backups, 1)}
    members = [member(server, tiers.get(server["srv_name"], 0)) for server in servers]
    return {"version": balancer.about().get("Version", "unknown"), "members": members}


def other_pools(balancer: Balancer, request: dict) -> dict:
    """The other pools with servers at the same addresses, and which members of this pool they are."""
    at: dict[str, list[str]] = {}
    found: dict[str, list[str]] = {}
    servers = balancer.everywhere()
    for server in servers:
        if server["be_name"] == request["pool"]:
            at.setdefault(f"{server['srv_addr']}:{server['srv_port']}", []).append(server["srv_name"])
    for server in servers:
        if server["be_name"] != request["pool"]:
            found.setdefault(server["be_name"], []).extend(at.get(f"{server['srv_addr']}:{server['srv_port']}", []))
    return {"pools": [{"name": name, "members": members} for name, members in found.items() if members]}


def in_flight(balancer: Balancer, request: dict) -> dict:
    """Requests under way and queued, by member."""
    servers = balancer.servers(request["pool"]) or []
    return {server["srv_name"]: int(server["scur"] or 0) + int(server["qcur"] or 0) for server in servers}


def counters(balancer: Balancer, request: dict) -> dict:
    """Attempts made at each member, and those that failed: answered with 5xx, broken off, or not at all; and what users got."""
    about, servers = balancer.about(), balancer.servers(request["pool"]) or []
    columns = ("stot", "scur", "req_tot", "hrsp_5xx", "srv_abrt", "cli_abrt", "econ")
    found = {}
    for server in servers:
        row = {key: int(server.get(key) or 0) for key in columns}
        unanswered = max(row["econ"], row["stot"] - row["scur"] - row["req_tot"])
        found[server["srv_name"]] = {"requests": row["stot"], "errors": row["hrsp_5xx"] + row["srv_abrt"] + unanswered}
    answer = {"since": f"{about.get('Pid')} {about.get('Start_time_sec')}", "members": found}
    if servers:
        # Each request once, whatever was tried for it, and with those that no server was found for. One that ends this moment may
        # be taken for unanswered until the next look.
        row = {key: int(value) if value.isdecimal() else 0 for key, value in balancer.backend(servers[0]).items() if key in columns}
        unanswered = max(0, row["stot"] - row["scur"] - row["req_tot"])
        failed = {"errors": row["hrsp_5xx"], "broken": row["srv_abrt"], "unanswered": unanswered}
        answer["served"] = {"requests": row["req_tot"] + unanswered, "left": row["cli_abrt"], **failed}
    return answer


def write(balancer: Balancer, request: dict) -> dict:
    """Change members."""
    for change in request["changes"]:
        server = f"{request['pool']}/{change['name']}"
        weight = [f"set server {server} weight {change['weight']}"] if "weight" in change else []
        state = [f"set server {server} state {WRITTEN[change['state']]}"] if "state" in change else []
        # Leaving maintenance brings a server up at once, on the result of a check from before: hence last, and in the same line.
        state += [f"set server {server} health down"] if request.get("distrust") else []
        # Who leaves does so before its weight changes, who returns after it.
        balancer.do(
            *(weight + state if change.get("state") == "enabled" or request.get("distrust") else state + weight)
        )
    return {}


def running(balancer: Balancer, request: dict) -> dict:
    """Which process answers, and for how many seconds it has run."""
    about = balancer.about()
    if "Pid" not in about or "Uptime_sec" not in about:
        raise Failed("it does not say since when it runs")
    return {"process": about["Pid"], "seconds": int(about["Uptime_sec"])}


def main() -> None:
    """Read the request, do it, print the answer."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--socket", required=True, help="of HAProxy, as in its configuration: stats socket PATH level admin"
    )
    programs = {"read": read, "write": write, "in_flight": in_flight, "running": running, "counters": counters}
    programs["other_pools"] = other_pools
    parser.add_argument("program", choices=list(programs))
    options = parser.parse_args()
    try:
        print(json.dumps(programs[options.program](Balancer(options.socket), json.load(sys.stdin))))
    except Failed as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
