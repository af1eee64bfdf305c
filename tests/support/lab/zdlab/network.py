# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of the lab: one bridge, with the controller on it."""

from __future__ import annotations

import shutil
from pathlib import Path

from .files import Plan
from .machine import LabError, run

BRIDGE_FILTER = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_NEEDED = 8192  # sixty hosts take about a thousand


def bridge_up(plan: Plan, lab: Path) -> None:
    """Make the bridge, with the lab's directory as its alias; harmless when it is there."""
    if not bridge_exists(plan):
        run("ip", "link", "add", plan.bridge, "type", "bridge", "stp_state", "0", "forward_delay", "0")
        run("ip", "link", "set", plan.bridge, "alias", lab)
    run("ip", "address", "replace", f"{plan.address('controller')}/{plan.prefix}", "dev", plan.bridge)
    run("ip", "link", "set", plan.bridge, "up")
    rule = _forward_rule(plan)
    # Container engines set FORWARD to DROP, and bridged packets pass it where bridge filtering is on.
    if rule and run("iptables", "-C", *rule, check=False).returncode:
        run("iptables", "-I", *rule)


def bridge_down(plan: Plan) -> None:
    """Remove the bridge and its rule."""
    rule = _forward_rule(plan)
    if rule:
        run("iptables", "-D", *rule, check=False)
    if bridge_exists(plan):
        run("ip", "link", "delete", plan.bridge)


def bridge_exists(plan: Plan) -> bool:
    """Is there an interface of that name?"""
    return Path("/sys/class/net", plan.bridge).exists()


def bridge_owner(plan: Plan) -> Path | None:
    """The directory of the lab that made the bridge; None when there is no bridge, or no lab's."""
    try:
        alias = Path("/sys/class/net", plan.bridge, "ifalias").read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return Path(alias) if alias.startswith("/") else None


def bridge_in_use(plan: Plan) -> bool:
    """Does a host hang on the bridge?"""
    return any(Path("/sys/class/net", plan.bridge, "brif").glob("*"))


def check_free(plan: Plan) -> None:
    """Is the network ours to take?

    :raises LabError: the bridge or a route into the network is there already, and not ours.
    """
    hint = "ZD_LAB_BRIDGE and ZD_LAB_NET choose others"
    if bridge_exists(plan):
        raise LabError(f"an interface {plan.bridge} exists already and is not this lab's; {hint}")
    routes = run("ip", "-o", "route", "show", "root", plan.network).stdout.strip()
    if routes:
        raise LabError(f"this machine already has routes into {plan.network} ({routes.splitlines()[0]}); {hint}")


def _forward_rule(plan: Plan) -> list[str]:
    filtered = BRIDGE_FILTER.exists() and BRIDGE_FILTER.read_text(encoding="utf-8").strip() == "1"
    if not filtered or not shutil.which("iptables"):
        return []
    return ["FORWARD", "-i", plan.bridge, "-o", plan.bridge, "-j", "ACCEPT"]


def raise_inotify() -> int:
    """Every systemd takes several inotify instances of the one user root; returns the value to put back, or 0."""
    found = int(INOTIFY.read_text(encoding="utf-8"))
    if found >= INOTIFY_NEEDED:
        return 0
    INOTIFY.write_text(str(INOTIFY_NEEDED), encoding="utf-8")
    return found


def restore_inotify(value: int) -> None:
    """Put back what `raise_inotify` returned."""
    if value:
        INOTIFY.write_text(str(value), encoding="utf-8")
