# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import contextlib
import http.server
import socket
import threading

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput, TimedOut
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.crew import Report
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.expectations import Expectations, Verdict
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.targets import Target
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import check_health


class ClockByHand(Clock):
    """Stands still until it is told to go on."""

    def __init__(self):
        self.time = 1000.0

    def monotonic(self):
        return self.time


class CrewByHand:
    """Attempts whose outcome and duration a script tells; time goes on only while waiting for them.

    :param script: (job, number of the attempt, seconds since the start) to (passes, seconds it takes);
        None: the attempt never ends.
    """

    def __init__(self, clock, script, size=64):
        self.size, self.clock, self.script = size, clock, script
        self.origin = clock.time
        self.running, self.begun, self.most = {}, [], 0

    def start(self, job):
        now = self.clock.time
        number = sum(1 for begun, _at in self.begun if begun == job)
        self.begun.append((job, now - self.origin))
        outcome = self.script(job, number, now - self.origin)
        self.running[job] = (now + outcome[1], outcome[0], outcome[1]) if outcome else (float("inf"), False, 0)
        self.most = max(self.most, len(self.running))

    def collect(self, patience):
        assert patience >= 0
        until = self.clock.time + patience
        ends = min((end for end, _ok, _took in self.running.values()), default=float("inf"))
        # Waiting for nothing at all would go round and round.
        assert patience > 0 or ends <= self.clock.time
        self.clock.time = min(until, max(ends, self.clock.time))
        done = [job for job, (end, _ok, _took) in self.running.items() if end <= self.clock.time]
        reports = []
        for job in done:
            end, passes, took = self.running.pop(job)
            reports.append(Report(job, Verdict(passes, "good" if passes else "bad"), None, took, end))
        return reports

    def times(self, job):
        """When the job's attempts began, in seconds since the start."""
        return [round(at, 6) for begun, at in self.begun if begun == job]


def play(script, count=1, size=64, **options):
    """Watch `count` targets that behave as `script` says; return what was watched, the crew and the time it took."""
    clock = ClockByHand()
    crew = CrewByHand(clock, script, size)
    values = {name: spec["default"] for name, spec in check_health.ARGUMENT_SPEC.items() if "default" in spec}
    pace = check_health.read_pace({**values, **options})
    targets = [Target(f"t{job}", None, Expectations()) for job in range(count)]
    watched = check_health.watch(targets, pace, clock, crew)
    return watched, crew, round(clock.time - crew.origin, 6)


def test_passes_are_an_interval_apart():
    (one,), crew, took = play(lambda *_: (True, 0.01), interval=0.5, passes=3)
    assert (one.proven, one.attempts, took) == (True, 3, 1.03)
    assert crew.times(0) == [0, 0.51, 1.02]


def test_failures_are_followed_up_quickly_at_first():
    (one,), crew, took = play(lambda *_: (False, 0), interval=0.5, deadline=3)
    assert crew.times(0) == [0, 0.05, 0.15, 0.35, 0.75, 1.25, 1.75, 2.25, 2.75]
    assert (one.proven, took) == (False, 3)


def test_a_short_interval_is_no_reason_to_pester_a_failing_target():
    _watched, crew, _took = play(lambda *_: (False, 0), interval=0.02, passes=1, deadline=2)
    assert crew.times(0) == [0, 0.02, 0.06, 0.14, 0.3, 0.62, 1.12, 1.62]


def test_nor_is_a_long_one_cut_short():
    _watched, crew, _took = play(lambda *_: (False, 0), interval=2.0, passes=1, deadline=6)
    assert crew.times(0) == [0, 0.05, 0.15, 0.35, 0.75, 1.55, 3.15, 5.15]


def test_a_flapping_target_begins_anew():
    (one,), crew, _took = play(lambda _job, number, _at: (number != 2, 0), interval=0.5, passes=3)
    assert (one.proven, one.attempts, one.streak.count) == (True, 6, 3)
    assert crew.times(0) == [0, 0.5, 1.0, 1.05, 1.55, 2.05]


def test_a_target_that_flaps_on_is_never_healthy():
    (one,), _crew, _took = play(lambda _job, number, _at: (number % 3 != 2, 0), interval=0.1, deadline=5)
    assert not one.proven


def test_minimum_healthy_time():
    (one,), crew, took = play(lambda *_: (True, 0), interval=0.4, passes=2, min_healthy_time=1)
    assert (one.proven, one.streak.lasted, took) == (True, 1.0, 1.0)
    assert crew.times(0) == [0, 0.4, 0.8, 1.0]


