# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the configuration of a running HAProxy is found, in a ``/proc`` that is made for it."""

from __future__ import annotations

import os
import time

import pytest

from ansible_collections.zero_downtime.deploy.plugins.module_utils._balancers import haproxy_files as files

TEXT = "backend {}\n  server m1 192.0.2.1:80 check\n"


@pytest.fixture
def machine(tmp_path):
    """A machine's root and its ``/proc``; `run` adds a process."""

    class Machine:
        root, proc = tmp_path / "root", tmp_path / "proc"

        def write(self, path, pool="app", root=None):
            file = (root or self.root) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(TEXT.format(pool), encoding="utf-8")
            return file

        def run(self, pid, *arguments, inner=(), parent=1, root=None, cwd="/"):
            directory = self.proc / str(pid)
            directory.mkdir(parents=True)
            numbers = "\t".join(map(str, (pid, *inner)))
            (directory / "status").write_text(f"Name:\thaproxy\nNSpid:\t{numbers}\n")
            (directory / "stat").write_text(f"{pid} (a) b) S {parent} 1")
            (directory / "cmdline").write_bytes(b"\0".join(a.encode() for a in ("haproxy", *arguments)) + b"\0")
            (directory / "root").symlink_to(root or self.root)
            (directory / "cwd").symlink_to(cwd)

        def pools(self, pid, age=0.0):
            found = files.of_process(pid, age, str(self.proc))
            return found and (sorted(found.config.pools), found.where)

    return Machine()


def test_a_file_of_the_command_line(machine):
    machine.write("etc/haproxy.cfg")
    machine.run(7, "-W", "-db", "-f", "/etc/haproxy.cfg")
    assert machine.pools(7) == (["app"], "/etc/haproxy.cfg")


def test_several_files_and_a_directory_in_the_order_of_their_names(machine):
    machine.write("etc/one.cfg", "one")
    machine.write("etc/d/20.cfg", "two")
    machine.write("etc/d/.hidden.cfg", "hidden")
    machine.write("etc/d/10.conf", "other")
    machine.write("etc/last", "three")
    machine.run(7, "-f", "/etc/one.cfg", "-f", "/etc/d", "-sf", "12", "--", "/etc/last")
    assert machine.pools(7)[0] == ["one", "three", "two"]


def test_a_relative_path_begins_where_the_process_was_started(machine):
    machine.write("srv/lb/haproxy.cfg")
    machine.run(7, "-f", "haproxy.cfg", cwd="/srv/lb")
    machine.run(8, "-f", "haproxy.cfg", "-C", "/srv/lb")
    assert machine.pools(7)[0] == machine.pools(8)[0] == ["app"]


def test_a_container_has_its_own_root(machine, tmp_path):
    machine.write("haproxy.cfg", "mine", tmp_path / "container")
    machine.run(4711, "-f", "/haproxy.cfg", inner=(8,), root=tmp_path / "container")
    assert machine.pools(4711)[0] == ["mine"]


def test_a_worker_that_has_changed_its_root_by_its_master(machine, tmp_path):
    machine.write("etc/haproxy.cfg")
    (tmp_path / "jail").mkdir()
    machine.run(6, "-W", "-f", "/etc/haproxy.cfg")
    machine.run(7, "-W", "-f", "/etc/haproxy.cfg", parent=6, root=tmp_path / "jail")
    assert machine.pools(7)[0] == ["app"]


def test_what_is_not_known_is_no_error(machine, tmp_path):
    assert machine.pools(7) is None  # no such process, and no /proc
    machine.run(7, "-f", "/etc/haproxy.cfg")
    assert machine.pools(7) is None  # no such file
    machine.run(8, "-v")
    assert machine.pools(8) is None  # no file was named
    assert files.declared([str(tmp_path / "nothing")]) is None


def test_a_file_that_was_changed_since_says_nothing_of_what_runs(machine):
    file = machine.write("etc/haproxy.cfg")
    machine.run(7, "-f", "/etc/haproxy.cfg")
    assert machine.pools(7, age=60) is None
    os.utime(file, (time.time() - 3600,) * 2)  # copied with its times: the inode tells
    assert machine.pools(7, age=60) is None
    assert machine.pools(7)


def test_files_that_the_entry_names(machine):
    machine.write("etc/d/10.cfg", "one")
    machine.write("etc/two.cfg", "two")
    found = files.declared([str(machine.root / "etc/d"), str(machine.root / "etc/two.cfg")])
    assert sorted(found.config.pools) == ["one", "two"]


def test_a_file_in_any_encoding(machine):
    machine.write("etc/haproxy.cfg").write_bytes(b"# Stra\xdfe\n" + TEXT.format("app").encode())
    machine.run(7, "-f", "/etc/haproxy.cfg")
    assert machine.pools(7)[0] == ["app"]


def test_it_is_read_again_when_another_process_answers(machine, monkeypatch):
    asked = []
    monkeypatch.setattr(files, "find", lambda number, _age: asked.append(number))
    configuration = files.Configuration(None, True)
    for number in (7, 7, 8):
        configuration.of(number, 1.0)
    files.Configuration(None, False).of(9, 1.0)
    assert asked == [7, 8]
