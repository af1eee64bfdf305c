# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab: real systemd hosts with sshd, on one machine, as root.

Application hosts app1, app2, … run gunicorn as a systemd unit; balancers lb1, lb2, … run HAProxy.
Environment: ZD_LAB_DIR (build/lab in the checkout), ZD_LAB_BRIDGE (zd0), ZD_LAB_NET (10.203.0.0/24),
ZD_LAB_SUITE (bookworm), ZD_LAB_MIRROR (the one that this machine's apt uses).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from zdlab.base import ensure_base
from zdlab.files import MOST_APPS, MOST_BALANCERS, Plan
from zdlab.lab import Lab, say
from zdlab.machine import LabError, check_machine

CHECKOUT = Path(__file__).resolve().parents[3]


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    up = commands.add_parser("up", help="bring the lab up; quick when it is")
    up.add_argument("--apps", type=int, default=6, help=f"application hosts, 1 to {MOST_APPS} (6)")
    up.add_argument("--balancers", type=int, default=2, help=f"balancers, 1 to {MOST_BALANCERS} (2)")
    up.add_argument("--release", default="1.0.0", help="the shop's version on them, or 'none' (1.0.0)")
    commands.add_parser("base", help="build what the hosts stand on, and nothing else; quick when it is there")
    down = commands.add_parser("down", help="take everything away; the base stays for the next time")
    down.add_argument("--purge", action="store_true", help="delete the base too")
    reset = commands.add_parser("reset", help="make the hosts anew: first release running, balancers fresh")
    reset.add_argument("host", nargs="*", help="these alone (all)")
    stop = commands.add_parser("stop", help="cut the power of hosts; `reset` makes them anew")
    stop.add_argument("host", nargs="+")
    link = commands.add_parser("link", help="disturb the line of a host until the next `link` of it; without options mend it")
    link.add_argument("host", nargs="+")
    link.add_argument("--loss", type=float, help="percent of all packets that are lost")
    link.add_argument("--cut", metavar="PEER[:PORT]", action="append", default=[],
                      help="nothing passes between it and another host or `controller`, or nothing of that TCP port")
    link.add_argument("--kbit", type=int, help="so many a second towards the host; what comes faster waits")
    commands.add_parser("status", help="what runs, as JSON; exit code 1 when the lab is down")
    commands.add_parser("deaths", help="when applications killed themselves, as JSON")
    commands.add_parser("inventory", help="print the Ansible inventory; it is in ZD_LAB_DIR too")
    ssh = commands.add_parser("ssh", help="run a command as root on a host")
    ssh.add_argument("host")
    ssh.add_argument("words", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    if args.command == "up" and not (1 <= args.apps <= MOST_APPS and 1 <= args.balancers <= MOST_BALANCERS):
        parser.error(f"1 to {MOST_APPS} application hosts and 1 to {MOST_BALANCERS} balancers")
    return args


def carry_out(args: argparse.Namespace, lab: Lab) -> int:
    """One command; returns the exit code."""
    if args.command == "up":
        plan = Plan(args.apps, args.balancers, os.environ.get("ZD_LAB_BRIDGE", "zd0"),
                    os.environ.get("ZD_LAB_NET", "10.203.0.0/24"))
        with lab.locked():
            try:
                lab.up(plan, args.release)
            except KeyboardInterrupt:
                # Half a lab helps nobody, and nobody is left who knows of it.
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_IGN)
                say("interrupted: taking the lab down")
                lab.down()
                raise
    elif args.command == "base":
        lab.directory.mkdir(parents=True, exist_ok=True)
        print(ensure_base(lab.directory, say))
    elif args.command in ("down", "reset", "stop"):
        with lab.locked():
            if args.command == "down":
                lab.down(args.purge)
            else:
                getattr(lab, args.command)(args.host)
    elif args.command == "link":
        lab.link(args.host, args.loss, args.cut, args.kbit)
    elif args.command == "status":
        status = lab.status()
        print(json.dumps(status, indent=2))
        return 0 if status["up"] else 1
    elif args.command == "deaths":
        print(json.dumps(lab.deaths()))
    elif args.command == "inventory":
        lab.plan  # noqa: B018  pylint: disable=pointless-statement
        print(lab.inventory_path.read_text(encoding="utf-8"), end="")
    else:
        print(lab.ssh(args.host, " ".join(args.words)), end="")
    return 0


def main() -> int:
    """Errors that a person can act on become one message."""
    args = arguments()

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    os.umask(0o022)  # what is written into the hosts must be readable there, whoever calls
    signal.signal(signal.SIGTERM, interrupt)
    signal.signal(signal.SIGINT, interrupt)
    started = time.monotonic()
    try:
        check_machine()
        code = carry_out(args, Lab(Path(os.environ.get("ZD_LAB_DIR", CHECKOUT / "build" / "lab")).resolve()))
    except LabError as error:
        say(f"lab: {error}")
        return 1
    except KeyboardInterrupt:
        return 130
    if args.command in ("up", "down", "reset", "stop"):
        say(f"lab {args.command}: {time.monotonic() - started:.1f} s")
    return code


if __name__ == "__main__":
    sys.exit(main())
