# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The load counts what happened, one by one, against a server that misbehaves by plan."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from load.cli import main
from misbehaving import MisbehavingServer

SUPPORT = Path(__file__).resolve().parents[1]
WHY = {
    "truncated_body": "truncated", "truncated_head": "truncated", "closes": "closed", "resets": "closed",
    "error_500": "status", "wrong_digest": "wrong_digest", "no_length": "bad_answer", "garbage": "bad_answer",
    "hangs": "timeout",
}


@contextmanager
def serving(plan: Callable[[int], str]) -> Iterator[MisbehavingServer]:
    server = MisbehavingServer(plan)
    try:
        yield server
    finally:
        server.close()


def load(tmp_path: Path, *words: str) -> tuple[int, dict, list[dict]]:
    """Run the load to its end: exit code, summary, samples."""
    summary, samples = tmp_path / "summary.json", tmp_path / "samples.jsonl"
    code = main(["run", "--rate", "2000", "--slow-seconds", "0", "--summary", str(summary), "--samples", str(samples),
                 *words])
    lines = samples.read_text(encoding="utf-8").splitlines()
    return code, json.loads(summary.read_text(encoding="utf-8")), [json.loads(line) for line in lines]


@pytest.mark.parametrize("kind", ["keepalive", "connect", "post", "slow", "sticky"])
def test_all_good(tmp_path: Path, kind: str) -> None:
    with serving(lambda _number: "good") as server:
        code, summary, samples = load(tmp_path, "--url", server.url, "--requests", "30", "--clients", f"{kind}=3")
    assert (code, summary["requests"], summary["ok"], summary["failed"]) == (0, 30, 30, 0)
    assert server.done == {"good": 30}
    assert {sample["kind"] for sample in samples} == {kind}
    assert summary["by_version"] == {"1": {"requests": 30, "failed": 0}}


@pytest.mark.parametrize("kind", ["keepalive", "connect", "post", "sticky"])
@pytest.mark.parametrize("deed", [deed for deed in WHY if deed != "hangs"])
def test_every_misdeed_is_counted_exactly_and_not_tried_again(tmp_path: Path, kind: str, deed: str) -> None:
    with serving(lambda number: deed if number % 3 == 2 else "good") as server:
        code, summary, samples = load(tmp_path, "--url", server.url, "--requests", "60", "--clients", f"{kind}=4")
    assert server.done == {"good": 40, deed: 20}
    assert (code, summary["requests"], summary["ok"], summary["failed"]) == (1, 60, 40, 20)
    assert summary["why"] == {WHY[deed]: 20}
    assert len(samples) == 60
    assert [s["why"] for s in samples if s["outcome"] == "failed"] == [WHY[deed]] * 20
    assert len(summary["failures"]) == 20


def test_a_server_that_hangs_is_a_timeout(tmp_path: Path) -> None:
    with serving(lambda number: "hangs" if number % 5 == 4 else "good") as server:
        _code, summary, samples = load(
            tmp_path, "--url", server.url, "--requests", "20", "--clients", "keepalive=2,connect=2", "--timeout", "0.5")
    assert summary["why"] == {"timeout": 4}
    assert all(s["end"] - s["start"] >= 0.5 for s in samples if s["outcome"] == "failed")


def test_all_kinds_and_all_misdeeds_together(tmp_path: Path) -> None:
    deeds = ["good", "good", *[deed for deed in WHY if deed != "hangs"]]
    with serving(lambda number: deeds[number % len(deeds)]) as server:
        _code, summary, _samples = load(tmp_path, "--url", server.url, "--requests", "200")
    expected: dict[str, int] = {}
    for deed, number in server.done.items():
        if deed != "good":
            expected[WHY[deed]] = expected.get(WHY[deed], 0) + number
    assert summary["why"] == expected
    assert summary["requests"] == 200 == sum(server.done.values())
    assert sum(kind["failed"] for kind in summary["by_kind"].values()) == summary["failed"]


def test_nobody_listening_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    code, summary, samples = load(
        tmp_path, "--url", f"http://127.0.0.1:{port}", "--requests", "10", "--clients", "connect=2")
    assert (code, summary["why"], len(samples)) == (1, {"refused": 10}, 10)


def test_the_stop_file_waits_for_the_least_number(tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    stop.touch()
    with serving(lambda _number: "good") as server:
        _code, summary, _samples = load(tmp_path, "--url", server.url, "--requests", "100000", "--stop-file", str(stop),
                                        "--at-least", "50")
    assert summary["stopped_by"] == "stop file"
    assert 50 <= summary["requests"] < 100000
    assert summary["failed"] == 0


def test_the_time_is_a_bound(tmp_path: Path) -> None:
    with serving(lambda _number: "good") as server:
        _code, summary, _samples = load(tmp_path, "--url", server.url, "--requests", "100000", "--seconds", "0.3")
    assert (summary["stopped_by"], summary["failed"]) == ("seconds", 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_under_way_finish(tmp_path: Path, number: int) -> None:
    samples, summary = tmp_path / "samples.jsonl", tmp_path / "summary.json"
    with serving(lambda _number: "good") as server:
        command = [sys.executable, str(SUPPORT / "load"), "run", "--url", server.url, "--requests", "100000",
                   "--samples", str(samples), "--summary", str(summary)]
        with subprocess.Popen(command, cwd=tmp_path) as process:
            while not server.done["good"] > 20:
                assert process.poll() is None
                os.sched_yield()
            process.send_signal(number)
            assert process.wait(20) == 0
    told = json.loads(summary.read_text(encoding="utf-8"))
    assert told["stopped_by"] == "signal"
    # Every request that reached the server was counted, the last ones too.
    assert told["requests"] == told["ok"] == server.done["good"]


@pytest.mark.parametrize("words", [
    ["run", "--url", "ftp://x"], ["run", "--url", "http://x", "--clients", "spider=2"],
    ["run", "--url", "http://x", "--rate", "0"], ["run", "--url", "http://x", "--at-least", "30000"], ["run"],
])
def test_wrong_words_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "error:" in capsys.readouterr().err
