# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The file that grows by a line a second."""

from __future__ import annotations

import os
import stat

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import Unreachable
from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.felt import Ended, Second
from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe import record
from ansible_collections.zero_downtime.deploy.plugins.module_utils._probe.record import Writer, read

HEADER = {"began": 1000.5, "urls": ["http://shop/"], "rate": 10.0, "timeout": 5.0}


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "record.jsonl")


@pytest.fixture
def writer(path):
    made = Writer(path, HEADER)
    yield made
    made.close()


def second(at, outcome="ok"):
    one = Second(at)
    one.note(Ended(at + 0.5, outcome, 2.0, "1.4.1", "http://shop/", "because"))
    return one


def test_what_was_written_is_read_while_it_grows(path, writer):
    found = read(path)
    assert (found.began, found.until, found.urls, found.rate, found.timeout) == (
        1000.5,
        1000.5,
        ["http://shop/"],
        10.0,
        5.0,
    )
    assert writer.add(1001.5, [second(1000), second(1001, "reset")])
    found = read(path)
    assert [one.plain() for one in found.seconds] == [second(1000).plain(), second(1001, "reset").plain()]
    assert (found.until, found.ended, found.lost) == (1001.5, None, 0)
    assert writer.add(1002.0, [], "it was told to stop")
    assert (read(path).until, read(path).ended) == (1002.0, "it was told to stop")


def test_it_is_for_its_owner_alone(path, writer):
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_it_is_never_written_over(path, writer):
    with pytest.raises(Unreachable, match="File exists"):
        Writer(path, HEADER)


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_torn_last_line_is_ignored(path, writer, cut):
    writer.add(1001.5, [second(1000)])
    writer.add(1002.5, [second(1001)])
    with open(path, "r+b") as stream:
        stream.truncate(os.path.getsize(path) - cut)
    found = read(path)
    assert ([one.at for one in found.seconds], found.until, found.lost) == ([1000], 1001.5, 0)


def test_a_damaged_line_is_left_out_and_counted(path, writer):
    writer.add(1001.5, [second(1000)])
    with open(path, "ab") as stream:
        stream.write(b'{"until":\n[]\n')
    writer.add(1003.5, [second(1002)])
    found = read(path)
    assert ([one.at for one in found.seconds], found.lost) == ([1000, 1002], 2)


def test_seconds_from_then_on(path, writer):
    writer.add(1003.5, [second(1000), second(1001), second(1002)])
    assert [one.at for one in read(path, 1001.9).seconds] == [1001, 1002]


@pytest.mark.parametrize(
    "text", [b"", b'{"kind":"zero_downt', b"{}\n", b"hello\n", b'{"kind":"zero_downtime.probe","format":2}\n']
)
def test_what_is_no_record_of_ours(path, text):
    with open(path, "wb") as stream:
        stream.write(text)
    assert read(path) is None


def test_a_file_that_may_not_be_read(tmp_path):
    with pytest.raises(Unreachable, match="Is a directory"):
        read(str(tmp_path))


def test_a_full_disk_leaves_no_half_line(path, writer, monkeypatch):
    def half(descriptor, text):
        return real(descriptor, text[: len(text) // 2])

    real = os.write
    writer.add(1001.5, [second(1000)])
    with monkeypatch.context() as patched:
        patched.setattr(record.os, "write", half)
        assert not writer.add(1002.5, [second(1001)])
    assert writer.add(1003.5, [second(1001), second(1002)])
    found = read(path)
    assert ([one.at for one in found.seconds], found.lost) == ([1000, 1001, 1002], 0)
