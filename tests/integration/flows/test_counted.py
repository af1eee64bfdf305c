# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances that die while something is rolled out: what the report says was counted is what independent clients saw fail."""

from __future__ import annotations

import os
import signal

import fleet
from shops import RAMP, record


def hang(shop, host):
    """Let an instance accept requests and not answer them."""
    os.killpg(int(shop.pid(host)), signal.SIGSTOP)


def waiting(shop, host):
    """How many requests HAProxy has under way there."""
    rows = [row.split(",") for row in shop.ask("show stat").splitlines()]
    return next(int(row[4]) for row in rows if row[:2] == ["shop", host])


def test_what_is_counted_is_what_users_saw_fail(shop, hold, tmp_path):
    watched = {
        "rollout_probe": {"urls": [f"http://127.0.0.1:{shop.fleet.port}/"], "rate": 50, "path": str(tmp_path / "probe")},
        "rollout_report": str(tmp_path / "reports"),
    }
    # A new connection each: of connections that were used before, HAProxy cannot tell all failures apart.
    with shop.under_load(clients="connect=6,slow=4") as load:
        run = shop.start_rolling("2.0", rollout_hooks=hold(), **RAMP, **watched)
        hold.until(run)
        # Whoever is in the middle of a slow answer there gets half of it, and whoever waits for one gets none.
        fleet.until(lambda: waiting(shop, "app4"), "nobody is at app4")
        shop.stop("app4")
        shop.bring_back("app4")
        hang(shop, "app5")
        fleet.until(lambda: waiting(shop, "app5") > 2, "nobody waits for app5")
        shop.stop("app5")
        shop.bring_back("app5")
        hold.let_go()
        run.wait().assert_good()
    told = record(tmp_path / "reports", "succeeded")
    felt, counted = told["felt"], told["counted"]
    users, members = ({one["of"]: one for one in counted["balancers"]}[of] for of in ("users", "members"))
    assert load["why"].get("truncated") and load["failed"] > 2, load["why"]
    # To the request: the clients' failures and the probe's, which are everybody's.
    assert users["exact"] and users["errors"] == load["failed"] + felt["failed"], (users, load["why"], felt["outcomes"])
    assert members["at_most"] >= users["errors"] and felt["requests"] < users["requests"]
    assert counted["agrees"] is True, counted["said"]
    assert f"{users['errors']} of the {users['requests']} requests of users failed" in run.output
    # The probe's are a sample: failures of the same kinds, of the same time.
    assert {*felt["outcomes"]} <= {"ok", "status", "closed", "truncated"}
    (page,) = (path for path in (tmp_path / "reports").glob("*.html") if "latest" not in path.name)
    kinds = page.read_text().partition('id="counters"')[2]
    assert "Sampled: 50 requests a second" in kinds and "Exact: every request" in kinds
