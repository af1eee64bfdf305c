# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions to an etcd: its v3 API as JSON over HTTP, at the first of its members that answers.

Every request is bounded in time by itself.
"""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Optional

from .._balancers.http_api import Answer, HttpApi
from .._domain.errors import DeployError, InvalidInput, Refused, Unreachable

TITLE = "etcd"

# Status 503 and 504 of the gateway: this member has no leader, is being stopped, or waited for the others in vain.
_OUT_OF_ORDER = (500, 502, 503, 504)
# A token that is no longer good: it has expired, or users and roles were changed since.
_STALE = ("invalid auth token", "revision of auth store is old")


class Compacted(Exception):
    """The state that was asked for is too old for etcd to know."""


class Unanswered(Unreachable):
    """No member has answered; whether one has done what it was asked is not known."""


class Etcd:
    """One etcd, with the endpoints and credentials of a user.

    :param options: as `etcd_options` declares them.
    :raises InvalidInput: they make no sense.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        if not options["urls"]:
            raise InvalidInput("The option etcd.urls is empty: expected at least one URL of an etcd. Nothing was touched.")
        if options["timeout"] <= 0:
            raise InvalidInput("The option etcd.timeout is %g; it must be above 0. Nothing was touched." % options["timeout"])
        if (options["username"] is None) != (options["password"] is None):
            raise InvalidInput("Of etcd.username and etcd.password one is missing: expected both or neither. Nothing was touched.")
        if options["client_key"] and not options["client_cert"]:
            raise InvalidInput("The option etcd.client_key needs etcd.client_cert beside it. Nothing was touched.")
        self.user: Optional[str] = options["username"]
        self.prefix: str = options["prefix"].rstrip("/")
        self._password: Optional[str] = options["password"]
        self._token: Optional[str] = None
        self._members = [
            HttpApi(
                TITLE,
                options["timeout"],
                url=url,
                verify=options["validate_certs"],
                ca=options["ca_path"],
                client_cert=options["client_cert"],
                client_key=options["client_key"],
            )
            for url in options["urls"]
        ]

    @property
    def where(self) -> str:
        """The member that is asked first, for messages."""
        return self._members[0].endpoint

    def ask(self, what: str, body: Dict[str, Any]) -> Dict[str, Any]:
        """Its answer to the request `what`, such as ``kv/range``.

        :raises Unanswered: no member has answered as one should.
        :raises Refused: it does not let this user do that.
        :raises Compacted: see there.
        :raises DeployError: it says no for another reason.
        """
        if self.user is not None and self._token is None:
            self._log_in()
        answer = self._ask(what, body)
        if answer.status != 200 and self._token is not None and any(words in _said(answer) for words in _STALE):
            self._log_in()
            answer = self._ask(what, body)
        return self._good(answer, what)

    def _log_in(self) -> None:
        answer = self._good(self._ask("auth/authenticate", {"name": self.user, "password": self._password}, False), "auth/authenticate")
        self._token = str(answer["token"])

    def _ask(self, what: str, body: Dict[str, Any], authorized: bool = True) -> Answer:
        headers = {"Authorization": self._token} if authorized and self._token else {}
        failures: List[str] = []
        for member in list(self._members):
            try:
                answer = member.ask("POST", "/v3/" + what, json.dumps(body), headers)
                if answer.status not in _OUT_OF_ORDER:
                    return answer
                failures.append("%s at %s: it is out of order (%s)." % (TITLE, member.endpoint, _said(answer)))
            except Unreachable as error:
                failures.append(error.message)
            # Whoever answers is asked first from here on: a member that hangs costs its time once.
            self._members.append(self._members.pop(0))
        raise Unanswered(" ".join(failures))

    def _good(self, answer: Answer, what: str) -> Dict[str, Any]:
        if answer.status == 200:
            try:
                data = answer.json()
            except ValueError:
                data = None
            if isinstance(data, dict) and "error" not in data:
                return data
        said = _said(answer)
        if "required revision has been compacted" in said:
            raise Compacted()
        raise self._refusal(said) or self._members[0].stranger("POST /v3/" + what, "%d %s" % (answer.status, said))

    def _refusal(self, said: str) -> Optional[DeployError]:
        whose = "etcd at %s" % self.where
        if "authentication failed" in said:
            return Refused(
                "%s does not let user %s in: the user is not known or the password is wrong. Nothing was changed. Look at username and "
                "password." % (whose, self.user)
            )
        if "authentication is not enabled" in said:
            return Refused(
                "%s knows no users: authentication is not enabled there. Nothing was changed. Enable it, or leave out username and "
                "password." % whose
            )
        if "user name is empty" in said:
            return Refused("%s asks who this is. Nothing was changed. Give username and password." % whose)
        if "CommonName of client" in said:
            return Refused(
                "%s has users, and its JSON gateway then takes no client certificate with a common name (CN). Nothing was changed. Present "
                "one without (client_cert)." % whose
            )
        if "permission denied" in said:
            return Refused(
                "%s does not let user %s read and write the keys below %s/. Nothing was changed. Grant it to a role of that user: "
                "etcdctl role grant-permission ROLE readwrite --prefix=true %s/" % (whose, self.user, self.prefix, self.prefix)
            )
        if "request is too large" in said or "message larger than max" in said:
            return DeployError(
                "%s takes no request as large as this one; its limit is its option --max-request-bytes, 1.5 MiB by default. Nothing was "
                "changed. Put less into the journal (details of events, the summary), or raise the limit." % whose
            )
        if "database space exceeded" in said:
            return DeployError(
                "%s is full and takes no more writes. Nothing was changed. Make room (etcdctl compact, defrag, then alarm disarm), let it "
                "compact by itself (--auto-compaction-retention), and try again." % whose
            )
        if said.startswith("etcdserver: "):
            return DeployError("%s refuses: %s. Nothing was changed." % (whose, said[len("etcdserver: "):]))
        return None


def _said(answer: Answer) -> str:
    """Its error in its own words; empty when there is none."""
    try:
        data = answer.json()
    except ValueError:
        return answer.text.strip()
    error = data.get("error") if isinstance(data, dict) else None
    # A stream tells its errors as objects.
    return str(error.get("message") if isinstance(error, dict) else error or "")
