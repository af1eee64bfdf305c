# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import select
import sys

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.command_probe import CommandProbe
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.observation import KEPT


def run(*words, timeout=30.0):
    return CommandProbe(words)(Clock(), timeout)


def test_output_and_exit_code():
    seen = run("sh", "-c", "echo out; echo err >&2; exit 3")
    assert (seen.failure, seen.rc, seen.text, seen.aside) == (None, 3, "out\n", "err\n")


def test_there_is_no_shell():
    assert run("echo", "$HOME; exit 3").text == "$HOME; exit 3\n"


def test_of_a_large_output_the_beginning_is_kept():
    seen = run(sys.executable, "-c", f"print('x' * {KEPT + 10}, end='')")
    assert (len(seen.text), seen.cut, seen.rc) == (KEPT, True, 0)


def test_output_without_end_is_stopped():
    assert run("yes", timeout=0.2).failure == "the command did not end within 0.2 s"


def test_death_by_a_signal():
    assert run("sh", "-c", "kill -9 $$").rc == -9


@pytest.mark.parametrize("quiet", ["", " >/dev/null 2>&1"])
def test_at_the_timeout_the_whole_process_group_dies(tmp_path, quiet):
    pipe = tmp_path / "alive"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        # Both hold the pipe open for as long as they live.
        seen = run("sh", "-c", f"exec 9>{pipe}; sleep 60{quiet} & sleep 60{quiet}", timeout=1.0)
        ended, _write, _error = select.select([reader], [], [], 30)
        assert ended and os.read(reader, 1) == b"", "nobody may be left to write to the pipe"
    finally:
        os.close(reader)
    assert seen.failure == "the command did not end within 1 s"


def test_what_a_command_leaves_behind_is_not_waited_for(tmp_path):
    pipe = tmp_path / "stop"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    try:
        # The one left behind holds the output open until this test lets it go.
        seen = run("sh", "-c", f"echo out; cat {pipe} & exit 0")
        assert (seen.failure, seen.rc, seen.text) == (None, 0, "out\n")
    finally:
        os.close(writer)


def test_a_command_that_is_not_there(tmp_path):
    assert run("no-such-command-here").failure == "command not found: no-such-command-here"
    (tmp_path / "plain").write_text("text")
    assert run(str(tmp_path / "plain")).failure == f"{tmp_path / 'plain'} cannot be run: Permission denied"
