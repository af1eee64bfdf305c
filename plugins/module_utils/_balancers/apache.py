# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apache httpd, over its balancer-manager: https://httpd.apache.org/docs/2.4/mod/mod_proxy_balancer.html

What is not obvious, each measured on 2.4.71 unless a source is named:

* the page as XML (``?xml=1``) does not tell whether a member is checked, so the page is read as a browser gets it: the only
  form that shows everything, and at one moment;
* a POST with a wrong nonce or Referer, or for an unknown member, is answered with 200 and ignored.  What comes back holds the
  member's form, which shows what was written: not so with a wrong nonce, and there is no form at all with a wrong Referer;
* the nonce is another after every graceful restart, unless ``BalancerPersist On`` keeps it;
* the fields of one POST take effect one after the other: the load factor, then the flags N (drain), D (disabled), S (stopped) and C
  (check failed), by its source.  Requests may be balanced in between;
* a check goes on while a member is disabled, and not while it is stopped.  One that is under way when the flag C is set counts as a
  pass, so that with ``hcpasses=1`` it alone would bring a member back;
* ``Busy`` goes astray under load, both ways: 0 was shown for a member with a request under way, and 3 for one that had been idle for
  a second.  By the source it is counted without a lock.  After a graceful restart it is 0 while children from before it still
  serve requests.  It is not read;
* requests go to the members of the lowest load balancing set.  A hot spare (``status=+R``) gets some as soon as one of these is out, a hot
  standby (``+H``) all of them when the last is out and no spare is there, and the next set when its standbys are out too;
* a balancer that a virtual host inherits (``BalancerInherit``) is one with the main server's: what is written to one is shown by the other.
  The balancer-manager shows those of its own virtual host and of the main server, and no other virtual host's;
* with ``nonce=None`` every write is ignored; with one that the configuration names, a graceful restart does not change it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from .._domain.errors import InvalidInput, NotApplied, Refused, Unreachable
from .._domain.members import DISABLED, DRAINED, ENABLED, Change, Member
from .._domain.pools import OtherPool, Timing
from .apache_page import FORMS, Page, Worker
from .base import Balancer
from .declaration import Capabilities
from .http_api import Answer, HttpApi

# What is posted for a state: flags that, set in Apache's own order, never let a request through in between that the state before and
# the one after both keep away.  So `disabled` says nothing of N: a drain would end before it begins.
WRITTEN_STATE = {
    ENABLED: {"w_status_N": 0, "w_status_D": 0, "w_status_S": 0},
    DRAINED: {"w_status_N": 1, "w_status_D": 0, "w_status_S": 0},
    DISABLED: {"w_status_D": 1},
}
DISTRUST = {"w_status_C": 1}

FORM = re.compile(
    r"<input name='(w_lf|w_status_.)' id='\w+' (?:type=text )?value='(\d{1,5}(?:\.\d\d)?)'( type=radio( checked)?)?>"
)


