# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo's fleet, on 1.0 and without a history before each test, and playbooks run on it as a user runs them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import yaml

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[2]
for directory in (CHECKOUT / "examples" / "demo", CHECKOUT / "tests" / "support" / "app", HERE):
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))

import shops


@pytest.fixture(scope="session")
def standing(tmp_path_factory):
    """One HAProxy and six instances, for all tests."""
    shop = shops.Shop(tmp_path_factory.mktemp("shop"))
    try:
        shop.begin()
        yield shop
    finally:
        shop.end()


@pytest.fixture
def core():
    """The ansible-core that runs the playbooks; a test that is to run on others too says so by `shops.CORES`."""
    return "core-2.19"


@pytest.fixture
def shop(standing, core, tmp_path):
    """The fleet in its first state; what a test has left running is ended."""
    standing.reset(tmp_path, shops.commands(core))
    try:
        yield standing
    finally:
        standing.end_runs()


@pytest.fixture
def hooks(shop, tmp_path):
    """Write hooks, `hooks(before_drain=[task, …])`; returns their directory."""

    def write(**phases):
        directory = tmp_path / "hooks"
        directory.mkdir(exist_ok=True)
        for phase, tasks in phases.items():
            (directory / f"{phase}.yml").write_text(yaml.safe_dump(tasks))
        return str(directory)

    return write


@pytest.fixture
def notes(tmp_path):
    """A file for tasks to write words to: `notes.task(words)` makes such a task, `notes.read()` tells the lines."""
    return shops.Notes(tmp_path / "notes")


@pytest.fixture
def hold(hooks, tmp_path):
    """A rollout that stops at a known point: `hold()` returns the hooks, `hold.let_go()` lets it go on."""
    return shops.Hold(hooks, tmp_path)
