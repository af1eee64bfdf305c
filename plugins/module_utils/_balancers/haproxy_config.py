# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of a HAProxy configuration that the runtime API does not show.  Pure: text in, facts out.

https://docs.haproxy.org/2.8/configuration.html#2, #4 and #5.2.  Conditional blocks (``.if``) and environment variables are not
evaluated: every branch is read, and a word that depends on one of them is not known to be absent.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import Dict, Iterable, Iterator, List, Set, Tuple

SECTIONS = frozenset(
    "global defaults frontend backend listen userlist peers resolvers mailers cache program ring http-errors fcgi-app crt-store "
    "log-forward log-profile traces acme".split()
)
SECTION = re.compile(r"^[ \t]*(?:%s)(?=\s)" % "|".join(sorted(SECTIONS)), re.MULTILINE)
POOLS = ("backend", "listen")
# Words of a server line that a value follows, which must not be mistaken for a word itself.
VALUED = frozenset(
    "addr agent-addr agent-inter agent-port agent-send alpn ca-file cc check-alpn check-pool-conn-name check-proto check-sni ciphers "
    "ciphersuites client-sigalgs cookie crl-file crt curves downinter error-limit fall fastinter guid hash-key id idle-ping init-addr "
    "init-state inter interface log-bufsize log-proto max-reuse maxconn maxqueue minconn namespace npn observe on-error on-marked-down "
    "on-marked-up pool-conn-name pool-low-conn pool-max-conn pool-purge-delay port proto proxy-v2-options redir resolve-net "
    "resolve-opts resolve-prefer resolvers rise set-proxy-v2-tlv-fmt shard sigalgs slowstart sni socks4 source ssl-max-ver ssl-min-ver "
    "tcp-md5sig tcp-ut track usesrc verify verifyhost weight ws".split()
)
# Algorithms that hash: their weights are fixed unless `hash-type consistent` is there.
HASHING = frozenset("source uri url_param hdr rdp-cookie hash".split())
# What may be, or stand for, a word that has sessions shut: itself, a condition, and what is quoted or a variable in a server line.
SHUTS = re.compile(r"on-marked-down|^[ \t]*(?:\.|(?:default-server|server|server-template)[ \t].*[$\"'\\])", re.MULTILINE)
QUOTED = re.compile(r"[\"'\\]")
UNITS = {"us": 1e-6, "ms": 1e-3, "": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
LONGEST_CHAIN = 16  # of servers that track each other
INTER, RISE = 2.0, 2  # of a check whose line names none


class Source:
    """The text of a configuration, which is parsed when that is needed.

    :param texts: of its files, in HAProxy's order.
    :param where: the files, for messages.
    """

    def __init__(self, texts: Iterable[str], where: str) -> None:
        self.texts, self.where = list(texts), where
        self._config: Config | None = None

    @property
    def config(self) -> Config:
        """What it says."""
        if self._config is None:
            self._config = parse(self.texts, self.where)
        return self._config

    def shuts_sessions(self, pool: str, names: Iterable[str]) -> bool | None:
        """As :meth:`Config.shuts_sessions`; where no server line can have the word for it, nothing is parsed."""
        names = list(names)
        if not any(SHUTS.search(text) for text in self.texts) and self._words(pool).issuperset(names):
            return False
        return self.config.shuts_sessions(pool, names)

    def _words(self, pool: str) -> Set[str]:
        """All words in the sections of a pool."""
        found: Set[str] = set()
        for text in self.texts:
            starts = [match.start() for match in SECTION.finditer(text)]
            for start, end in zip(starts, [*starts[1:], len(text)]):
                words = text[start:end].split()
                if words[0] in POOLS and words[1:2] == [pool]:
                    found.update(words)
        return found


@dataclass(frozen=True)
class Server:
    """A server line with all that `default-server` adds to it.

    :param words: word to its value, empty for a word without one.
    :param certain: whether no word of it depends on an environment variable.
    """

    address: str
    words: Dict[str, str] = field(default_factory=dict)
    certain: bool = True


@dataclass
class Section:
    """A `defaults`, `backend` or `listen` section with all that it inherits."""

    servers: Dict[str, Server] = field(default_factory=dict)
    options: Dict[str, bool] = field(default_factory=dict)
    timeouts: Dict[str, str] = field(default_factory=dict)
    settings: Dict[str, List[str]] = field(default_factory=dict)
    server_words: Dict[str, str] = field(default_factory=dict)
    certain: bool = True

    def heir(self) -> Section:
        """A new section that starts from this one."""
        return Section(
            {}, dict(self.options), dict(self.timeouts), dict(self.settings), dict(self.server_words), self.certain
        )


@dataclass(frozen=True)
class Config:
    """A configuration.

    :param where: its files, for messages.
    :param pools: the sections that have servers, by name.
    :param certain: whether it has no conditional blocks, and every line could be split into words.
    :param spread: percent by which the intervals of checks may be off.
    """

    where: str
    pools: Dict[str, Section]
    certain: bool = True
    spread: int = 0

    def shuts_sessions(self, pool: str, names: Iterable[str]) -> bool | None:
        """Whether a member that is marked down has its sessions shut, or one that tracks it; None where that is not known of each."""
        section = self.pools.get(pool)
        servers = [section.servers.get(name) if section else None for name in names]
        servers += self._trackers(pool)
        if any(server and server.words.get("on-marked-down") == "shutdown-sessions" for server in servers):
            return True
        known = self.certain and all(server is not None and server.certain for server in servers)
        return False if known else None

    def _trackers(self, pool: str) -> Iterator[Server]:
        """The servers that go down with those of a pool, in any other."""
        for name, section in self.pools.items():
            for server in section.servers.values() if name != pool else ():
                if "track" in server.words and any(place == pool for place, _tracked in self._chain(name, server)):
                    yield server

    def _chain(self, pool: str, server: Server) -> Iterator[Tuple[str, Server]]:
        """The pool and server that it tracks, and those that this one does; it ends where a check is, or a server is missing."""
        for _hop in range(LONGEST_CHAIN):
            if "track" not in server.words:
                return
            first, slash, second = server.words["track"].partition("/")
            pool, name = (first, second) if slash else (pool, first)
            section = self.pools.get(pool)
            if section is None or name not in section.servers:
                return
            server = section.servers[name]
            yield pool, server

    def all_backups(self, pool: str) -> bool | None:
        """Whether all backup servers of the pool serve at the same time; None where that is not known."""
        if pool not in self.pools:
            return None
        found = self.pools[pool].options.get("allbackups", False)
        return found if self.certain else None

    def weights_are_fixed(self, pool: str) -> bool | None:
        """Whether the pool's algorithm knows the weights 0 and 100 % alone; None where that is not known."""
        section = self.pools.get(pool)
        if section is None or not self.certain:
            return None
        algorithm = re.split(r"[(]", (section.settings.get("balance") or ["roundrobin"])[0])[0]
        if "$" in algorithm:
            return None
        kind = (section.settings.get("hash-type") or ["map-based"])[0]
        return algorithm == "static-rr" or (algorithm in HASHING and kind != "consistent")

    def address(self, pool: str, name: str) -> str:
        """The address of a server as it is written there; empty where it is not known."""
        section = self.pools.get(pool)
        return section.servers[name].address if section and name in section.servers else ""

    def check_time(self, pool: str) -> Tuple[float, str] | None:
        """Seconds until a check that begins now has brought the slowest member up, at most, and the words that say so.

        The first check may be as far away as the longer of the intervals of a member that is up and of one that is down; those after
        it follow at `fastinter`; the last may take as long as its timeout.
        """
        section = self.pools.get(pool)
        if section is None or not self.certain:
            return None
        slowest: Tuple[float, str] | None = None
        for server in section.servers.values():
            found = self._check_time(pool, section, server)
            if found and (slowest is None or found[0] > slowest[0]):
                slowest = found
        return (slowest[0], f"{slowest[1]} in {self.where}") if slowest else None

    def _check_time(self, own: str, section: Section, server: Server) -> Tuple[float, str] | None:
        for pool, tracked in self._chain(own, server):
            section, server = self.pools[pool], tracked
        words = server.words
        if "check" not in words or "track" in words or not server.certain:
            return None
        inter = seconds(words.get("inter", "")) or INTER
        fast, down = seconds(words.get("fastinter", "")) or inter, seconds(words.get("downinter", "")) or inter
        rise = int(words["rise"]) if words.get("rise", "").isdigit() else RISE
        # Without `timeout check` a check may take as long as its interval, its connection no longer than `timeout connect`.
        connect = seconds(section.timeouts.get("connect", "")) or inter
        timeout = seconds(section.timeouts.get("check", "")) or min(inter, connect)
        longest = (max(inter, down) + (rise - 1) * fast) * (1 + self.spread / 100) + timeout
        told = [
            f"inter {inter:g}s",
            f"fastinter {fast:g}s" if fast != inter else "",
            f"downinter {down:g}s" if down != inter else "",
        ]
        return longest, ", ".join([*filter(None, told), f"rise {rise}"])


def parse(texts: Iterable[str], where: str) -> Config:
    """Read a configuration.

    :param texts: of its files, in HAProxy's order.
    :param where: the files, for messages.
    """
    reader = _Reader()
    for text in texts:
        for line in text.split("\n"):
            reader.read(line)
    return Config(where, reader.pools, reader.certain, reader.spread)


def seconds(text: str) -> float | None:
    """A time as HAProxy writes it, where a bare number is milliseconds; None for anything else."""
    match = re.fullmatch(r"([0-9]{1,12})(us|ms|s|m|h|d|)", text, re.ASCII)
    return int(match.group(1)) * UNITS[match.group(2)] if match else None


class _Reader:
    def __init__(self) -> None:
        self.pools: Dict[str, Section] = {}
        self.certain, self.spread = True, 0
        self._named: Dict[str, Section] = {}
        self._defaults, self._section = Section(), Section()
        self._kind = ""

    def read(self, line: str) -> None:
        try:
            # Quotations are split by the shell's rules, which are HAProxy's, at a hundred times the time.
            words = shlex.split(line, comments=True) if QUOTED.search(line) else line.partition("#")[0].split()
        except ValueError:  # a quotation that does not end
            self.certain = False
            return
        if not words:
            return
        if words[0].startswith("."):
            self.certain = self.certain and words[0] in (".notice", ".warning", ".alert", ".diag")
        elif words[0] in SECTIONS:
            self._begin(words)
        elif self._kind in (*POOLS, "defaults"):
            self._setting(words)
        elif self._kind == "global" and words[0] == "spread-checks" and words[1:] and words[1].isdigit():
            self.spread = int(words[1])

    def _begin(self, words: List[str]) -> None:
        self._kind = words[0]
        name = words[1] if len(words) > 1 and words[1] != "from" else ""
        parent = words[words.index("from", 1) + 1] if "from" in words[1:-1] else None
        if self._kind == "defaults":
            self._section = self._defaults = self._named[parent].heir() if parent in self._named else Section()
            self._named[name] = self._section
        else:
            self._section = (self._named[parent] if parent in self._named else self._defaults).heir()
            if self._kind in POOLS:
                self.pools[name] = self._section

    def _setting(self, words: List[str]) -> None:
        section, kind, rest = self._section, words[0], words[1:]
        if kind == "no" and rest[:1] == ["option"] and len(rest) > 1:
            section.options[rest[1]] = False
        elif kind == "option" and rest:
            section.options[rest[0]] = True
        elif kind == "timeout" and len(rest) > 1:
            section.timeouts[rest[0]] = rest[1]
        elif kind in ("balance", "hash-type") and rest:
            section.settings[kind] = rest
        elif kind == "default-server":
            section.certain = section.certain and not _varies(rest)
            section.server_words = _server_words(rest, section.server_words)
        elif kind == "server" and len(rest) > 1:
            self._add([rest[0]], rest[1], rest[2:])
        elif kind == "server-template" and len(rest) > 2:
            first, dash, last = rest[1].partition("-")
            if not re.fullmatch(r"[0-9]{1,6}(-[0-9]{1,6})?", rest[1], re.ASCII):
                self.certain = False
                return
            numbers = range(int(first), int(last) + 1) if dash else range(1, int(first) + 1)
            self._add([f"{rest[0]}{number}" for number in numbers], rest[2], rest[3:])

    def _add(self, names: List[str], address: str, rest: List[str]) -> None:
        section = self._section
        server = Server(address, _server_words(rest, section.server_words), section.certain and not _varies(rest))
        section.servers.update(dict.fromkeys(names, server))


def _varies(words: Iterable[str]) -> bool:
    return any("$" in word for word in words)


def _server_words(words: List[str], inherited: Dict[str, str]) -> Dict[str, str]:
    found, rest = dict(inherited), iter(words)
    for word in rest:
        if word.startswith("no-"):
            found.pop(word[3:], None)
        else:
            found[word] = next(rest, "") if word in VALUED else ""
    return found
