# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole configuration, as ``nginx -T`` prints it: every file that NGINX reads, and the directives with their includes expanded.  Pure.

NGINX prints each file once, with its path as the `include` names it: absolute, and a relative one below the directory of the first file.
"""

from __future__ import annotations

import posixpath
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Iterator, List, Tuple

from .nginx_file import Unclear, tokens

HEADER = re.compile(r"^# configuration file (.+):\r?\n", re.MULTILINE)
# A large file with none of these words, such as a list of networks for `geo`, is not cut into words: that takes seconds.
LARGE = 1000000
TELLING = ("upstream", "server", "_pass", "include")
WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Directive:
    """One directive.

    :param context: the words of each block that it stands in, outermost first.
    :param path: of the file that it stands in.
    :param opens: whether it has a block.
    """

    context: Tuple[Tuple[str, ...], ...]
    words: Tuple[str, ...]
    path: str
    opens: bool


class Dump:
    """One configuration.

    :param raw: the output of ``nginx -T``.
    """

    def __init__(self, raw: bytes) -> None:
        self._text = raw.decode("utf-8", "surrogateescape").replace("\r\n", "\n")
        parts = HEADER.split(self._text)
        self.files = {path: text[:-1] for path, text in zip(parts[1::2], parts[2::2])}
        #: files that are not understood, such as those with code of another language in them
        self.unclear: List[str] = []

    def shows(self, path: str, content: str) -> bool:
        """Whether the file of this path has that content there.

        A file that holds the output of another ``nginx -T`` as its comments adds paths that NGINX does not read.
        """
        return "# configuration file %s:\n%s\n" % (path, content.replace("\r\n", "\n")) in self._text

    def files_with(self, pool: str) -> list[str]:
        """The files in which an upstream of that name begins."""
        return [each.path for each in self.directives() if each.opens and each.words == ("upstream", pool)]

    def value(self, name: str) -> str:
        """The value of a directive that stands outside all blocks; empty where it is not given."""
        found = [
            each.words[1]
            for each in self.directives()
            if not each.context and each.words[0] == name and len(each.words) == 2
        ]
        return found[-1] if found else ""

    def directives(self) -> Iterator[Directive]:
        """All directives, in order; an `include` gives those of the files that it names."""
        self.unclear = []
        for path in list(self.files)[:1]:
            yield from self._inside(path, (), ())

    def _inside(self, path: str, outside: Tuple[Tuple[str, ...], ...], by: Tuple[str, ...]) -> Iterator[Directive]:
        text = self.files[path]
        # NGINX refuses files that include each other, so that such ones are seen in forged output alone.
        if path in by or (len(text) > LARGE and not any(word in text for word in TELLING)):
            return
        try:
            found = _directives(path, text)
        except Unclear:
            self.unclear.append(path)
            return
        for directive in found:
            context = outside + directive.context
            if directive.words[0] != "include" or directive.opens or len(directive.words) != 2:
                yield Directive(context, directive.words, path, directive.opens)
                continue
            for other in self._included(directive.words[1]):
                yield from self._inside(other, context, (*by, path))

    def _included(self, pattern: str) -> list[str]:
        full = (
            pattern if pattern.startswith("/") else posixpath.join(posixpath.dirname(next(iter(self.files))), pattern)
        )
        if not WILD.search(full):
            return [full] if full in self.files else []
        wanted = full.split("/")
        return [path for path in self.files if _matches(path.split("/"), wanted)]


def _matches(path: list[str], pattern: list[str]) -> bool:
    """As the C library's glob: a ``*`` ends at a slash, and does not begin a name with a dot."""
    return len(path) == len(pattern) and all(
        fnmatchcase(part, wanted) and (part[:1] != "." or wanted[:1] == ".") for part, wanted in zip(path, pattern)
    )


def _directives(path: str, text: str) -> list[Directive]:
    """Those of one file.

    :raises Unclear: for a file that is not made of directives and blocks.
    """
    found: list[Directive] = []
    context: Tuple[Tuple[str, ...], ...] = ()
    words: list[str] = []
    for mark, word in tokens(text):
        if not mark:
            words.append(word.value)
            continue
        if mark == "}":
            if words or not context:
                raise Unclear("a `}` where none belongs")
            context = context[:-1]
        elif words:
            found.append(Directive(context, tuple(words), path, mark == "{"))
        if mark == "{":
            context = (*context, tuple(words))
        words = []
    if words or context:
        raise Unclear("it ends too early")
    return found
