# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What an archive may contain, decided from its table of contents alone.  Pure.

Everything is checked before the first byte is written.  Links are resolved here, by hand and over all links of
the archive at once: asking the operating system would mean creating them first.
"""

from __future__ import annotations

from typing import Any, Iterable, NamedTuple

from .._domain.errors import Refused

FILE, DIRECTORY, SYMLINK, HARDLINK, OTHER = "file", "directory", "symlink", "hardlink", "other"
# The kernel gives up after 40 links in a row as well, so that a longer chain leads nowhere.
_MOST_LINKS = 40


class Entry(NamedTuple):
    """One thing in an archive."""

    path: str
    kind: str
    mode: int = 0o644
    # Where a link points: as written for a symbolic one, an archive path for a hard one.
    target: str = ""
    # Seconds since the epoch; 0: unknown.
    mtime: float = 0
    size: int = 0
    # What the reader needs to find the content again.
    handle: Any = None


def safe_entries(entries: Iterable[Entry], strip: int) -> list[Entry]:
    """Return what is to be written, in an order in which it can be: directories, files, hard links, symbolic links.

    Directories that the archive only implies are among them.

    :param entries: as the archive lists them; of two with one path the later counts, as with tar.
    :param strip: leading path components to drop; entries that have no more than those are left out.
    :raises Refused: for an entry that could write or point outside, that is no file, directory or link, or that
        contradicts another; and when nothing is left.
    """
    kept: dict[str, Entry] = {}
    for entry in entries:
        parts = _parts(entry.path, entry.path)[strip:]
        if not parts:
            continue
        if entry.kind == OTHER:
            raise _unsafe(entry.path, "is a device, a pipe or a socket")
        target = entry.target
        if entry.kind == HARDLINK:
            target = "/".join(_parts(target, entry.path)[strip:])
        path = "/".join(parts)
        # Taken out first, so that the later of two keeps the later place.
        kept.pop(path, None)
        kept[path] = entry._replace(path=path, target=target)
    if not any(entry.kind != DIRECTORY for entry in kept.values()):
        raise Refused(
            "There is no file in it{0}. Nothing was unpacked.".format(
                " below {0} stripped path component(s); check strip_components".format(strip) if strip else ""
            )
        )
    _check_parents(kept)
    _check_hard_links(kept)
    _check_symbolic_links(kept)
    for path in list(kept):
        for above in _above(path):
            kept.setdefault(above, Entry(above, DIRECTORY, 0o755))
    order = {DIRECTORY: 0, FILE: 1, HARDLINK: 2, SYMLINK: 3}
    return sorted(kept.values(), key=lambda entry: (order[entry.kind], entry.path if entry.kind == DIRECTORY else ""))


def _above(path: str) -> list[str]:
    """The directories that `path` lies in, outermost first."""
    parts = path.split("/")
    return ["/".join(parts[:depth]) for depth in range(1, len(parts))]


def _parts(path: str, entry: str) -> list[str]:
    if path.startswith("/"):
        raise _unsafe(entry, "has an absolute path")
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise _unsafe(entry, "has '..' in its path")
    if "\0" in path:
        raise _unsafe(entry, "has a zero byte in its path")
    return parts


def _check_parents(kept: dict[str, Entry]) -> None:
    """Nothing may be written through a link, or below a file."""
    for entry in kept.values():
        for path in _above(entry.path):
            above = kept.get(path)
            if above is not None and above.kind != DIRECTORY:
                raise _unsafe(entry.path, "lies below {0}, which is a {1}".format(above.path, above.kind))


def _check_hard_links(kept: dict[str, Entry]) -> None:
    for entry in kept.values():
        if entry.kind == HARDLINK:
            target = kept.get(entry.target)
            if target is None or target.kind != FILE:
                raise _unsafe(entry.path, "is a hard link to {0!r}, which is no file of it".format(entry.target))


def _check_symbolic_links(kept: dict[str, Entry]) -> None:
    links = {path: entry.target for path, entry in kept.items() if entry.kind == SYMLINK}
    for path, target in links.items():
        if not target or "\0" in target:
            raise _unsafe(path, "is a link to {0!r}, which cannot be".format(target))
        if _leaves(path, links):
            raise _unsafe(path, "is a link to {0!r}, which is outside".format(target))


def _leaves(path: str, links: dict[str, str]) -> bool:
    """Whether following the link at `path` leads out of the tree, other links on the way included."""
    here: list[str] = []
    ahead = path.split("/")
    followed = 0
    while ahead:
        part = ahead.pop(0)
        if part in ("", "."):
            continue
        if part == "..":
            if not here:
                return True
            here.pop()
            continue
        here.append(part)
        target = links.get("/".join(here))
        if target is not None:
            followed += 1
            if followed > _MOST_LINKS:
                return False
            if target.startswith("/"):
                return True
            here.pop()
            ahead = target.split("/") + ahead
    return False


def _unsafe(path: str, why: str) -> Refused:
    return Refused(
        "It is not safe to unpack: its entry {0!r} {1}. Nothing was unpacked.".format(path, why), entry=path
    )
