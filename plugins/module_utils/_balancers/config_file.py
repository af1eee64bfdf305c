# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A balancer's configuration file: replaced in one step, as its owner left it in all but content, and put back when need be."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import tempfile
from typing import Iterator, Tuple

from .._domain.errors import InvalidInput, NotApplied, Refused, Unreachable


class ConfigFile:
    """One file that a balancer reads, and that people and other tools may write too.

    :param path: of the file; a link is followed, and stays.
    :param aside: the directory in which the new content is written before it is renamed into place; that of the file by default.
        For balancers that watch the file's own directory it must be another one of the same file system.
    :param any_bytes: for balancers that read bytes and ask for no encoding: those that are no UTF-8, such as a comment in Latin-1,
        are read as lone surrogates and written as the same bytes.
    """

    def __init__(self, path: str, aside: str | None = None, any_bytes: bool = False) -> None:
        self.path = os.path.realpath(path)
        self.aside = aside or os.path.dirname(self.path)
        self._errors = "surrogateescape" if any_bytes else "strict"

    def read(self) -> str:
        """The content.

        :raises Unreachable: when it cannot be read, or is no text.
        """
        try:
            with open(self.path, encoding="utf-8", errors=self._errors, newline="") as file:
                return file.read()
        except FileNotFoundError:
            raise Unreachable("There is no file %s." % self.path) from None
        except UnicodeDecodeError as error:
            raise Unreachable(
                "%s is not UTF-8: the byte 0x%02x at offset %d is not. Is the file, or a comment in it, in another encoding, such as "
                "Latin-1? Nothing was touched." % (self.path, error.object[error.start], error.start)
            ) from None
        except OSError as error:
            raise Unreachable(
                "%s cannot be read: %s. Use `become`, or let this user read it." % (self.path, error.strerror)
            ) from None

    @contextlib.contextmanager
    def replaced(self, old: str, new: str) -> Iterator[None]:
        """Put `new` in place of `old` for good; when the ``with`` block raises, `old` is put back, its times with it.

        :raises Refused: when this user may not write there.
        :raises NotApplied: when the file is no longer what `old` says: somebody else has written it meanwhile.
        """
        if self.read() != old:
            raise NotApplied(
                "%s was changed by somebody else while we worked on it. Nothing was written; run the task again."
                % self.path
            )
        was = self._put(new)
        try:
            yield
        except BaseException:
            if self.read() == new:  # else somebody has written it since, and their version stays
                self._put(old, (was.st_atime_ns, was.st_mtime_ns) if was else None)
            raise

    def check_writable(self) -> None:
        """See that :meth:`write` would succeed, without a change to the file.

        :raises Refused: when this user may not write there.
        """
        try:
            with self._beside() as (was, descriptor, temporary):
                os.close(descriptor)
                if was is not None and stat.S_ISDIR(was.st_mode):
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
                _give(temporary, was)
        except OSError as error:
            raise Refused(
                "%s cannot be written: %s. Use `become`, or let this user write to %s. Nothing was touched."
                % (self.path, error.strerror or error, self.aside)
            ) from None

    def write(self, content: str) -> None:
        """Put `content` there whatever stood there before; a new file may be read by everybody.

        :raises Refused: when this user may not write there.
        """
        self._put(content)

    def _put(self, content: str, times: Tuple[int, int] | None = None) -> os.stat_result | None:
        try:
            with self._beside() as (was, descriptor, temporary):
                with open(descriptor, "w", encoding="utf-8", errors=self._errors, newline="") as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                # Owner first: a change of owner may clear bits of the mode. Extended attributes carry SELinux's label.
                _give(temporary, was)
                if was is not None:
                    shutil.copystat(self.path, temporary)
                    os.utime(temporary, **({"ns": times} if times else {}))
                os.rename(temporary, self.path)
        except OSError as error:
            if error.errno == errno.EBUSY:  # a container's volume of one file
                raise Refused(
                    "%s cannot be replaced: it is a single file that is mounted there. Mount its directory instead. "
                    "What stood there before is as it was." % self.path
                ) from None
            raise Refused(
                "%s cannot be replaced: %s. Use `become`, or let this user write to %s. What stood there before is as it was."
                % (self.path, error.strerror or error, self.aside)
            ) from None
        self._sync()
        return was

    @contextlib.contextmanager
    def _beside(self) -> Iterator[Tuple[os.stat_result | None, int, str]]:
        """A temporary file, which is gone afterwards: what is known of the file itself, the new one's descriptor, its path."""
        was = os.stat(self.path) if os.path.exists(self.path) else None
        descriptor, temporary = tempfile.mkstemp(prefix=".%s." % os.path.basename(self.path), suffix=".tmp", dir=self.aside)
        try:
            yield was, descriptor, temporary
        finally:
            with contextlib.suppress(OSError):  # it has been renamed
                os.unlink(temporary)

    def _sync(self) -> None:
        with contextlib.suppress(OSError):  # some network file systems cannot sync a directory, and need not
            directory = os.open(os.path.dirname(self.path), os.O_RDONLY)
            try:
                os.fsync(directory)
            finally:
                os.close(directory)


def absolute(option: str, path: str) -> str:
    """`path`, when it is absolute.

    :raises InvalidInput: naming the option.
    """
    if not os.path.isabs(path):
        raise InvalidInput("`%s` is to be an absolute path, not %r. Nothing was touched." % (option, path))
    return path


def _give(path: str, was: os.stat_result | None) -> None:
    """Give a file the owner of the one that it replaces; one that replaces none may be read by everybody."""
    if was is None:
        os.chmod(path, 0o644)
    elif (was.st_uid, was.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(path, was.st_uid, was.st_gid)
