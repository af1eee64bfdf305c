# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Telling others: real files and real servers, good ones and bad ones."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import os
import socket
import stat
import threading

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers.http_api import HttpApi
from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock, Deadline
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import Unreachable
from ansible_collections.zero_downtime.deploy.plugins.module_utils._notices.pushgateway import grouping
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import tell_rollout
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils._domain.strict_exposition import parse
from ansible_collections.zero_downtime.deploy.tests.unit.plugins.module_utils._domain.test_rollout_metrics import RECORD

SECRET = "T0SECRET/B0SECRET/hush-hush"
NEXT = {**RECORD, "id": "next", "version": "1.4.3", "outcome": "succeeded", "decided": None, "undone": None}


class Server(http.server.ThreadingHTTPServer):
    """Answers with `answers` in turn, the last of them for ever; None is a connection that ends. Keeps what it was asked."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked = [(200, b"ok")], []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_about):
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append((self.command, self.path, self.headers, body))
        answers = self.server.answers
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            self.close_connection = True
            return
        self.send_response(answer[0])
        self.send_header("Content-Length", str(len(answer[1])))
        self.end_headers()
        self.wfile.write(answer[1])

    do_POST = do_PUT = answer

    def log_message(self, *_about):
        pass


@pytest.fixture
def servers():
    """``servers()`` starts one more."""
    with contextlib.ExitStack() as stack:

        def start():
            server = stack.enter_context(Server())
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
            thread.start()
            stack.callback(thread.join)
            stack.callback(server.shutdown)
            return server

        yield start


@pytest.fixture
def server(servers):
    return servers()


@pytest.fixture
def silent():
    """A port that takes connections and says nothing."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        nobody.listen()
        yield f"http://127.0.0.1:{nobody.getsockname()[1]}"


@pytest.fixture
def closed():
    """A port that takes no connections."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{nobody.getsockname()[1]}"


class Hurried(Clock):
    """The machine's own, which does not sleep."""

    def __init__(self):
        self.slept = []

    def sleep(self, seconds):
        self.slept.append(seconds)


def tell(check_mode=False, clock=None, **options):
    given = {"event": "finish", "record": RECORD, **options}
    result = ArgumentSpecValidator(tell_rollout.ARGUMENT_SPEC).validate(given)
    assert not result.error_messages, result.error_messages
    return tell_rollout.run(result.validated_parameters, check_mode, clock or Hurried())


def metrics(text):
    return {name for name, _labels in parse(text)}


class TestTextfile:
    def test_it_is_whole_and_readable_for_all(self, tmp_path):
        path = tmp_path / "shop.prom"
        old_umask = os.umask(0o077)
        try:
            found = tell(textfile=str(path))
        finally:
            os.umask(old_umask)
        assert stat.S_IMODE(path.stat().st_mode) == 0o644
        assert "zero_downtime_rollout_success" in metrics(path.read_text())
        assert found["targets"] == [
            {"kind": "textfile", "where": str(path), "told": True, "changed": True, "tries": 1, "problem": ""}
        ]
        assert found["diff"][0]["before"] == "" and found["diff"][0]["after"] == path.read_text()
        assert os.listdir(tmp_path) == ["shop.prom"]

    def test_the_collector_never_sees_half_of_it(self, tmp_path, monkeypatch):
        seen = []
        rename = os.rename

        def look(source, target):
            seen.extend(tmp_path.glob("*.prom"))
            with open(source, encoding="utf-8") as file:
                seen.append(parse(file.read()) != {})
            rename(source, target)

        monkeypatch.setattr(os, "rename", look)
        tell(textfile=str(tmp_path / "shop.prom"))
        assert seen == [True]

    def test_a_file_that_cannot_be_renamed_leaves_nothing_behind(self, tmp_path, monkeypatch):
        def full(_source, _target):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "rename", full)
        found = tell(textfile=str(tmp_path / "shop.prom"))
        assert "cannot be written: No space left on device. It is as it was." in found["warnings"][0]
        assert os.listdir(tmp_path) == []

    def test_a_second_time_changes_nothing(self, tmp_path):
        path = tmp_path / "shop.prom"
        assert tell(textfile=str(path))["changed"]
        before = path.stat()
        again = tell(textfile=str(path))
        assert not again["changed"] and "diff" not in again and path.stat().st_ino == before.st_ino

    def test_the_end_of_the_last_one_stays_until_the_next_has_ended(self, tmp_path):
        path = tmp_path / "shop.prom"
        tell(textfile=str(path))
        tell(textfile=str(path), event="begin", record=NEXT)
        text = path.read_text()
        assert 'version="1.4.3",strategy="rolling",outcome="running"' in text and "1.4.2" not in text
        assert {"zero_downtime_rollout_rollback_seconds", "zero_downtime_rollout_success"} <= metrics(text)
        tell(textfile=str(path), record=NEXT)
        assert "zero_downtime_rollout_rollback_seconds" not in metrics(path.read_text())

    @pytest.mark.parametrize("content", ["node_cpu 1\n", "", "another service"])
    def test_what_is_somebody_else_s_stays(self, tmp_path, content):
        path = tmp_path / "shop.prom"
        if content == "another service":
            tell(textfile=str(path), record={**RECORD, "service": "other"})
            content = path.read_text()
        path.write_text(content)
        found = tell(textfile=str(path))
        if content == "":
            assert found["targets"][0]["told"]
            return
        assert "each service needs a file of its own" in found["warnings"][0] and not found["changed"]
        assert path.read_text() == content

    @pytest.mark.parametrize(
        ("path", "words"),
        [
            ("{}/shop.txt", "ends in .prom"),
            ("shop.prom", "absolute path"),
            ("{}/missing/shop.prom", "missing is not there"),
            ("{}/directory.prom", "cannot be read"),
        ],
    )
    @pytest.mark.parametrize("check_mode", [False, True])
    def test_what_cannot_be_written_is_a_warning(self, tmp_path, path, words, check_mode):
        (tmp_path / "directory.prom").mkdir()
        found = tell(check_mode, textfile=path.format(tmp_path))
        assert words in found["warnings"][0] and not found["changed"]

    def test_check_mode_shows_it_and_writes_nothing(self, tmp_path):
        found = tell(True, textfile=str(tmp_path / "shop.prom"))
        assert found["changed"] and "zero_downtime_rollout_info" in found["diff"][0]["after"]
        assert os.listdir(tmp_path) == [] and not found["targets"][0]["told"]


