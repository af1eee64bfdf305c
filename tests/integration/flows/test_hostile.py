# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the application says of itself is never taken for a template: not its version, not its error page, not its headers."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from shops import CORES


@pytest.fixture
def liar(tmp_path):
    """A health page whose version and words are templates that would write a file, which `liar.caught` is."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self):
            template = "{{ lookup('ansible.builtin.pipe', 'touch %s') }}{%% set x = 1 %%}" % server.caught
            body = json.dumps({"version": template, "status": "ok"}).encode()
            self.send_response(503 if self.path == "/sick" else 200)
            self.send_header("X-Version", template)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_about):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    server.caught = tmp_path / "caught"
    server.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


@CORES
@pytest.mark.parametrize(
    "health",
    [{"path": "/health", "version": "$.version"}, {"path": "/sick", "version_header": "X-Version"}],
    ids=["version", "page"],
)
def test_what_a_health_page_says_is_never_a_template(shop, liar, core, tmp_path, health):
    wanted = {"url": liar.url + health["path"], **{key: value for key, value in health.items() if key != "path"}}
    more = {
        "rollout_health": wanted,
        "rollout_health_deadline": 2,
        "rollout_report": str(tmp_path / "reports"),
        "rollout_notices": {"textfile": str(tmp_path / "shop.prom")},
        "rolling_no_way_back": "accept",
    }
    rolled = shop.roll("2.0", "-vv", "--diff", **more)
    assert rolled.code not in (0, None)
    assert "lookup('ansible.builtin.pipe'" in rolled.output, "what it said is told as it is"
    back = shop.roll_back("-vv", **more)
    for run in (rolled, back):
        assert "Traceback" not in run.output
    assert not liar.caught.exists(), "it was taken for a template"
