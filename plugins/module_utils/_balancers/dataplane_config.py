# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A backend as the Data Plane API shows it in HAProxy's configuration file, in the words of that file.  Pure.

https://www.haproxy.com/documentation/dataplaneapi/community/: models `server`, `default_server`, `backend` and `defaults`.  Times are
milliseconds.  The file may be newer than what the running process has read.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Sequence

from .haproxy_config import Config, Section, Server

WHERE = "the configuration that the Data Plane API shows"
# Those that are read, as the API spells them and as a server line has them.
WORDS = ("inter", "fastinter", "downinter", "rise", "track", "on-marked-down")
TIMEOUTS = {"check_timeout": "check", "connect_timeout": "connect"}


def config(pool: str, backend: Any, servers: Any, defaults: Any) -> Config:
    """The configuration of one backend.

    :param backend: as ``/configuration/backends/NAME`` shows it.
    :param servers: its servers.
    :param defaults: all sections `defaults`.
    """
    section = Section()
    known = [row for row in defaults if isinstance(row, dict)] if isinstance(defaults, list) else []
    inherited = _inherited(backend, known)
    certain = isinstance(backend, dict) and isinstance(servers, list) and inherited is not None
    for row in (*(inherited or known), backend):
        _take_over(section, row)
    for row in servers if isinstance(servers, list) else []:
        if isinstance(row, dict) and isinstance(row.get("name"), str):
            words = _words(row, section.server_words)
            section.servers[row["name"]] = Server(f"{row.get('address')}:{row.get('port')}", words)
    return Config(WHERE, {pool: section}, certain)


def _inherited(backend: Any, defaults: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]] | None:
    """The sections that a backend starts from, the farthest first; None where that is not known."""
    if not isinstance(backend, dict):
        return None
    name = backend.get("from")
    if not name:
        return defaults if len(defaults) <= 1 else None
    by_name = {str(row.get("name")): row for row in defaults}
    found: list[Mapping[str, Any]] = []
    while name:
        if str(name) not in by_name or len(found) > len(defaults):
            return None
        found.insert(0, by_name[str(name)])
        name = found[0].get("from")
    return found


def _take_over(section: Section, row: Any) -> None:
    if not isinstance(row, dict):
        return
    section.server_words = _words(row.get("default_server"), section.server_words)
    for key, word in TIMEOUTS.items():
        if isinstance(row.get(key), int):
            section.timeouts[word] = str(row[key])
    if row.get("allbackups") in ("enabled", "disabled"):
        section.options["allbackups"] = row["allbackups"] == "enabled"


def _words(row: Any, inherited: Mapping[str, str]) -> Dict[str, str]:
    words = dict(inherited)
    if not isinstance(row, dict):
        return words
    for word in WORDS:
        if isinstance(row.get(word), (int, str)):
            words[word] = str(row[word])
    if row.get("check") == "enabled":
        words["check"] = ""
    elif row.get("check") == "disabled":
        words.pop("check", None)
    return words