class TestPushgateway:
    def test_the_end_replaces_the_group_and_all_else_adds_to_it(self, server):
        for event in ("begin", "finish"):
            tell(event=event, pushgateway={"url": server.url + "/gate/"}, labels={"environment": "production"})
        tell(record={**RECORD, "outcome": "paused"}, pushgateway={"url": server.url, "job": "a/b"})
        told = [(method, path) for method, path, _headers, _body in server.asked]
        group = "/metrics/job/zero_downtime/service/shop"
        assert told == [
            ("POST", f"/gate{group}/environment/production"),
            ("PUT", f"/gate{group}/environment/production"),
            ("POST", "/metrics/job@base64/YS9i/service/shop"),
        ]
        assert all(
            headers["Content-Type"].startswith("text/plain; version=0.0.4") for _m, _p, headers, _b in server.asked
        )
        assert "zero_downtime_rollout_latency_seconds" in metrics(server.asked[1][3].decode())

    def test_credentials(self, server):
        tell(pushgateway={"url": server.url, "username": "me", "password": "pass", "headers": {"X-Scope": "a"}})
        headers = server.asked[0][2]
        assert (
            headers["Authorization"] == "Basic " + base64.b64encode(b"me:pass").decode() and headers["X-Scope"] == "a"
        )

    def test_a_label_s_value_in_a_path(self):
        assert grouping("job", "a-b_c.d") == "/job/a-b_c.d"
        assert [grouping("a", value) for value in ("", "..", "a/b", "ü")] == [
            "/a@base64/=", "/a@base64/Li4=", "/a@base64/YS9i", "/a@base64/w7w=",
        ]  # fmt: skip


class TestWebhooks:
    def test_slack(self, server):
        record = {**RECORD, "lines": ["Rollout FAILED: app3: <!channel> & co."]}
        found = tell(record=record, webhooks=[{"url": f"{server.url}/services/{SECRET}?x=y z"}])
        method, path, headers, body = server.asked[0]
        assert (method, path, headers["Content-Type"]) == ("POST", f"/services/{SECRET}?x=y%20z", "application/json")
        first, second = json.loads(body)["text"].split("\n")
        assert first == "Rollout FAILED: app3: &lt;!channel&gt; &amp; co."
        assert second == "It took 60 s. 3 of 600 requests failed. It was back 16.5 s after the decision."
        assert found["targets"][0] == {
            "kind": "slack", "where": server.url, "told": True, "changed": True, "tries": 1, "problem": "",
        }  # fmt: skip
        assert "<!channel>" in found["text"] and "warnings" not in found

    def test_a_text_of_the_user_s_own_may_mention_a_channel(self, server):
        record = {**RECORD, "version": "<!everyone>"}
        tell(record=record, webhooks=[{"url": server.url, "text": "<!here> $version: $outcome"}])
        assert json.loads(server.asked[0][3])["text"] == "<!here> &lt;!everyone&gt;: rolled_back"

    def test_json(self, server):
        tell(
            webhooks=[
                {"url": server.url, "kind": "json", "text": "$service", "headers": {"Authorization": "Bearer abc"}}
            ]
        )
        _method, path, headers, body = server.asked[0]
        found = json.loads(body)
        assert (path, headers["Authorization"], found["text"], found["felt"]["failed"]) == (
            "/",
            "Bearer abc",
            "shop",
            3,
        )