def test_a_failure_resets_the_minimum_healthy_time():
    (one,), _crew, took = play(lambda _job, number, _at: (number != 2, 0), interval=0.4, passes=2, min_healthy_time=1)
    assert (one.proven, took) == (True, 1.85)


def test_a_proven_target_is_left_alone():
    watched, crew, _took = play(lambda job, _number, at: (job == 0 or at > 5, 0), count=2)
    assert [one.proven for one in watched] == [True, True]
    assert [one.attempts for one in watched][0] == 3


def test_a_target_that_hangs_does_not_delay_the_others():
    watched, crew, took = play(lambda job, *_: (False, 2) if job == 0 else (True, 0.01), count=3, interval=0.5, deadline=5)
    assert [one.proven for one in watched] == [False, True, True]
    assert crew.times(1) == crew.times(2) == [0, 0.51, 1.02]
    assert took <= 5 + 2


def test_no_attempt_begins_after_the_deadline_and_the_last_may_end():
    (one,), crew, took = play(lambda *_: (False, 1.9), deadline=5)
    assert max(crew.times(0)) < 5
    assert 5 < took < 5 + 1.9


def test_a_pass_begun_before_the_deadline_counts():
    (one,), _crew, took = play(lambda *_: (True, 1.9), passes=1, deadline=1)
    assert (one.proven, took) == (True, 1.9)


def test_more_targets_than_places():
    watched, crew, _took = play(lambda *_: (True, 0.01), count=1000, size=64)
    assert all(one.proven for one in watched)
    assert crew.most == 64


def test_many_that_hang_leave_places_to_the_others():
    watched, crew, _took = play(lambda job, *_: (False, 2) if job < 200 else (True, 0.01), count=400, size=16)
    assert [one.proven for one in watched] == [False] * 200 + [True] * 200
    assert crew.most == 16


def test_an_attempt_that_never_ends_is_given_up():
    watched, crew, took = play(lambda job, *_: (True, 0.01) if job else None, count=3, size=1, deadline=10)
    assert [one.proven for one in watched] == [False, True, True]
    assert (watched[0].attempts, len(crew.times(0))) == (1, 1)
    assert watched[0].latest.seen.startswith("no answer within 2 s; the attempt itself hangs")
    assert took <= 10 + 2


def test_an_attempt_that_ends_late_is_made_again():
    def script(job, number, _at):
        return (True, 4) if number == 0 else (True, 0)

    (one,), crew, _took = play(script, passes=2)
    assert crew.times(0)[:2] == [0, 4.05]
    # The late pass does not count: two more were needed.
    assert (one.proven, one.attempts) == (True, 3)


def test_an_attempt_that_is_stuck_at_the_deadline():
    (one,), _crew, took = play(lambda *_: None, passes=1, deadline=1)
    assert not one.proven
    assert took == 2.25


@pytest.mark.parametrize(
    "script, options, sentence",
    [
        (lambda *_: (True, 0), {"passes": 3}, "good"),
        (lambda *_: (False, 0), {}, "bad"),
        (lambda _job, _number, at: (at > 4, 0), {}, "good, but only 2 of 3 passes in a row; before that: bad"),
        (lambda *_: (True, 1.9), {"interval": 0.1}, "good"),
        (lambda *_: (True, 1.9), {"passes": 4}, "good, but only 3 of 4 passes in a row"),
        (lambda _job, _number, at: (at > 2, 0), {"min_healthy_time": 3}, "good, but only for 2.5 of 3 s; before that: b"),
        (lambda *_: None, {"deadline": 1.5}, "no answer within 2 s; the attempt itself hangs"),
    ],
)
def test_what_was_last_seen(script, options, sentence):
    values = {"passes": 3, "interval": 0.5, "deadline": 5, "min_healthy_time": 0.0, "timeout": 2.0, **options}
    watched, _crew, took = play(script, **values)
    (target,) = check_health.told(watched, check_health.read_pace(values), took)["targets"]
    assert target["seen"].startswith(sentence)


def test_a_target_that_never_had_its_turn():
    watched, _crew, _took = play(lambda *_: (False, 2), count=9, size=2, deadline=4)
    result = check_health.told(watched, check_health.Pace(3, 0, 0.5, 2, 4), 4.0)
    assert result["targets"][8]["attempts"] == 0
    assert result["targets"][8]["seen"].startswith("never asked: ")


# From here on with real threads, servers and commands.


