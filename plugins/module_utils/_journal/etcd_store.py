# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lease and the journals of a service as keys of an etcd.

``<prefix>/<service>/lease``, ``<prefix>/<service>/rollouts/<id>`` and ``<prefix>/<service>/written``.  A journal is compressed
(``etcdctl get --print-value-only KEY | zcat``), since etcd takes no more than 1.5 MiB at a time.

There is no lock.  Work sees what stood at one revision, and what it keeps is one transaction that takes place only when nothing of the
service has changed since; else work is done again with what stands then.  Each transaction also writes its own name to ``written``, so
that one whose answer was lost is recognised.

How long a lease is still good for is counted down by etcd, for all controllers: beside the record there is a lease of etcd's own, without
keys, and its id stands in the record.  The record itself stays when that lease expires, and the fencing number with it.
"""

from __future__ import annotations

import base64
import gzip
import uuid
import zlib
from typing import Any, Dict, List, Mapping, Optional, Tuple

from .._clock import Clock, Deadline
from .._domain.errors import DeployError, InvalidInput, TimedOut, Unreachable
from . import documents, journal, lease
from .etcd_api import Compacted, Etcd, Unanswered
from .store import Records, Store, Work, expect_id, in_order

PATIENCE = 20.0  # seconds of being overtaken by others
ID = "etcd_lease"


class EtcdStore(Store):
    """The keys of one service.

    :param options: where etcd is and who asks, as `etcd_options` declares it.
    :raises InvalidInput: the service's name does not fit into a key, or the options make no sense.
    """

    def __init__(self, options: Mapping[str, Any], service: str) -> None:
        super().__init__(service)
        if "\0" in options["prefix"]:
            raise InvalidInput("The option etcd.prefix holds a zero byte. Nothing was touched.")
        self._etcd = Etcd(options)

    def look(self, clock: Clock, work: Work) -> Dict[str, Any]:
        """See :class:`Store`."""
        return self._again(clock, lambda: self._worked(clock, work)[1])

    def change(self, clock: Clock, work: Work, creates: bool) -> Dict[str, Any]:
        """See :class:`Store`; nothing has to be made, so `creates` does not matter."""
        del creates

        def attempt() -> Optional[Dict[str, Any]]:
            seen, result = self._worked(clock, work)
            return result if seen.commit() else None

        return self._again(clock, attempt)

    def expect_writable(self, clock: Clock) -> None:
        """See :class:`Store`: a transaction that cannot take place, for etcd looks at rights first."""
        del clock
        key = _base64(_written(self._etcd.prefix, self.service))
        never = {"target": "VERSION", "result": "LESS", "version": "0", "key": key}
        put = {"request_put": {"key": key, "value": ""}}
        try:
            self._etcd.ask("kv/txn", {"compare": [never], "success": [put]})
        except Unanswered as error:
            raise Unreachable("%s Nothing was changed." % error.message) from None

    def _worked(self, clock: Clock, work: Work) -> Any:
        seen = Seen(self._etcd, self.service, clock.now())
        return seen, work(seen, seen.now)

    def _again(self, clock: Clock, attempt: Any) -> Dict[str, Any]:
        """The first result that is not overtaken by others."""
        deadline = Deadline(clock, PATIENCE)
        while True:
            try:
                result = attempt()
                if result is not None:
                    return result
            except Compacted:
                pass
            except Unanswered as error:
                raise Unreachable("%s Nothing was changed." % error.message) from None
            if deadline.passed:
                raise TimedOut(
                    "The records of service %s in %s were changed by others all the time for %g s. Nothing was changed by this run. Find "
                    "out who writes there, and try again." % (self.service, self._etcd.where, deadline.seconds)
                )


class Seen(Records):
    """The records as they stood at one revision, and what is to be changed of them.

    :ivar now: seconds since the epoch by this controller's clock.
    """

    def __init__(self, etcd: Etcd, service: str, now: float) -> None:
        self.service, self.now = service, now
        self._etcd = etcd
        self._top = "%s/%s/" % (etcd.prefix, service)
        self._rollouts = self._top + "rollouts/"
        self._lease = self._top + "lease"
        # Whatever was read, by key; None where there is nothing.
        self._known: Dict[str, Optional[bytes]] = {}
        self._listed: Optional[List[str]] = None
        self._kept: Dict[str, Optional[bytes]] = {}
        self._kept_lease: Optional[lease.Lease] = None
        self._held = ""  # the id of etcd's lease that the record names, while it has not expired
        self._holding: Tuple[int, Optional[int]] = (0, None)  # the fencing number and seconds that it counts down for
        answer = self._etcd.ask("kv/range", {"key": _base64(self._lease)})
        self.revision = int(answer["header"]["revision"])
        self._learn(answer, self._lease)

    def lease(self) -> lease.Lease:
        """See :class:`Records`; etcd says how long it is still good for."""
        if self._kept_lease is not None:
            return self._kept_lease
        content = self._known[self._lease]
        if content is None:
            return lease.unheld(self.service)
        away = _away(self._lease)
        data = documents.parsed(content, self._lease, away, lease.KIND, lease.FORMAT, lease.FIELDS)
        documents.expect_lease(data, self._lease, away, self.service)
        number = str(data.pop(ID, ""))
        if data["owner"] is None:
            return data
        left = self._left(number)
        self._held = number if left else ""
        self._holding = (data["fence"], data["ttl"])
        return lease.by_clock(data, left, self.now)

    def _left(self, number: str) -> int:
        """Whole seconds that etcd's lease is still good for, rounded up; 0 when it has expired."""
        if not number.isdigit():
            return 0
        left = int(self._etcd.ask("lease/timetolive", {"ID": number}).get("TTL", 0))
        return left + 1 if left >= 0 else 0

    def journal(self, rollout: str) -> Optional[journal.Journal]:
        """See :class:`Records`."""
        expect_id(rollout)
        key = self._rollouts + rollout
        content = self._kept[key] if key in self._kept else self._content(key)
        if content is None:
            return None
        away = _away(key)
        try:
            text = gzip.decompress(content)
        except (OSError, EOFError, zlib.error):
            documents.foreign(key, away, journal.KIND, "nothing that was compressed with gzip")
        data = documents.parsed(text, key, away, journal.KIND, journal.FORMAT, journal.FIELDS)
        documents.expect_journal(data, key, away, self.service, rollout)
        return data

    def ids(self) -> List[str]:
        """See :class:`Records`; reads all of them at once."""
        if self._listed is None:
            answer = self._range({"key": _base64(self._rollouts), "range_end": _base64(_end(self._rollouts))})
            self._listed = self._learn(answer)
        keys = [key for key in {**dict.fromkeys(self._listed), **self._kept} if self._kept.get(key, b"") is not None]
        return in_order([key[len(self._rollouts):] for key in keys if key.startswith(self._rollouts)])

    def keep_lease(self, data: lease.Lease) -> None:
        """See :class:`Records`; written by :meth:`commit`."""
        self._kept_lease = data

    def keep_journal(self, data: journal.Journal) -> None:
        """See :class:`Records`; written by :meth:`commit`."""
        # Without the time of compression: the same journal is the same value.
        self._kept[self._rollouts + data["id"]] = gzip.compress(documents.text_of(data).encode("utf-8"), mtime=0)

    def drop_journal(self, rollout: str) -> None:
        """See :class:`Records`; removed by :meth:`commit`."""
        self._kept[self._rollouts + rollout] = None

    def commit(self) -> bool:
        """Write what is kept, all of it or nothing; False when somebody else has written since and nothing was.

        :raises DeployError: it may not, or whether it was written is not known.
        """
        if self._kept_lease is None and not self._kept:
            return True
        number = ""
        if self._kept_lease is not None:
            number = self._counted_down(self._kept_lease)
            self._kept[self._lease] = documents.text_of(dict(self._kept_lease, **{ID: number})).encode("utf-8")
        token = uuid.uuid4().hex
        written = _written(self._etcd.prefix, self.service)
        self._kept[written] = token.encode("ascii")
        unchanged = {
            "target": "MOD", "result": "LESS", "mod_revision": str(self.revision + 1),
            "key": _base64(self._top), "range_end": _base64(_end(self._top)),
        }
        look = {"request_range": {"key": _base64(written)}}
        request = {"compare": [unchanged], "success": [_write(*each) for each in self._kept.items()], "failure": [look]}
        try:
            answer = self._etcd.ask("kv/txn", request)
        except Unanswered as error:
            raise Unreachable(
                "%s Whether the last entry for service %s was written is not known; if it was, then all of it. Find out what is wrong with "
                "etcd; the same command again goes on with what stands there." % (error.message, self.service)
            ) from None
        done = bool(answer.get("succeeded")) or self._was_written(answer, token)
        if done and self._kept_lease is not None and self._held not in ("", number):
            self._forget(self._held)
        return done

    def _counted_down(self, kept: lease.Lease) -> str:
        """The id of a lease of etcd's own that has all of its time from now on; empty when nobody holds the record's lease."""
        if kept["owner"] is None:
            return ""
        if self._held and self._holding == (kept["fence"], kept["ttl"]):
            answer = self._etcd.ask("lease/keepalive", {"ID": self._held}).get("result", {})
            # Less than that when it has expired meanwhile.
            if int(answer.get("TTL", 0)) >= kept["ttl"]:
                return self._held
        return str(self._etcd.ask("lease/grant", {"TTL": str(kept["ttl"])})["ID"])

    def _was_written(self, answer: Mapping[str, Any], token: str) -> bool:
        """Whether a transaction was refused because it had taken place already, when a member was asked that did not answer."""
        found = answer["responses"][0].get("response_range", {}).get("kvs") or [{}]
        return _bytes(found[0].get("value", "")) == token.encode("ascii")

    def _forget(self, number: str) -> None:
        """Let etcd forget a lease of its own; without this it does so when that expires."""
        try:
            self._etcd.ask("lease/revoke", {"ID": number})
        except DeployError:
            pass

    def _content(self, key: str) -> Optional[bytes]:
        if key not in self._known:
            if self._listed is not None:
                return None
            self._learn(self._range({"key": _base64(key)}), key)
        return self._known[key]

    def _range(self, what: Dict[str, Any]) -> Dict[str, Any]:
        return self._etcd.ask("kv/range", dict(what, revision=str(self.revision)))

    def _learn(self, answer: Mapping[str, Any], *asked: str) -> List[str]:
        """Remember what was read, and that there is nothing where nothing was found; the keys of what was."""
        found = {_bytes(pair["key"]).decode("utf-8", "replace"): _bytes(pair.get("value", "")) for pair in answer.get("kvs") or []}
        self._known.update(dict.fromkeys(asked))
        self._known.update(found)
        return list(found)


def _written(prefix: str, service: str) -> str:
    return "%s/%s/written" % (prefix, service)


def _write(key: str, value: Optional[bytes]) -> Dict[str, Any]:
    if value is None:
        return {"request_delete_range": {"key": _base64(key)}}
    return {"request_put": {"key": _base64(key), "value": base64.b64encode(value).decode("ascii")}}


def _away(key: str) -> str:
    return "etcdctl get '%s' to keep it, then etcdctl del '%s'" % (key, key)


def _end(prefix: str) -> str:
    """The first key after all that begin with `prefix`, which ends in an ASCII character."""
    return prefix[:-1] + chr(ord(prefix[-1]) + 1)


def _base64(text: str) -> str:
    return base64.b64encode(text.encode("utf-8")).decode("ascii")


def _bytes(text: str) -> bytes:
    return base64.b64decode(text)