def test_grafana(server):
    tell(
        grafana={"url": server.url + "/graf", "token": "glsa_x\n", "dashboard_uid": "abc"},
        labels={"environment": "production"},
    )
    method, path, headers, body = server.asked[0]
    assert (method, path, headers["Authorization"]) == ("POST", "/graf/api/annotations", "Bearer glsa_x")
    assert json.loads(body) == {
        "time": 1763790000000,
        "timeEnd": 1763790060000,
        "dashboardUID": "abc",
        "tags": ["zero_downtime", "finish", "service:shop", "outcome:rolled_back", "environment:production"],
        "text": "[environment=production] Rollout of shop to 1.4.2: rolled back.<br>It took 60 s. 3 of 600 requests failed. "
        "It was back 16.5 s after the decision.",
    }


def test_the_history_is_told_of_this_service_alone(tmp_path):
    path = tmp_path / "shop.prom"
    past = [{**RECORD, "ended": Clock().now() - 60}]
    tell(textfile=str(path), past=[*past, {**past[0], "service": "other"}], window=7)
    found = parse(path.read_text())
    assert found["zero_downtime_history_deployments", (("service", "shop"),)] == 1
    assert found["zero_downtime_history_window_seconds", (("service", "shop"),)] == 7 * 86400


def test_a_history_that_is_none_spoils_nothing_else(server):
    found = tell(past=[{"service": "shop", "ended": 5}], webhooks=[{"url": server.url}])
    assert "The history was not told" in found["warnings"][0] and found["targets"][0]["told"]


class TestTrouble:
    def test_nobody_waits_for_another_and_the_task_goes_on(self, servers, silent, closed, tmp_path):
        good, bad = servers(), servers()
        bad.answers = [(500, b"internal error")]
        options = {
            "textfile": str(tmp_path / "missing" / "shop.prom"),
            "pushgateway": {"url": closed},
            "webhooks": [{"url": f"{silent}/{SECRET}", "timeout": 0.3}, {"url": f"{good.url}/{SECRET}"}],
            "grafana": {"url": bad.url, "token": "glsa_secret"},
        }
        found = tell(**options)
        assert [one["told"] for one in found["targets"]] == [False, False, False, True, False]
        assert found["changed"] and len(good.asked) == 1
        said = found["warnings"]
        assert said[0].endswith("missing is not there; the collector's is its --collector.textfile.directory.")
        assert said[1] == (
            f"pushgateway {closed} was not told: The Pushgateway at {closed}: connection refused. Is it running, and reachable from here?"
        )
        assert said[2].startswith(f"slack {silent} was not told: The webhook at {silent}: no answer within 0.3 s")
        assert said[3] == (
            f"grafana {bad.url} was not told: Grafana at {bad.url} answers HTTP 500, and its body begins 'internal error'."
        )
        with pytest.raises(Unreachable, match="The rollout itself is as it was") as error:
            tell(on_failure="fail", **options)
        assert error.value.facts["targets"][3]["told"] and all(one in error.value.message for one in said[:2])

    @pytest.mark.parametrize("first", [(500, b""), (503, b""), None])
    def test_what_may_pass_is_tried_once_more(self, server, first):
        server.answers = [first, (200, b"")]
        clock = Hurried()
        found = tell(clock=clock, webhooks=[{"url": server.url}])
        assert (found["targets"][0]["told"], found["targets"][0]["tries"], len(server.asked), len(clock.slept)) == (
            True,
            2,
            2,
            1,
        )

    def test_and_not_twice(self, server):
        server.answers = [(500, b"")]
        assert "HTTP 500" in tell(webhooks=[{"url": server.url}])["warnings"][0]
        assert len(server.asked) == 2

    @pytest.mark.parametrize("status", [301, 400, 403, 404, 429])
    def test_what_will_not_pass_is_not_tried_again(self, server, status):
        server.answers = [(status, b"no")]
        assert f"answers HTTP {status}, and its body begins 'no'" in tell(webhooks=[{"url": server.url}])["warnings"][0]
        assert len(server.asked) == 1

    def test_a_name_that_takes_long_to_resolve_holds_nobody_up(self, monkeypatch):
        asked, answered = threading.Event(), threading.Event()

        def resolver(*_about):
            asked.set()
            answered.wait(60)
            return []

        monkeypatch.setattr(socket, "getaddrinfo", resolver)
        monkeypatch.setattr(tell_rollout, "GRACE", 0.05)
        found = tell(webhooks=[{"url": "https://hooks.example/x", "timeout": 0.05}])
        assert asked.wait(
            60
        )  # on a busy machine it is given up before it has begun, and must not begin in the next test
        answered.set()
        assert found["warnings"] == ["slack https://hooks.example was not told: no answer within 0.05 s."]

    @pytest.mark.parametrize(
        "options",
        [
            {"webhooks": [{"url": f"hooks.example/{SECRET}"}]},
            {"webhooks": [{"url": f"ftp://hooks.example/{SECRET}"}]},
            {"webhooks": [{"url": f"https://[bad/{SECRET}"}]},
            {"webhooks": [{"url": f"http://127.0.0.1:99999999/{SECRET}"}]},
            {"webhooks": [{"url": "https://hooks.example/x", "headers": {"X": f"{SECRET}\nY: z"}}]},
            {"webhooks": [{"url": "https://hooks.example/x", "text": "$secret"}]},
            {"webhooks": [{"url": "https://hooks.example/x", "ca_path": "/nowhere"}]},
            {"grafana": {"url": "https://g.example", "token": f"{SECRET}ü"}},
        ],
    )
    def test_options_that_make_no_sense_are_a_warning_too(self, options, monkeypatch):
        asked = []
        monkeypatch.setattr(HttpApi, "ask", lambda *about: asked.append(about))
        found = tell(**options)
        assert asked == []
        assert len(found["warnings"]) == 1 and not found["changed"]
        assert SECRET not in str(found) and "hush" not in str(found) and "foreseen" not in str(found)

    def test_what_was_not_foreseen_is_told_without_its_words(self, monkeypatch):
        def broken(_options):
            raise RuntimeError(SECRET)

        monkeypatch.setattr(tell_rollout, "Webhook", broken)
        found = tell(webhooks=[{"url": "https://hooks.example/x"}])
        assert found["warnings"] == [
            "slack https://hooks.example was not told: this failed in a way that was not foreseen (RuntimeError)."
        ]

    def test_labels_that_cannot_be_any_are_left_out(self, server):
        found = tell(labels={"version": "1", "a-b": "c", "__name__": "d", "site": "b"}, pushgateway={"url": server.url})
        assert "The labels 'version', 'a-b', '__name__' were left out" in found["warnings"][0]
        assert server.asked[0][1].endswith("/service/shop/site/b")