@pytest.fixture
def port():
    """A web server's port; /500 fails, anything else is good."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = b'{"version": "1.4"}'
            self.send_response(500 if self.path == "/500" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_args):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 512

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def run(targets, check_mode=False, **options):
    options = {"interval": 0.01, "deadline": 30, "timeout": 20, **options}
    validated = ArgumentSpecValidator(check_health.ARGUMENT_SPEC).validate({"targets": targets, **options})
    assert not validated.error_messages
    return check_health.run(validated.validated_parameters, check_mode, Clock())


@pytest.mark.parametrize("check_mode", [False, True])
def test_healthy(port, check_mode):
    result = run(
        [
            {"name": "web", "url": f"http://127.0.0.1:{port}/", "version": "$.version", "expected_version": "1.4"},
            {"name": "port", "tcp": f"127.0.0.1:{port}"},
            {"name": "command", "command": ["true"]},
        ],
        check_mode=check_mode,
    )
    assert (result["changed"], result["healthy"], result["unhealthy"]) == (False, ["web", "port", "command"], [])
    web = result["targets"][0]
    assert web.pop("healthy_for") >= 0.02 and web.pop("seen").startswith("HTTP 200 in ")
    assert web == {"name": "web", "healthy": True, "version": "1.4", "passes": 3, "attempts": 3}
    assert result["elapsed"] >= 0.02


def test_hundreds_at_once(port):
    result = run([{"name": str(number), "url": f"http://127.0.0.1:{port}/"} for number in range(300)])
    assert len(result["healthy"]) == 300


FAILING = [{"name": "good", "command": ["true"]}, {"name": "bad", "command": ["sh", "-c", "echo why; exit 1"]}]


def test_a_failure_tells_what_was_seen():
    with pytest.raises(TimedOut) as error:
        run(FAILING, deadline=0.5)
    message = error.value.message
    assert message.startswith(
        "1 of 2 targets did not prove healthy (3 passes in a row) by the deadline of 0.5 s. "
        "Last seen: bad: exit code 1 in "
    )
    assert "expected 0: it said 'why' (" in message and "good" not in message
    facts = error.value.facts
    assert (facts["healthy"], facts["unhealthy"], facts["changed"]) == (["good"], ["bad"], False)
    assert facts["targets"][1]["healthy"] is False


def test_report_does_not_fail():
    assert run(FAILING, deadline=0.5, on_failure="report")["unhealthy"] == ["bad"]


def test_a_long_message_is_shortened():
    targets = [{"name": f"t{number}", "command": ["false"]} for number in range(15)]
    with pytest.raises(TimedOut) as error:
        run(targets, deadline=0.2)
    assert "; and 5 more, see 'targets' in the result" in error.value.message
    assert "t9: " in error.value.message and "t10: " not in error.value.message


def test_a_hung_server_beside_a_good_one(port):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = run(
            [
                {"name": "hung", "url": f"http://127.0.0.1:{silent.getsockname()[1]}/"},
                {"name": "good", "url": f"http://127.0.0.1:{port}/"},
            ],
            timeout=0.5,
            deadline=1,
            on_failure="report",
        )
    assert (result["healthy"], result["unhealthy"]) == (["good"], ["hung"])
    assert result["targets"][0]["seen"] == "no answer within 0.5 s"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"passes": 0}, "passes: expected at least 1, found 0"),
        ({"interval": 0}, "interval: expected seconds above 0, found 0"),
        ({"timeout": -1}, "timeout: expected seconds above 0, found -1"),
        ({"timeout": "inf"}, "timeout: expected seconds above 0, found inf"),
        ({"deadline": "nan"}, "deadline: expected seconds above 0, found nan"),
        ({"min_healthy_time": -1}, "min_healthy_time: expected seconds, 0 or more, found -1"),
        ({"passes": 5, "interval": 1, "deadline": 4}, "deadline: 4 s cannot hold 5 passes 1 s apart"),
        ({"min_healthy_time": 9, "deadline": 8}, "deadline: 8 s cannot hold"),
        ({"targets": []}, "targets: there must be at least one"),
    ],
)
def test_what_makes_no_sense_is_said_before_anything_is_probed(tmp_path, options, message):
    touched = tmp_path / "touched"
    options = {"targets": [{"name": "a", "command": ["touch", str(touched)]}], **options}
    with pytest.raises(InvalidInput) as error:
        run(**options)
    assert error.value.message.startswith(message) and "nothing was probed" in error.value.message
    assert not touched.exists()


def test_a_bug_in_an_attempt_is_not_hidden(monkeypatch):
    def broken(*_args):
        raise ZeroDivisionError

    monkeypatch.setattr(check_health, "judge", broken)
    with pytest.raises(ZeroDivisionError):
        run([{"name": "a", "command": ["true"]}])
