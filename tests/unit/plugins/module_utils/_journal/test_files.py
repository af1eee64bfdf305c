# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are always whole: against real processes that are killed, and real locks."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import (
    DeployError,
    TimedOut,
    Unreachable,
)
from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal import files

KIND = "test/thing"
FIELDS = {"number": int}


def thing(number, padding=""):
    return {"kind": KIND, "format": 1, "number": number, "padding": padding}


def read(path):
    return files.read(str(path), KIND, 1, FIELDS)


class FakeClock(Clock):
    """Time that passes only by sleeping."""

    def __init__(self):
        self.time = 0.0

    def monotonic(self):
        return self.time

    def sleep(self, seconds):
        self.time += seconds


def python(code, *arguments):
    """A process of its own that sees the collection."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *[str(argument) for argument in arguments]],
        stdout=subprocess.PIPE, text=True, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )


def test_there_and_back_with_its_mode(tmp_path):
    path = tmp_path / "thing.json"
    old = os.umask(0o077)
    try:
        files.make_directory(str(tmp_path / "a" / "b"))
        files.write(str(path), thing(1))
    finally:
        os.umask(old)
    assert read(path) == thing(1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o750
    assert files.names(str(tmp_path)) == ["a", "thing.json"]


def test_a_missing_file_is_none(tmp_path):
    assert read(tmp_path / "none") is None
    assert files.names(str(tmp_path / "none")) == []
    files.remove(str(tmp_path / "none"))


@pytest.mark.parametrize(
    "content, found",
    [
        (b"", "no valid JSON"),
        (b'{"kind": "test/thi', "no valid JSON"),
        (b"\xff\xfe\x00", "no valid JSON"),
        (b"[" * 100000, "no valid JSON"),
        (b"[1]", "something else"),
        (b'{"kind": "other"}', "something else"),
        (b'{"kind": "test/thing", "format": 2, "number": 1}', "newer version"),
        (b'{"kind": "test/thing", "format": 1}', "'number'"),
        (b'{"kind": "test/thing", "format": 1, "number": "1"}', "'number'"),
        (b'{"kind": "test/thing", "format": 1, "number": true}', "'number'"),
    ],
)
def test_what_is_damaged_or_foreign_is_named(tmp_path, content, found):
    path = tmp_path / "thing.json"
    path.write_bytes(content)
    with pytest.raises(DeployError) as error:
        read(path)
    assert found in error.value.message and str(path) in error.value.message and "mv" in error.value.message


def test_a_failed_write_leaves_the_old_content_and_nothing_else(tmp_path):
    path = tmp_path / "thing.json"
    path.mkdir()
    with pytest.raises(Unreachable, match="as it was"):
        files.write(str(path), thing(1))
    assert files.names(str(tmp_path)) == ["thing.json"]


def test_a_directory_in_the_place_of_a_file_is_named(tmp_path):
    with pytest.raises(Unreachable, match="Cannot read"):
        read(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(Unreachable, match="Cannot make the directory"):
        files.make_directory(str(tmp_path / "file" / "below"))
    with pytest.raises(Unreachable, match="Cannot open"):
        with files.locked(str(tmp_path), Clock(), 1):
            pass


def test_leftovers_are_swept_and_nothing_else(tmp_path):
    for name in (".thing.json.abc123.tmp", "thing.json", ".hidden", "notes.tmp", ".other.tmp"):
        (tmp_path / name).write_text("x")
    files.sweep(str(tmp_path))
    assert files.names(str(tmp_path)) == [".hidden", ".other.tmp", "notes.tmp", "thing.json"]


WRITER = """
import sys
from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal import files
number = int(sys.argv[2])
print("ready", flush=True)
while True:
    number += 1
    files.write(sys.argv[1], {"kind": "test/thing", "format": 1, "number": number, "padding": str(number) * 40000})
    print(number, flush=True)
"""


def test_a_writer_killed_at_any_moment_leaves_the_old_or_the_new(tmp_path):
    path = tmp_path / "thing.json"
    files.write(str(path), thing(0, "0" * 40000))
    for kill in range(12):
        before = read(path)["number"]
        writer = python(WRITER, path, before)
        try:
            # Kills land at another write each time, and anywhere within it.
            for _line in range(1 + kill % 4):
                writer.stdout.readline()
        finally:
            writer.send_signal(signal.SIGKILL)
            rest = writer.communicate()[0].split()
        found = read(path)
        assert found["padding"] == str(found["number"]) * 40000
        if rest:
            # What was reported as written stands; at most one more had begun.
            assert found["number"] - int(rest[-1].replace("ready", str(before))) in (0, 1)
    with files.locked(str(tmp_path / "lock"), Clock(), 1):
        files.sweep(str(tmp_path))
    assert files.names(str(tmp_path)) == ["lock", "thing.json"]


# Dies on its own at the n-th system call that matters: every step of a write, not only the likely ones.
DIES_AT = """
import os, signal, sys
from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal import files
left = int(sys.argv[2])
def dying(real):
    def call(*arguments, **options):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)
    return call
for name in ("fdopen", "fchmod", "fsync", "rename", "open", "close"):
    setattr(os, name, dying(getattr(os, name)))
files.write(sys.argv[1], {"kind": "test/thing", "format": 1, "number": 2, "padding": "2" * 40000})
"""


def test_death_at_each_step_of_a_write(tmp_path):
    path = tmp_path / "thing.json"
    seen = []
    for step in range(1, 20):
        files.write(str(path), thing(1))
        code = python(DIES_AT, path, step)
        code.communicate()
        seen.append((code.returncode, read(path)["number"]))
        files.sweep(str(tmp_path))
        assert files.names(str(tmp_path)) == ["thing.json"]
        if code.returncode == 0:
            break
    assert seen[-1] == (0, 2)
    killed = [number for code, number in seen[:-1]]
    assert killed == sorted(killed) and set(killed) == {1, 2}, "the old one up to the rename, the new one after it"


HOLDER = """
import sys
from ansible_collections.zero_downtime.deploy.plugins.module_utils._clock import Clock
from ansible_collections.zero_downtime.deploy.plugins.module_utils._journal import files
with files.locked(sys.argv[1], Clock(), 5):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_is_waited_for_no_longer_than_told_and_dies_with_its_holder(tmp_path):
    path = str(tmp_path / "lock")
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)),
    )
    try:
        assert holder.stdout.readline() == "held\n"
        for shared in (False, True):
            clock = FakeClock()
            with pytest.raises(TimedOut, match="still locked"):
                with files.locked(path, clock, 3, shared=shared):
                    pytest.fail("two at a time")
            assert 3 <= clock.time < 3.1
    finally:
        holder.kill()
        holder.communicate()
    with files.locked(path, FakeClock(), 0):
        pass


def test_readers_create_nothing_and_stand_side_by_side(tmp_path):
    path = str(tmp_path / "lock")
    with files.locked(path, FakeClock(), 0, shared=True):
        assert not os.path.exists(path)
    with files.locked(path, FakeClock(), 0):
        pass
    with files.locked(path, FakeClock(), 0, shared=True), files.locked(path, FakeClock(), 0, shared=True):
        pass
