# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rolling scenario with each kind of balancer, through two pools over the same hosts: a good release rolls out under load, a broken
one is undone, no request fails.

It is the demo's story, told by the demo itself.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.zero_downtime.deploy.tests.support.balancers.find import found

CHECKOUT = Path(__file__).resolve().parents[3]
PROVIDERS = [name for name in ("apache", "caddy", "traefik") if found(name)]
# `make test` has other rollouts behind these: HAProxy in flows and scenarios, Envoy (blue-green) and NGINX (canary) in test_strategies.py.
OTHERS = [pytest.param(name, marks=pytest.mark.thorough) for name in ("haproxy", "nginx", "envoy") if found(name)]
REQUESTS = 5000  # at the least, in each of the two rollouts
RATE = 100  # a second
QUICK = {"rolling_batches": [3], "rolling_soak": 0.5}


@pytest.mark.parametrize("provider", PROVIDERS + OTHERS)
def test_a_good_release_and_a_broken_one_under_load(provider, tmp_path):
    (tmp_path / "collections").symlink_to(CHECKOUT / "build" / "dev")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "DEMO_"))}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    demo = [sys.executable, str(CHECKOUT / "examples" / "demo" / "demo.py"), "--work", str(tmp_path)]
    done = subprocess.run(
        [
            *demo,
            "--provider",
            provider,
            "--requests",
            str(REQUESTS),
            "--rate",
            str(RATE),
            "--variables",
            json.dumps(QUICK),
            "--pools",
            "2",
        ],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=800,
    )
    assert done.returncode == 0, done.stdout
    told = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    for part in (told["rolling"], told["broken"]):
        assert part["failed"] == 0 and part["requests"] >= REQUESTS, part
        assert [each["requests"] > 0 for each in part["by_pool"]] == [True, True]
    assert set(told["broken"]["hosts"].values()) == {"2.0"}
