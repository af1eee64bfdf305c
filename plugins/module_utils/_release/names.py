# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a user may call things: version ids, shared paths, checksums.  Pure."""

from __future__ import annotations

import re
from typing import NamedTuple, Sequence

from .._domain.errors import InvalidInput

# Names the module keeps for itself start with a dot, so no version may.
_VERSION = re.compile(r"\A[A-Za-z0-9_][A-Za-z0-9._+~-]{0,199}\Z")
_CHECKSUM = re.compile(r"\A(?P<algorithm>[a-z0-9]+):(?P<digest>[0-9a-f]+)\Z")
_HEX_DIGITS = {"sha1": 40, "sha224": 56, "sha256": 64, "sha384": 96, "sha512": 128}


class Checksum(NamedTuple):
    """A digest and what it was computed with."""

    algorithm: str
    digest: str

    def __str__(self) -> str:
        return "{0}:{1}".format(self.algorithm, self.digest)


def valid_version(text: str) -> str:
    """Return `text` when it can be a directory's name and nothing else; :class:`InvalidInput` otherwise."""
    if not _VERSION.match(text):
        raise InvalidInput(
            "The version {0!r} cannot name a directory: letters, digits, '.', '_', '+', '~' and '-' are allowed, "
            "at most 200 of them, and the first must be a letter, a digit or '_'. Nothing was touched.".format(text)
        )
    return text


def is_version(name: str) -> bool:
    """Whether a directory entry's `name` can be a release's."""
    return bool(_VERSION.match(name))


def parse_checksum(text: str) -> Checksum:
    """Read ``ALGORITHM:HEX``; :class:`InvalidInput` when it is not one."""
    found = _CHECKSUM.match(text.strip().lower())
    if not found or _HEX_DIGITS.get(found.group("algorithm")) != len(found.group("digest")):
        raise InvalidInput(
            "The checksum {0!r} is none: expected ALGORITHM:HEX, such as sha256 and 64 hexadecimal digits, with one of "
            "{1}. Nothing was touched.".format(text, ", ".join(sorted(_HEX_DIGITS)))
        )
    return Checksum(found.group("algorithm"), found.group("digest"))


def valid_shared(paths: Sequence[str]) -> list[str]:
    """Return shared `paths` in their plain form; :class:`InvalidInput` for one that leaves the release or repeats."""
    plain: list[str] = []
    for path in paths:
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if not parts or path.startswith("/") or ".." in parts or "\0" in path:
            raise InvalidInput(
                "The shared path {0!r} is not below the release: a relative path without '..' is needed, such as "
                "log or config/local.yml. Nothing was touched.".format(path)
            )
        plain.append("/".join(parts))
    for path in plain:
        for other in plain:
            if path.startswith(other + "/"):
                raise InvalidInput(
                    "The shared path {0!r} lies inside the shared path {1!r}; name only one of them. "
                    "Nothing was touched.".format(path, other)
                )
    return list(dict.fromkeys(plain))