class Apache(Balancer):
    """See the module's own text."""

    provider = "apache"

    def __init__(self, name: str, capabilities: Capabilities, options: dict[str, Any]) -> None:
        self.api = HttpApi.of("Apache's balancer-manager", options)
        super().__init__(name, self.api.endpoint, capabilities)
        self._declared = capabilities
        # What Apache calls itself: by the URL's name of it, unless its page says otherwise (`UseCanonicalName On`).
        self._server = self.api.host
        self._last: Page | None = None

    def version(self) -> str:
        return self._configured().version or "unknown"

    def running(self) -> tuple[str, float]:
        page = self._page()
        return " ".join(sorted(pool.mark(page.persists) for pool in page.pools.values())), 0.0

    def other_pools(self, pool: str) -> list[OtherPool]:
        page = self._configured()
        self._workers(page, pool)
        shared = {
            other.name: page.pools[pool].shared_with(other) for other in page.pools.values() if other.name != pool
        }
        return [OtherPool(name, members) for name, members in shared.items() if members]

    def timing(self, pool: str) -> Timing:
        checked = [worker for worker in self._workers(self._configured(), pool).values() if worker.checked]
        if not checked:
            return Timing()
        slowest = max(checked, key=lambda worker: worker.check_seconds)
        interval, passes = slowest.cells["HC Interval"], slowest.passes[1]
        return Timing(check=slowest.check_seconds, source=f"hcinterval={interval}, hcpasses={passes} of {slowest.name}")

    def persist(self, pool: str, check_mode: bool = False) -> bool:
        if self._configured().persists:
            return False
        raise Refused(
            f"Balancer {self.name}: Apache itself keeps states and weights beyond a restart with `BalancerPersist On` in its "
            "configuration; nothing can be written down for it from here."
        )

    def members(self, pool: str) -> list[Member]:
        workers = self._workers(self._page(), pool).values()
        fresh = all(worker.proves_itself for worker in workers if worker.checked)
        self.capabilities = replace(self._declared, fresh_health=self._declared.fresh_health and fresh)
        return [worker.member() for worker in workers]

    def apply(self, pool: str, changes: list[Change], distrust: bool = False) -> list[Member]:
        page = self._page()
        for name, fields in self._posts(page, pool, changes, distrust):
            page = self._set(page, pool, name, fields)
        members = self.members(pool)
        self.check_written(
            pool,
            changes,
            members,
            "Was Apache restarted meanwhile, or is there another controller? Run the task again.",
        )
        return members

    def _set(self, page: Page, pool: str, name: str, fields: dict[str, int]) -> Page:
        """Post `fields` for one member until its form shows them, twice at most.

        :return: the page as last read.
        """
        form = self._post(page, pool, name, fields)
        if _shows(form, fields):
            return page
        page = self._page()  # after a graceful restart the nonce is another
        form = self._post(page, pool, name, fields)
        if not form:
            raise Refused(
                f"Balancer {self.name}: Apache ignored what was posted for {pool}/{name}. Its error log says why; something between here "
                f"and it (it calls itself {page.server}) may drop or change the Referer."
            )
        if not _shows(form, {key: value for key, value in fields.items() if key in DISTRUST}):
            raise NotApplied(
                f"Balancer {self.name}: Apache does not hold {pool}/{name} to be down when it is told to "
                "(`w_status_C=1`). Accept the member's return without a fresh check with `health: none`."
            )
        return page  # reading back tells about the rest

    def _posts(self, page: Page, pool: str, changes: list[Change], distrust: bool) -> list[tuple[str, dict[str, int]]]:
        """What is to be posted for each member; nothing for what is so already."""
        first, posts = [], []
        for change in changes:
            worker = self._worker(page, pool, change.name)
            member, fields = worker.member(), {}
            if change.weight is not None and change.weight != member.weight:
                self._check_weight(pool, worker, len(page.pools[pool].workers))
                fields["w_lf"] = change.weight
            if change.state is not None and change.state != member.state:
                fields.update(WRITTEN_STATE[change.state])
            if distrust and not worker.proves_itself:
                raise Refused(
                    f"Balancer {self.name}: {pool}/{worker.name} has no health check with `hcpasses=2` or more, so nothing would show that "
                    "it is up again. Nothing was written."
                )
            if distrust:
                # The flag comes last in a POST: it must stand already when `disabled` ends, or bound clients slip in.
                if member.state == DISABLED:
                    first.append((change.name, DISTRUST))
                fields.update(DISTRUST)
            if fields:
                posts.append((change.name, fields))
        if posts and not page.pools[pool].nonce:
            raise Refused(
                f"Balancer {self.name}: the nonce of pool {pool} is switched off (`nonce=None`), so this balancer-manager cannot be "
                "written to: Apache ignores every write without a nonce. Remove `nonce=None` from its configuration. Nothing was written."
            )
        return first + posts

    def _check_weight(self, pool: str, worker: Worker, members: int) -> None:
        if members == 1:
            raise Refused(
                f"Balancer {self.name}: {pool}/{worker.name} is alone in its pool, and Apache makes any weight that is written to such "
                "a member 1. Nothing was written."
            )
        if worker.factor != int(worker.factor):
            raise Refused(
                f"Balancer {self.name}: {pool}/{worker.name} has `loadfactor={worker.cells['Factor']}`; weights are whole numbers here, "
                "so it could not be put back. Make it one in Apache's configuration. Nothing was written."
            )

    def _post(self, page: Page, pool: str, name: str, fields: dict[str, int]) -> dict[str, float]:
        """What the member's form, which comes back, holds; empty without a form."""
        form = {"b": pool, "w": self._worker(page, pool, name).key, "nonce": page.pools[pool].nonce, **fields}
        answer = self._ask("POST", urlencode(form), {"Content-Type": "application/x-www-form-urlencoded"})
        inputs = FORM.findall(answer.text.partition(FORMS)[2])
        return {name: float(value) for name, value, kind, checked in inputs if checked or not kind}

    def _configured(self) -> Page:
        """The page as last read: a large one takes a while, and tells the configuration no worse than a new one."""
        return self._last or self._page()

    def _page(self) -> Page:
        answer = self._ask("GET")
        try:
            page = Page(answer.text)
        except (KeyError, ValueError, OverflowError) as error:
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            stranger = self.api.stranger("GET", f"a page that cannot be read ({what}): {answer.text[:100]!r}")
            hint = "If that is your application's, Apache proxies the page to a member."
            raise Unreachable(f"{stranger.message} {hint} {self._located}") from None
        self._server, self._last = page.server, page
        return page

    def _ask(self, method: str, body: str | None = None, headers: dict[str, str] | None = None) -> Answer:
        # Without a Referer, or with one that is not Apache's own name for itself, a POST is ignored and a GET logged as an error.
        server = "[%s]" % self._server if ":" in self._server else self._server
        referer = {"Referer": "http://%s/" % server}
        answer = self.api.ask(method, "" if self.api.path else "/", body, {**referer, **(headers or {})})
        if answer.status in (401, 403):
            raise Refused(
                f"Balancer {self.name}: Apache answered {answer.status} to a {method} at {self.api.endpoint}. {self._denied(answer)}"
            )
        if answer.status != 200:
            raise Unreachable(
                f"Balancer {self.name}: Apache answered {answer.status} to a {method} at {self.api.endpoint}. {self._located}"
            )
        return answer

    def _denied(self, answer: Answer) -> str:
        """Why access was denied, and what to do, in a sentence or two."""
        if answer.status == 403:
            return "Its balancer-manager needs `Require` to allow this client, for POST too."
        asked = answer.headers.get("www-authenticate", "").partition(" ")[0]
        if asked.lower() not in ("", "basic"):
            return (
                f"It asks for {asked} authentication, which is not supported here. Set `AuthType Basic`, over TLS or on a loopback "
                "address."
            )
        if "Authorization" in self.api.headers:
            return "It refuses the `username` and `password` that were given."
        return "Its balancer-manager needs `username` and `password`, for POST too."

    @property
    def _located(self) -> str:
        """What the configuration needs for the page to be at the URL."""
        path = self.api.path or "/"
        return (
            f'`SetHandler balancer-manager` has to be at {path}, and `ProxyPass "{path}" "!"` before each `ProxyPass` of a path that '
            "this one is below: the first that fits counts."
        )

    def _workers(self, page: Page, pool: str) -> dict[str, Worker]:
        if pool not in page.pools:
            raise InvalidInput(
                f"Balancer {self.name} has no pool {pool!r}. Apache's balancers are: {', '.join(page.pools) or 'none'}. "
                "Nothing was touched."
            )
        return page.pools[pool].named

    def _worker(self, page: Page, pool: str, name: str) -> Worker:
        workers = self._workers(page, pool)
        if name not in workers:
            raise NotApplied(
                f"Balancer {self.name}: pool {pool} no longer has {name}. Was its configuration changed meanwhile? Run the task again."
            )
        return workers[name]


def _shows(form: dict[str, float], fields: dict[str, int]) -> bool:
    return bool(form) and all(form.get(key) == value for key, value in fields.items())
