# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the measurements say. Pure functions; a run is a dictionary with ``wall``, ``cpu``, ``memory``, ``requests``, ``failed``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

DEFINITIONS = """\
floor   what every side needs: Ansible itself (a playbook of the deploy tasks alone, in the same batches, less those tasks), the deploy
        tasks with the start of the application, and for each batch the balancer's own health check (HAProxy asked past Ansible)
share   wall time less the floor, with the deploy tasks as they took in the same run: they are the same ones on every side, and take
        a tenth more or less from run to run
cpu     of ansible-playbook and all processes that it waited for, on the controller
memory  of the largest process on the controller"""

Run = Mapping[str, Any]


def summary(runs: Sequence[Run]) -> dict[str, Any]:
    """Medians over the rounds; requests and failures of all of them."""
    return {
        **{name: round(median(run[name] for run in runs), 2) for name in ("wall", "cpu", "memory")},
        "walls": [round(run["wall"], 1) for run in runs],
        **{name: sum(run.get(name, 0) for run in runs) for name in ("requests", "failed")},
    }


def compared(sides: Mapping[str, Sequence[Run]], batches: int, check: float) -> dict[str, Any]:
    """Every side held against the floor and against the usual playbooks.

    :param sides: runs by side; ``floor`` and those that begin with ``usual`` or ``ours``.
    :param check: seconds that the balancer's own check takes for a batch.
    """
    told: dict[str, Any] = {name: summary(runs) for name, runs in sides.items()}
    ansible = median(run["wall"] - run["deploy"] for run in sides["floor"])
    deploy = median(run["deploy"] for name, runs in sides.items() if name != "floor" for run in runs)
    floor = ansible + deploy + batches * check
    for name, side in told.items():
        if name != "floor":
            side["share"] = round(median(run["wall"] - run["deploy"] for run in sides[name]) - ansible - batches * check, 2)
            side["share_of_a_batch"] = round(side["share"] / batches, 2)
    ratios = {
        f"{ours} / {usual}": {
            of: round(told[ours][of] / told[usual][of], 2) for of in ("share", "wall", "cpu", "memory")
        }
        for ours in told
        if ours.startswith("ours")
        for usual in told
        if usual.startswith("usual")
    }
    return {
        "batches": batches,
        "floor": round(floor, 2),
        "floor_parts": {"ansible": round(ansible, 2), "deploy": round(deploy, 2), "balancer_check": round(check, 3)},
        "sides": told,
        "ratios": ratios,
    }


def lines(title: str, figures: Mapping[str, Any]) -> list[str]:
    """A comparison for a reader."""
    parts = figures["floor_parts"]
    told = [
        f"{title}: {figures['batches']} batches, floor {figures['floor']:.1f} s (Ansible {parts['ansible']:.1f} s, deploy tasks "
        f"{parts['deploy']:.1f} s, the balancer's check {parts['balancer_check']:.2f} s a batch)",
        f"  {'':28} {'wall s':>8} {'share s':>8} {'of batch':>8} {'cpu s':>8} {'MB':>6} {'requests':>9} {'failed':>7}   rounds",
    ]
    for name, side in figures["sides"].items():
        share = f"{side['share']:8.1f} {side['share_of_a_batch']:8.2f}" if "share" in side else f"{'':8} {'':8}"
        counts = f"{side['requests']:9} {side['failed']:7}" if name != "floor" else f"{'':9} {'':7}"
        told.append(
            f"  {name:28} {side['wall']:8.1f} {share} {side['cpu']:8.1f} {side['memory']:6.0f} {counts}   {side['walls']}"
        )
    for name, ratio in figures["ratios"].items():
        told.append(f"  {name}: " + ", ".join(f"{of} {value:.2f}" for of, value in ratio.items()))
    return told
