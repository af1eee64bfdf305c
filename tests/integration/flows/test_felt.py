# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What users felt comes out of every rollout, and who is to be told of it can spoil nothing."""

from __future__ import annotations

import fcntl
import json
import signal
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import fleet
import pytest
from shops import RAMP, SOON, phases, record

THREE = ["app1", "app2", "app3"]
FORTH = ["drain", "deploy", "check", "return", "soak"]
BACK = ["undo_drain", "undo_deploy", "undo_check", "undo_return"]


@pytest.fixture
def told():
    """A chat: `told.url` takes messages, `told.texts` has them."""

    class Chat(BaseHTTPRequestHandler):
        def do_POST(self):
            self.server.texts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words):
            pass

    with HTTPServer(("127.0.0.1", 0), Chat) as server:
        server.texts, server.url = [], f"http://127.0.0.1:{server.server_port}/hook"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def watched(shop, tmp_path):
    """Variables of a rollout that is watched, with a report and a file for Prometheus."""
    return {
        "rollout_probe": {"urls": [f"http://127.0.0.1:{shop.fleet.port}/health"], "rate": 50, "path": str(tmp_path / "probe")},
        "rollout_report": str(tmp_path / "reports"),
        "rollout_notices": {"textfile": str(tmp_path / "shop.prom")},
    }


def probing(tmp_path):
    """Whether a prober holds its lock."""
    with open(tmp_path / "probe" / "shop" / "probe" / "prober", "rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_rollout_that_nobody_felt(shop, watched, tmp_path):
    # Nobody listens there, which is nobody's loss.
    watched["rollout_notices"]["webhooks"] = [{"url": "http://127.0.0.1:1/hook"}]
    with shop.under_load() as load:
        run = shop.roll("2.0", **watched, **RAMP).assert_good()
    assert load["failed"] == 0
    told = record(tmp_path / "reports", "succeeded")
    felt, counted = told["felt"], told["counted"]
    assert f"0 of {felt['requests']} failed" in run.output and felt["failed"] == 0 and felt["late"] == 0, felt
    assert {"1.0", "2.0"} == {*felt["versions"]} and felt["requests"] > 50 * 2
    assert counted["agrees"] is True and counted["errors"] == 0 and counted["requests"] > felt["requests"]
    assert {host: phases(told, host) for host in THREE} == dict.fromkeys(THREE, FORTH)
    assert all(phase["ok"] and phase["began"] <= phase["ended"] for phase in told["phases"])
    assert [phase["batch"] for phase in told["phases"] if phase["phase"] == "drain"] == [1, 2, 2]
    assert (told["outcome"], told["decided"], told["undone"], told["from_versions"]) == ("succeeded", None, None, ["1.0"])
    assert {member["after"]["state"] for member in told["members"]} == {"enabled"}
    (page,) = (path for path in (tmp_path / "reports").glob("*.html") if "latest" not in path.name)
    assert str(page) in run.output
    assert 'zero_downtime_rollout_failed_requests{' in (tmp_path / "shop.prom").read_text()
    assert not probing(tmp_path)
    # The journal keeps the figures, and the status tells them.
    (journal,) = shop.journals()
    assert journal["summary"]["felt"]["requests"] == felt["requests"] and "series" not in journal["summary"]["felt"]
    status = shop.play("zero_downtime.deploy.status", rollout_hosts="shop").assert_good()
    assert "Without interruption: 100% (1 of 1)." in status.output, status.output
    # Who takes it back is watched as well.
    shop.roll_back(**watched).assert_good()
    back = record(tmp_path / "reports", "rolled_back")
    assert (back["strategy"], back["version"]) == ("rollback", "2.0") and back["felt"]["failed"] == 0 < back["felt"]["requests"]
    assert {host: phases(back, host) for host in THREE} == dict.fromkeys(THREE, BACK)
    assert back["began"] <= back["decided"] < back["undone"] <= back["ended"]


def test_one_that_is_undone_and_others_are_told(shop, watched, told, tmp_path):
    watched["rollout_notices"]["webhooks"] = [{"url": told.url}]
    shop.roll("3.0", **watched, **SOON).assert_bad("3 hosts are back on 1.0", "What users felt")
    known = record(tmp_path / "reports", "rolled_back")
    assert {*known["failures"]} == {*THREE}
    assert phases(known, "app1") == [*FORTH[:3], *BACK]
    assert [phase["ok"] for phase in known["phases"] if phase["host"] == "app1"] == [True, True, False, True, True, True, True]
    assert known["began"] < known["decided"] < known["undone"] <= known["ended"]
    assert [text.split("\n")[0].split(":")[0] for text in told.texts] == [
        "Rollout of shop to 3.0 has begun, rolling.",
        "Rollout of shop to 3.0 is being undone to 1.0",
        "Rollout of shop to 3.0 FAILED in the batch app1, app2, app3",
    ]
    assert shop.journals()[-1]["summary"]["undone"] == known["undone"]


@pytest.mark.thorough
def test_a_probe_ends_with_its_run(shop, watched, hold, tmp_path):
    run = shop.start_rolling("2.0", rollout_hooks=hold(), **watched)
    hold.until(run)
    assert probing(tmp_path)
    run.send(signal.SIGKILL)
    fleet.until(lambda: not probing(tmp_path), "the prober does not end")
    hold.let_go()
