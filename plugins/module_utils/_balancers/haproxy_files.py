# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the configuration of a running HAProxy is: the files that an entry names, or those on its command line in ``/proc``.

A configuration that cannot be read is no error: its facts are unknown.  https://man7.org/linux/man-pages/man5/proc.5.html,
https://docs.haproxy.org/2.8/management.html#3
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import Iterable, Iterator, List, Sequence, Tuple

from .haproxy_config import Source
from .haproxy_processes import find

SLACK = 1.0  # seconds: HAProxy tells its age in whole ones


class Configuration:
    """The configuration of one HAProxy, read when it is first asked for and again when another process answers.

    :param paths: files and directories that its entry names, if any.
    :param here: whether its process is one of this machine.
    """

    def __init__(self, paths: Sequence[str] | None, here: bool) -> None:
        self.paths, self.here = paths or (), here
        self._read: Tuple[int, Source | None] | None = None

    def of(self, number: int, age: float) -> Source | None:
        """What it says; None where that is not known.

        :param number: of the process that answers, as it knows it itself.
        :param age: seconds since its start.
        """
        if self._read is None or self._read[0] != number:
            self._read = number, self._look(number, age)
        return self._read[1]

    def _look(self, number: int, age: float) -> Source | None:
        if self.paths:
            return declared(self.paths)
        pid = find(number, age) if self.here else None
        return None if pid is None else of_process(pid, age)


def declared(paths: Iterable[str]) -> Source | None:
    """The configuration in these files and directories; None where one of them cannot be read."""
    return _read(list(paths), [""], None)


def of_process(pid: int, age: float, proc: str = "/proc") -> Source | None:
    """The configuration that a process of this machine was started with.

    :param age: seconds since its start.
    :param proc: where the system shows its processes.
    :return: None where there is no such process, where a file cannot be read, and where one was changed after the process had read it.
    """
    process = str(pid)
    paths, directory = _files(_arguments(proc, process))
    began = time.time() - age
    roots = list(_roots(proc, process))
    for where in _directories(proc, process, directory, paths):
        found = _read([os.path.join(where, path) for path in paths], roots, began)
        if found and paths:
            return found
    return None


def _arguments(proc: str, process: str) -> List[str]:
    return _text(f"{proc}/{process}/cmdline").split("\0")[1:-1]


def _files(arguments: Sequence[str]) -> Tuple[List[str], str]:
    """The files of a command line, and the directory that it changes to."""
    files, directory, rest = [], "", iter(arguments)
    for argument in rest:
        if argument == "-f":
            files.append(next(rest, ""))
        elif argument == "-C":
            directory = next(rest, "")
        elif argument == "--":
            files.extend(rest)
    return [file for file in files if file], directory


def _directories(proc: str, process: str, directory: str, paths: List[str]) -> Iterator[str]:
    """Where its relative paths begin; nowhere, where that is not known."""
    if os.path.isabs(directory) or all(os.path.isabs(path) for path in paths):
        yield directory or "/"
        return
    for each in _with_parent(proc, process):
        with contextlib.suppress(OSError):
            yield os.path.join(os.readlink(f"{proc}/{each}/cwd"), directory)


def _roots(proc: str, process: str) -> Iterator[str]:
    """Where its root is seen from here, best first: a worker may have changed its own, its master has not."""
    for each in _with_parent(proc, process):
        yield f"{proc}/{each}/root"
    status = _text(f"{proc}/{process}/status")
    numbers = next((line.split()[1:] for line in status.split("\n") if line.startswith("NSpid:")), [])
    if len(numbers) == 1:  # of no container, so that its paths are ours
        yield ""


def _with_parent(proc: str, process: str) -> Iterator[str]:
    yield process
    parent = _text(f"{proc}/{process}/stat").rpartition(")")[2].split()[1:2]
    if parent and _files(_arguments(proc, parent[0]))[0]:
        yield parent[0]


def _read(paths: List[str], roots: Iterable[str], began: float | None) -> Source | None:
    """Read the same files below the first of several roots that has them all.

    :param began: when they were read; a file that was changed since says nothing of what runs.
    """
    for root in roots:
        try:
            files = [file for path in paths for file in _listed(root + path)]
            changed = [max(found.st_mtime, found.st_ctime) for found in map(os.stat, files)]
            texts = [_content(file) for file in files]
        except OSError:
            continue
        if not files or (began is not None and max(changed) > began + SLACK):
            return None
        return Source(texts, ", ".join(paths))
    return None


def _listed(path: str) -> List[str]:
    """The files of a path: of a directory those that end in ``.cfg``, in the order of their names."""
    if not os.path.isdir(path):
        return [path]
    names = sorted(name for name in os.listdir(path) if name.endswith(".cfg") and not name.startswith("."))
    return [os.path.join(path, name) for name in names]


def _content(path: str) -> str:
    # Comments may be in any encoding; HAProxy does not mind.
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        return file.read()


def _text(path: str) -> str:
    try:
        return _content(path)
    except OSError:
        return ""
