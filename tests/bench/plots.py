# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The growth with the size of the fleet, drawn for docs/performance.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
# The same picture from the same figures, and text that stays text.
matplotlib.rcParams.update({"svg.hashsalt": "bench", "svg.fonttype": "none", "font.size": 10})

import matplotlib.pyplot as plt


def draw(figures: Path, out: Path) -> None:
    """Draw `growth.svg` and `memory.svg` from what the section `fleet` has written."""
    sizes: dict[str, Any] = json.loads(figures.read_text())["sizes"]
    out.mkdir(parents=True, exist_ok=True)
    _growth(list(sizes.values()), out / "growth.svg")
    _memory(list(sizes.values()), out / "memory.svg")


def _growth(sizes: list[dict[str, Any]], path: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    labels = [f"{size['hosts']:,}" for size in sizes]
    below = [0.0] * len(sizes)
    for piece in sizes[0]["batch"]:
        seconds = [max(0.0, size["batch"][piece]) for size in sizes]
        left.bar(labels, seconds, bottom=below, label=piece, width=0.6)
        below = [low + more for low, more in zip(below, seconds)]
    left.set(title="Our share of a batch, by piece", xlabel="hosts, in ten batches", ylabel="seconds")
    left.legend(frameon=False)
    hosts = [size["hosts"] for size in sizes]
    right.plot(hosts, [size["wall"] for size in sizes], "o-", label="whole rollout")
    right.plot(hosts, [size["cpu"] for size in sizes], "s-", label="the controller's CPU")
    right.plot(hosts, [size["floor"]["wall"] for size in sizes], "^--", label="deploy tasks alone")
    right.set(title="The whole rollout", xlabel="hosts", ylabel="seconds", xscale="log", yscale="log")
    right.legend(frameon=False)
    _save(figure, path)


def _memory(sizes: list[dict[str, Any]], path: Path) -> None:
    figure, axes = plt.subplots(figsize=(4.8, 3.2), layout="constrained")
    hosts = [size["hosts"] for size in sizes]
    axes.plot(hosts, [size["memory"] for size in sizes], "o-", label="rollout")
    axes.plot(hosts, [size["floor"]["memory"] for size in sizes], "^--", label="deploy tasks alone")
    axes.set(title="Largest process on the controller", xlabel="hosts", ylabel="MB", xscale="log", ylim=(0, None))
    axes.legend(frameon=False)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
