# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Gates are looked at and waited for: a clock of our own, and real servers."""

from __future__ import annotations

import contextlib
import http.server
import socket
import threading

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, Refused
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import pass_gates

FRIDAY = 1795255200.0 - 86400 + 6 * 3600  # 2026-11-20 16:00 UTC
NOON_TO_FIVE = {"days": ["fri"], "from": "12:00", "to": "17:00"}


class ClockByHand(Clock):
    """Goes on when somebody sleeps, and at no other time; waits for sockets are the machine's own."""

    def __init__(self):
        self.time, self.slept = FRIDAY, []

    def now(self):
        return self.time

    def monotonic(self):
        return self.time

    def sleep(self, seconds):
        assert seconds > 0
        self.slept.append(seconds)
        self.time += seconds


@pytest.fixture
def clock():
    return ClockByHand()


@pytest.fixture
def server():
    """Answers with `server.answers` in turn, the last of them for ever; `server.asked` are the requests' headers."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            answers = self.server.answers
            status, body = answers.pop(0) if len(answers) > 1 else answers[0]
            self.server.asked.append(dict(self.headers))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.answers, server.asked = [(200, b"")], []
        server.url = f"http://127.0.0.1:{server.server_address[1]}/"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def look(clock, *gates, check_mode=False, **options):
    result = ArgumentSpecValidator(pass_gates.ARGUMENT_SPEC).validate({"gates": list(gates), "on_failure": "report", **options})
    assert not result.error_messages, result.error_messages
    return pass_gates.run(result.validated_parameters, check_mode, clock)


def test_no_gates_are_open(clock):
    assert look(clock) == {"changed": False, "state": "open", "why": "", "opens": None, "gates": [], "waited": 0.0}


def test_a_freeze_is_closed_and_says_until_when(clock):
    found = look(clock, {"freeze": NOON_TO_FIVE})
    assert (found["state"], found["why"]) == ("closed", "frozen until Fri 2026-11-20 17:00 (UTC)")
    assert found["opens"] == "2026-11-20T17:00:00Z" and clock.slept == []
    with pytest.raises(Refused) as refusal:
        look(clock, {"freeze": NOON_TO_FIVE}, on_failure="fail")
    assert refusal.value.message == (
        "The way is not open: frozen until Fri 2026-11-20 17:00 (UTC). Nothing was changed. Run this again then, at 2026-11-20T17:00:00Z."
    )
    assert refusal.value.facts["state"] == "closed"


def test_a_freeze_is_waited_for_as_long_as_it_ends_in_time(clock):
    assert look(clock, {"freeze": NOON_TO_FIVE, "wait": 3600})["state"] == "open"
    assert clock.slept == [3600] and look(clock, {"freeze": NOON_TO_FIVE})["state"] == "open"


def test_a_freeze_that_ends_too_late_is_not_waited_for(clock):
    found = look(clock, {"freeze": NOON_TO_FIVE, "wait": 3599})
    assert found["why"] == "frozen until Fri 2026-11-20 17:00 (UTC), later than the 3599 s that it may be waited for"
    assert found["state"] == "closed" and clock.slept == []


def test_in_check_mode_nothing_is_waited_for(clock, server):
    server.answers = [(503, b""), (200, b"")]
    assert look(clock, {"freeze": NOON_TO_FIVE, "wait": 3600}, check_mode=True)["state"] == "closed"
    assert look(clock, {"url": server.url, "wait": 60}, check_mode=True)["state"] == "closed"
    assert clock.slept == []


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_a_url_that_answers_2xx_is_open(clock, server, status):
    server.answers = [(status, b"")]
    assert look(clock, {"url": server.url})["state"] == "open"


@pytest.mark.parametrize("status", [301, 400, 403, 404, 500, 503])
def test_any_other_answer_is_closed(clock, server, status):
    server.answers = [(status, b"there is an incident")]
    found = look(clock, {"url": server.url})
    assert found["state"] == "closed"
    assert found["why"] == f"{server.url} does not answer 2xx: HTTP {status}, and its body begins 'there is an incident'"


def test_no_answer_is_closed(clock):
    with contextlib.closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        found = look(clock, {"url": f"http://127.0.0.1:{nobody.getsockname()[1]}/"})
        assert found["state"] == "closed" and "does not answer 2xx: " in found["why"]
        nobody.listen()
        # It takes the connection and says nothing.
        hanging = pass_gates.ARGUMENT_SPEC["gates"]["options"]["timeout"]["default"]
        assert hanging == 5.0
        result = ArgumentSpecValidator(pass_gates.ARGUMENT_SPEC).validate(
            {"gates": [{"url": f"http://127.0.0.1:{nobody.getsockname()[1]}/", "timeout": 0.05}], "on_failure": "report"}
        )
        found = pass_gates.run(result.validated_parameters, False, Clock())
        assert found["state"] == "closed" and "within 0.05 s" in found["why"]


def test_a_url_is_asked_until_it_opens(clock, server):
    server.answers = [(503, b""), (503, b""), (200, b"")]
    assert look(clock, {"url": server.url, "wait": 60, "interval": 7})["state"] == "open"
    assert clock.slept == [7, 7] and len(server.asked) == 3


def test_a_url_is_asked_no_longer_than_it_may_be(clock, server):
    server.answers = [(503, b"")]
    found = look(clock, {"url": server.url, "wait": 15, "interval": 7})
    assert found["state"] == "closed" and "does not answer 2xx within 15 s: HTTP 503" in found["why"]
    # At once, after each interval, and at the end.
    assert clock.slept == [7, 7, 1] and len(server.asked) == 4


def test_no_secret_is_quoted(clock, server):
    server.answers = [(403, b"no such token: top-secret")]
    url = server.url.replace("http://", "http://me:pass-word@") + "?key=also-secret"
    found = look(clock, {"url": url, "headers": {"Authorization": "Bearer top-secret"}})
    assert server.asked[0]["Authorization"] == "Bearer top-secret"
    for secret in ("top-secret", "also-secret", "pass-word"):
        assert secret not in str(found)


def test_an_approval_waits_for_a_person(clock):
    gate = {"before": "batch", "approval": "somebody has looked."}
    found = look(clock, gate, point="batch", number=2)
    assert (found["state"], found["why"]) == ("waiting", "waiting for approval: somebody has looked")
    given = {"point": "batch", "number": 2}
    assert look(clock, gate, point="batch", number=2, approvals=[given])["state"] == "open"
    assert look(clock, gate, point="batch", number=3, approvals=[given])["state"] == "waiting"
    with pytest.raises(Refused, match="with the playbook promote"):
        look(clock, gate, point="batch", number=3, on_failure="fail")


def test_nobody_is_asked_in_vain(clock, server):
    gates = [{"url": server.url}, {"approval": "x"}, {"freeze": NOON_TO_FIVE}]
    assert [one["gate"] for one in look(clock, *gates)["gates"]] == ["freeze"]
    assert [one["gate"] for one in look(clock, *gates[:2])["gates"]] == ["approval"]
    assert server.asked == []


def test_a_running_rollout_and_a_freeze(clock):
    gate = {"before": "rollout", "freeze": NOON_TO_FIVE, "wait": 3600}
    assert look(clock, gate, point="batch", number=1, frozen="finish")["state"] == "open"
    assert look(clock, gate, point="batch", number=1, frozen="halt")["state"] == "closed"
    assert clock.slept == []
    assert look(clock, gate, point="batch", number=1, frozen="wait")["state"] == "open"
    assert clock.slept == [3600]


@pytest.mark.parametrize(
    ("gate", "words"),
    [
        ({"before": "batch"}, "Gate 1 (before batch): it is exactly one of `freeze`, `approval` and `url`, and has none. No gate was"),
        ({"freeze": {"from": "x"}}, "`from` is 'x'"),
        ({"url": "ftp://x"}, "it must begin with http:// or https://"),
        ({"url": "https://x", "ca_path": "/nowhere"}, "/nowhere"),
    ],
)
def test_a_gate_that_makes_no_sense_is_refused(clock, gate, words):
    with pytest.raises(InvalidInput) as error:
        look(clock, gate)
    assert words in error.value.message


def test_the_problems_of_a_rollout_s_gates():
    assert pass_gates.problems([], "finish", "900") == []
    assert pass_gates.problems("x", "finish", 900) == ["The gates are to be a list of dictionaries."]
    said = pass_gates.problems(["x", {"before": "bach", "approval": "x"}, {"before": "batch"}], "stop", 900)
    assert said[0] == "rollout_frozen is stop; it is one of finish, halt, wait."
    assert said[1] == "Gate 1 is no dictionary."
    assert said[2].startswith("Gate 2 (before bach): value of before must be one of: rollout, batch")
    assert "exactly one of" in said[3] and said[3].startswith("Gate 3 (before batch)")
    assert "http:// or https://" in pass_gates.problems([{"before": "batch", "url": "x"}], "halt", 900)[0]
