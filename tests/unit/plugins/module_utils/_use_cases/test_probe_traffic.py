# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real probers, left behind by this process, against a real server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.zero_downtime.deploy.plugins.module_utils import _processes
from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import InvalidInput
from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe import mandate
from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe.folder import KEPT, Folder
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases import probe_traffic

BODY = b'{"version": "1.4.1"}'


class Server:
    """Answers everybody with version 1.4.1, and counts them."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port, self.served, self.answer = self.listener.getsockname()[1], 0, b"200 OK"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self):
        # The thread ends before its socket's number is given out anew; else it accepts connections of another test's server.
        self.listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self.listener.close()

    def _serve(self):
        while True:
            try:
                connection, _address = self.listener.accept()
            except OSError:
                return
            with connection:
                head = connection.recv(65536)
                if head:
                    self.served += 1
                    connection.sendall(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (self.answer, len(BODY), BODY))

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"


def until(look, seconds=20):
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, "not in time"
        time.sleep(0.01)


class Probe:
    """The use case, for one directory and one name."""

    def __init__(self, path, server):
        self.path, self.server = path, server
        self.folder = Folder(str(path), "shop", Clock())

    def run(self, state, check=False, **options):
        if state == "started":
            options = {"urls": [self.server.url], "rate": 100.0, "lifetime": 60.0, **options}
        options = {"name": "shop", "path": str(self.path), "state": state, **options}
        checked = ArgumentSpecValidator(probe_traffic.ARGUMENT_SPEC, **probe_traffic.CONSTRAINTS).validate(options)
        assert not checked.error_messages, checked.error_messages
        return probe_traffic.run(checked.validated_parameters, check, Clock())

    def ended(self):
        """Why, once it has."""
        until(lambda: not self.folder.runs())
        return self.run("read")["ended"]

    def pid(self):
        """The prober's process: whoever has its file open."""
        wanted = str(Path(self.folder.path) / "prober")
        for link in Path("/proc").glob("[0-9]*/fd/*"):
            # Its connections come and go while this looks.
            with contextlib.suppress(OSError):
                if os.readlink(link) == wanted and int(link.parts[2]) != os.getpid():
                    return int(link.parts[2])
        return None


@pytest.fixture
def probe(tmp_path):
    made = Probe(tmp_path / "state", Server())
    yield made
    if made.folder.runs():
        made.run("stopped")
    made.server.close()


def test_it_runs_until_it_is_stopped_and_tells_what_was_felt(probe):
    began = probe.run("started", version="$.version")
    assert (began["changed"], began["running"], began["felt"], began["warnings"]) == (True, True, None, [])
    until(lambda: (probe.run("read")["felt"] or {"requests": 0})["requests"] >= 50)
    read = probe.run("read")
    assert (read["changed"], read["running"], read["ended"]) == (False, True, None)
    stopped = probe.run("stopped")
    assert (stopped["changed"], stopped["running"], stopped["ended"]) == (True, False, mandate.STOPPED)
    assert stopped["path"] == began["path"] == read["path"]
    felt = stopped["felt"]
    # One more is the first look.
    assert felt["requests"] == felt["outcomes"]["ok"] == felt["versions"]["1.4.1"] == probe.server.served - 1
    assert (felt["failed"], felt["late"], felt["rate"], felt["urls"]) == (0, 0, 100.0, [probe.server.url])
    again = probe.run("stopped")
    assert again["changed"] is False and again["felt"] == felt


def test_it_goes_on_where_it_runs_already(probe):
    first = probe.run("started")
    assert first["changed"]
    again = probe.run("started")
    assert (again["changed"], again["warnings"], again["path"]) == (False, [], first["path"])
    other = probe.run("started", rate=5.0, urls=["http://127.0.0.1:1/"])
    assert not other["changed"] and "with other urls and rate" in other["warnings"][0]
    assert len(probe.folder.records()) == 1


def test_many_who_start_it_at_once_start_one(probe):
    go, results = threading.Event(), []

    def start():
        go.wait()
        results.append(probe.run("started")["changed"])

    threads = [threading.Thread(target=start) for _each in range(5)]
    for thread in threads:
        thread.start()
    go.set()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 4 + [True] and len(probe.folder.records()) == 1


def test_it_can_be_started_again_and_what_came_before_is_told_from_then_on(probe):
    probe.run("started")
    until(lambda: probe.run("read")["felt"]["requests"])
    first = probe.run("stopped")["felt"]
    probe.run("started")
    second = probe.run("stopped")["felt"]
    assert second["began"] > first["ended"]
    both = probe.run("read", since=first["began"])["felt"]
    assert both["requests"] == first["requests"] + second["requests"]
    assert (both["began"], both["ended"]) == (first["began"], second["ended"])
    nothing = probe.run("read", since=second["ended"] + 10)["felt"]
    assert (nothing["requests"], nothing["began"]) == (0, round(second["ended"] + 10, 3))


def test_check_mode_tells_and_touches_nothing(probe):
    assert probe.run("started", check=True)["changed"] is True
    assert not probe.path.exists() and probe.server.served == 0
    assert probe.run("stopped", check=True)["changed"] is False
    assert not probe.path.exists()
    probe.run("started")
    assert probe.run("started", check=True)["changed"] is False
    assert probe.run("stopped", check=True)["changed"] is True
    assert probe.folder.runs()


def test_without_any_probe_nothing_is_told(probe):
    expected = {"changed": False, "running": False, "path": None, "felt": None, "ended": None}
    assert probe.run("read") == expected == probe.run("stopped")
    assert not probe.path.exists()


def sleeper():
    return subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)


