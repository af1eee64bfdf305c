# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an archive may contain."""

from __future__ import annotations

import errno
import itertools
import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import Refused
from ansible_collections.zero_downtime.deploy.plugins.module_utils._release.entries import (
    DIRECTORY,
    FILE,
    HARDLINK,
    OTHER,
    SYMLINK,
    Entry,
    safe_entries,
)


def link(path, target):
    return Entry(path, SYMLINK, target=target)


def names(entries):
    return [entry.path for entry in entries]


def test_directories_come_first_and_links_last():
    entries = safe_entries([link("l", "a/f"), Entry("h", HARDLINK, target="a/f"), Entry("a/f", FILE)], 0)
    assert names(entries) == ["a", "a/f", "h", "l"]


def test_leading_directories_are_stripped_from_hard_links_too():
    entries = safe_entries(
        [Entry("./top", DIRECTORY), Entry("./top/f", FILE), Entry("top/h", HARDLINK, target="top/f")], 1
    )
    assert [(entry.path, entry.target) for entry in entries] == [("f", ""), ("h", "f")]


def test_of_two_entries_with_one_path_the_later_counts():
    (entry,) = safe_entries([Entry("f", FILE, size=1), Entry("./f", FILE, size=2)], 0)
    assert entry.size == 2


@pytest.mark.parametrize(
    "entries",
    [
        [Entry("/etc/passwd", FILE)],
        [Entry("../f", FILE)],
        [Entry("a/../../f", FILE)],
        [Entry("f", OTHER)],
        [Entry("f\0", FILE)],
        [link("l", "/etc/passwd")],
        [link("l", "..")],
        [link("a/l", "../../x")],
        # Written through a link.
        [link("l", "."), Entry("l/f", FILE)],
        [link("l", "a"), Entry("l/b/f", FILE)],
        [Entry("f", FILE), Entry("f/g", FILE)],
        # Harmless one by one; together they lead out.
        [Entry("d1/d2/x", FILE), link("d1/d2/up", "../.."), link("out", "d1/d2/up/..")],
        [Entry("d/x", FILE), link("s", "d"), link("t", "s/../..")],
        [Entry("h", HARDLINK, target="missing"), Entry("f", FILE)],
        [Entry("h", HARDLINK, target="../../etc/passwd"), Entry("f", FILE)],
        [Entry("h", HARDLINK, target="l"), link("l", "f"), Entry("f", FILE)],
    ],
)
def test_what_could_reach_outside_is_refused(entries):
    with pytest.raises(Refused, match="not safe to unpack"):
        safe_entries(entries, 0)


@pytest.mark.parametrize(
    "entries",
    [
        [link("l", "nowhere")],
        [link("l", "l")],
        [link("a", "b"), link("b", "a")],
        [Entry("a/b/f", FILE), link("a/b/l", "../../a/b/f")],
        [link("current", "v1/bin"), Entry("v1/bin/x", FILE)],
    ],
)
def test_links_that_stay_inside_are_kept(entries):
    assert {entry.path for entry in entries} <= set(names(safe_entries(entries, 0)))


@pytest.mark.parametrize(("entries", "strip"), [([], 0), ([Entry("d", DIRECTORY)], 0), ([Entry("d/f", FILE)], 2)])
def test_an_archive_without_a_file_is_refused(entries, strip):
    with pytest.raises(Refused, match="no file in it"):
        safe_entries(entries, strip)


parts = st.sampled_from(["a", "b", "c", "..", "."])
targets = st.lists(parts, min_size=1, max_size=6).map("/".join)
paths = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map("/".join)


@given(st.dictionaries(paths, targets, min_size=1, max_size=6))
@example({"b": "a/../b/../.."})
def test_no_accepted_link_leads_out_when_the_system_follows_it(tmp_path_factory, links):
    try:
        entries = safe_entries([link(path, target) for path, target in links.items()], 0)
    except Refused:
        return
    root = os.path.realpath(str(tmp_path_factory.mktemp("root")))
    for entry in entries:
        path = os.path.join(root, entry.path)
        os.mkdir(path) if entry.kind == DIRECTORY else os.symlink(entry.target, path)
    # Where a link leads by way of what is not there, the system stops, and would not see that it is a circle.
    for depth in (1, 2, 3):
        for parts_of_path in itertools.product("abc", repeat=depth):
            path = os.path.join(root, *parts_of_path)
            parent = os.path.dirname(path)
            if os.path.isdir(parent) and os.path.realpath(parent) == parent and not os.path.lexists(path):
                os.mkdir(path)
    for path in links:
        try:
            os.stat(os.path.join(root, path))
        except OSError as error:
            if error.errno == errno.ELOOP:
                continue  # the system follows a circle nowhere, and realpath makes something up for it
        found = os.path.realpath(os.path.join(root, path))
        assert found == root or found.startswith(root + "/")