def test_no_secret_is_quoted(servers):
    secrets = [
        "T0SECRET",
        "B0SECRET",
        "hush-hush",
        "pass-word",
        "glsa_secret",
        "query-secret",
        "head-secret",
        "user-secret",
    ]
    echoing = servers()
    echoing.answers = [(403, " ".join(secrets).encode())]
    host = echoing.url[len("http://") :]
    found = tell(
        pushgateway={"url": echoing.url, "username": "deploy", "password": "pass-word"},
        webhooks=[
            {"url": f"{echoing.url}/{SECRET}", "headers": {"X-Key": "head-secret"}},
            {"url": f"http://me:user-secret@{host}/hook?token=query-secret"},
        ],
        grafana={"url": echoing.url, "token": "glsa_secret"},
    )
    # Each knows its own; what another one's server were to know of them cannot be foreseen.
    own = [
        ["pass-word"],
        ["T0SECRET", "B0SECRET", "hush-hush", "head-secret"],
        ["user-secret", "query-secret"],
        ["glsa_secret"],
    ]
    for target, mine in zip(found["targets"], own):
        assert "HTTP 403" in target["problem"] and "@" not in target["where"]
        for secret in mine:
            assert secret not in target["problem"]


def test_check_mode_asks_nobody(server):
    found = tell(
        True, pushgateway={"url": server.url}, webhooks=[{"url": f"{server.url}/{SECRET}"}], grafana={"url": server.url}
    )
    assert server.asked == [] and found["changed"]
    assert [(one["kind"], one["where"], one["told"]) for one in found["targets"]] == [
        ("pushgateway", server.url, False), ("slack", server.url, False), ("grafana", server.url, False),
    ]  # fmt: skip


def test_nobody_to_tell():
    assert tell() == {
        "changed": False,
        "text": "Rollout of shop to 1.4.2: rolled back.\nIt took 60 s. 3 of 600 requests failed. It was back 16.5 s after the decision.",
        "targets": [],
    }


def test_who_does_not_wait_tells_all_the_same(server):
    found = tell(webhooks=[{"url": server.url}], wait=False)
    assert found["changed"] and found["targets"] == []
    deadline = Deadline(Clock(), 20)
    while not server.asked:
        assert not deadline.passed, "nobody was told"
        Clock().sleep(0.01)