def test_it_ends_with_its_owner_whoever_that_is_by_now(probe):
    first, second = sleeper(), sleeper()
    try:
        for owner in (first, second):
            probe.run("started", owner_pid=owner.pid, owner_started=_processes.look(owner.pid)[1])
        first.kill()
        first.wait()
        served = probe.server.served
        until(lambda: probe.server.served > served + 60)  # at 100 a second it has looked since
        assert probe.folder.runs()
        second.kill()  # and is not waited for: a zombie is gone, too
        assert probe.ended() == mandate.OWNER_GONE
        assert probe.run("started")["changed"]
    finally:
        for owner in (first, second):
            owner.kill()
            owner.stdin.close()
            owner.wait()


def test_a_process_id_that_was_used_again_is_no_owner(probe):
    probe.run("started", owner_pid=os.getpid(), owner_started=1)
    assert probe.ended() == mandate.OWNER_GONE


def test_it_ends_after_its_lifetime(probe):
    probe.run("started", lifetime=0.5)
    assert probe.ended() == "its lifetime of 0.5 s was over"
    assert probe.run("stopped")["changed"] is False


def test_it_ends_when_its_files_are_taken_away(probe):
    probe.run("started")
    pid = probe.pid()
    os.rename(probe.path, probe.path.with_name("moved"))
    until(lambda: not _processes.look(pid)[0])


def test_a_signal_ends_it_in_good_order(probe):
    probe.run("started")
    until(lambda: probe.run("read")["felt"]["requests"])
    os.kill(probe.pid(), signal.SIGTERM)
    assert probe.ended() == "it was sent signal 15"


def test_a_killed_one_leaves_its_record_and_makes_room(probe):
    probe.run("started")
    until(lambda: (probe.run("read")["felt"])["requests"] >= 50)
    os.kill(probe.pid(), signal.SIGKILL)
    assert probe.ended() == mandate.KILLED
    assert probe.run("read")["felt"]["requests"] >= 50
    assert probe.run("started")["changed"]


def test_requests_under_way_are_waited_for_when_it_is_stopped(probe):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = "http://127.0.0.1:%d/" % silent.getsockname()[1]
        probe.run("started", urls=[url], rate=10.0, timeout=0.5)
        stopped = probe.run("stopped")["felt"]
    assert set(stopped["outcomes"]) == {"timeout"} and stopped["failed"] == stopped["requests"] > 3


@pytest.mark.parametrize(
    ("answer", "options", "said"),
    [
        (b"503 No", {}, "HTTP 503"),
        (b"200 OK", {"version": "$.build"}, "it answers, but tells no version"),
        (b"200 OK", {"urls": ["http://127.0.0.1:1/"]}, "connection refused"),
        (b"200 OK", {"urls": ["http://me:pw@nothing.invalid/?key=pw"]}, "to http://nothing.invalid/: the name"),
    ],
)
def test_what_is_wrong_at_once_is_a_warning_and_no_failure(probe, answer, options, said):
    probe.server.answer = answer
    began = probe.run("started", **options)
    assert began["changed"] and began["running"]
    (warning,) = began["warnings"]
    assert said in warning and "pw" not in warning


def test_no_secret_is_written_and_nobody_else_may_read(probe):
    probe.server.answer = b"503 top-secret"
    url = probe.server.url.replace("127", "me:top-secret@127") + "?key=top-secret"
    probe.run("started", urls=[url], headers={"Authorization": "Bearer top-secret"})
    until(lambda: probe.run("read")["felt"]["failed"])
    stopped = probe.run("stopped")
    for path in Path(probe.folder.path).iterdir():
        assert b"top-secret" not in path.read_bytes()
    assert "top-secret" not in json.dumps(stopped) and stopped["felt"]["urls"] == [probe.server.url]
    assert stat.S_IMODE(os.stat(stopped["path"]).st_mode) == 0o600


def test_a_damaged_line_is_a_warning(probe):
    path = probe.run("started")["path"]
    probe.run("stopped")
    with open(path, "ab") as stream:
        stream.write(b"}\n")
    (warning,) = probe.run("read")["warnings"]
    assert "1 seconds" in warning and path in warning


def test_old_records_are_removed(probe):
    probe.folder.make()
    for number in range(KEPT + 5):
        Path(probe.folder.new_record(1_000_000_000.0 + number)).touch()
    (Path(probe.folder.path) / "mine.jsonl").touch()
    path = probe.run("started")["path"]
    records = probe.folder.records()
    assert len(records) == KEPT and records[-1] == path and "1000000006.000" in records[0]
    assert (Path(probe.folder.path) / "mine.jsonl").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rate": 0.0}, "rate: expected requests a second"),
        ({"rate": 201.0}, "at most 200, found 201"),
        ({"rate": float("nan")}, "rate"),
        ({"timeout": 0.0}, "timeout: expected seconds above 0"),
        ({"lifetime": float("inf")}, "lifetime"),
        ({"urls": []}, "there must be at least one"),
        ({"urls": ["ftp://shop/"]}, "'urls[0]', option 'url'"),
        ({"version": "$.v", "version_header": "X-V"}, "at most one of"),
        ({"headers": {"X": "a\nb"}}, "line break"),
        ({"urls": ["https://shop/"], "ca_path": "/nonexistent"}, "no certificate"),
        ({"name": "../shop"}, "cannot be the name"),
        ({"path": "here"}, "must be absolute"),
    ],
)
def test_what_makes_no_sense_is_refused_and_touches_nothing(probe, options, said):
    with pytest.raises(InvalidInput) as refused:
        probe.run("started", **options)
    assert said in str(refused.value) and not probe.path.exists()
