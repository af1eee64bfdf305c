# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is said of a rollout, and to whom in which words.  Pure.

A record holds words that are not ours: a host's error message may contain ``<!channel>``, quotes or control characters.  They are
escaped for whoever reads them, in one place for each reader.
"""

from __future__ import annotations

import html
from string import Template
from typing import Any, Dict, List, Mapping, Optional

from .durations import told
from .errors import InvalidInput
from .history import ROLLBACK as UNDO
from .rollout_metrics import BEGIN, FAILURE, FINISH, PAUSED, ROLLBACK, STATES, finite
from .sentences import failures_sentence

LONGEST = 3000  # characters of a text: more than anybody reads in a channel
NAMES = ("event", "text", "service", "version", "strategy", "id", "outcome", "requests", "failed", "duration")
"""What a user's own text may refer to, as ``$service``."""


def sentences(event: str, record: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """What has happened, as plain text of one or a few lines.

    :param labels: of the user; they say which of several environments it is.
    """
    asked_for = record.get("strategy") == UNDO
    name = ("Rollback of %s from %s" if asked_for else "Rollout of %s to %s") % (
        record.get("service") or "?",
        record.get("version") or "?",
    )
    failures = record.get("failures") if isinstance(record.get("failures"), dict) else {}
    why = failures_sentence(failures or {})
    lines: List[str] = []
    if event == BEGIN:
        lines.append(
            "%s has begun%s." % (name, ", %s" % record["strategy"] if record.get("strategy") and not asked_for else "")
        )
    elif event == FAILURE:
        lines.append("%s is failing%s" % (name, ": %s" % why if why else "."))
    elif event == ROLLBACK:
        earlier = record.get("from_versions")
        back = " to %s" % ", ".join(str(one) for one in earlier) if isinstance(earlier, list) and earlier else ""
        lines.append("%s is being undone%s%s" % (name, back, ": %s" % why if why else "."))
    else:
        said = record.get("lines")
        ended = [str(line) for line in said] if isinstance(said, list) else []
        lines += ended or ["%s: %s." % (name, str(record.get("outcome") or "it has ended").replace("_", " "))]
        lines += _figures(record)
    if labels:
        lines[0] = "[%s] %s" % (", ".join("%s=%s" % pair for pair in labels.items()), lines[0])
    return shortened("\n".join(lines))


def shortened(text: str) -> str:
    """`text` without control characters, and not longer than anybody reads."""
    clean = "".join(char if char.isprintable() or char == "\n" else "?" for char in text)
    return clean if len(clean) <= LONGEST else clean[:LONGEST] + " ..."


def values(event: str, record: Mapping[str, Any], text: str) -> Dict[str, str]:
    """What the names of a user's own text stand for; empty where it is not known."""
    felt = record.get("felt") if isinstance(record.get("felt"), dict) else {}
    duration = _between(record.get("began"), record.get("ended"))
    found = {key: str(record.get(key) or "") for key in ("service", "version", "strategy", "id")}
    found.update(
        event=event,
        text=text,
        outcome=str(record.get("outcome") or "") if event == FINISH else STATES[event],
        requests=_count(felt, "requests"),
        failed=_count(felt, "failed"),
        duration="" if duration is None else told(round(duration)),
    )
    return {key: shortened(value) for key, value in found.items()}


def check_template(template: str) -> None:
    """Nothing, when a user's own text can be filled in.

    :raises InvalidInput: it refers to something that is not there.
    """
    try:
        Template(template).substitute(dict.fromkeys(NAMES, ""))
    except KeyError as error:
        raise InvalidInput(
            "`text` refers to $%s; there is %s." % (error.args[0], ", ".join("$" + name for name in NAMES))
        ) from None
    except ValueError:
        raise InvalidInput("`text` has a $ that stands before no name; a dollar sign is written $$.") from None


def filled(template: str, found: Mapping[str, str], escape: Any = None) -> str:
    """A user's own text with its values, which are escaped; what the user wrote is not, it may mention a channel on purpose."""
    known = {key: escape(value) if escape else value for key, value in found.items()}
    return Template(template).safe_substitute(known)


def for_slack(text: str) -> str:
    """`text` as Slack shows it and nothing more: no mention, no link.  https://docs.slack.dev/messaging/formatting-message-text"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def for_grafana(text: str) -> str:
    """`text` as Grafana shows it: an annotation's text is HTML."""
    return html.escape(text).replace("\n", "<br>")


def document(event: str, record: Mapping[str, Any], text: str, labels: Mapping[str, str]) -> Dict[str, Any]:
    """The JSON of a webhook: what is known of the rollout, without what is large or nobody else's business.

    Every key is always there.
    """
    felt = record.get("felt") if isinstance(record.get("felt"), dict) else None
    kept = (
        "began",
        "ended",
        "requests",
        "failed",
        "outcomes",
        "latency",
        "first_failure",
        "last_failure",
        "disturbance",
    )
    return {
        "schema": 1,
        "event": event,
        "text": text,
        "labels": dict(labels),
        **{key: record.get(key) for key in ("service", "id", "version", "from_versions", "strategy")},
        "outcome": record.get("outcome") if event == FINISH else STATES[event],
        **{key: record.get(key) for key in ("began", "ended", "decided", "undone")},
        "failures": record.get("failures") or {},
        "felt": None if felt is None else {key: felt.get(key) for key in kept},
    }


def annotation(
    event: str, record: Mapping[str, Any], text: str, labels: Mapping[str, str], now: float, dashboard: Optional[str]
) -> Dict[str, Any]:
    """The JSON of a Grafana annotation: a region from begin to end for one that has ended, else a point.

    https://grafana.com/docs/grafana/latest/developers/http_api/annotations/

    :param now: when it happened, where the record does not say it.
    :param dashboard: the uid of the one dashboard that is to show it; None for all that ask for its tags.
    """
    moment = {BEGIN: "began", ROLLBACK: "decided"}.get(event)
    began, ended = finite(record.get("began")), finite(record.get("ended"))
    time = finite(record.get(moment)) if moment else None
    end = None
    if event == FINISH:
        end = now if ended is None else ended
        time = end if began is None else min(began, end)
    outcome = str(record.get("outcome") or "unknown") if event == FINISH else STATES[event]
    # A pause ends nothing: the same rollout will tell its whole length later.
    if outcome == PAUSED:
        time, end = now if ended is None else ended, None
    tags = ["zero_downtime", event, "service:%s" % (record.get("service") or ""), "outcome:%s" % outcome]
    found: Dict[str, Any] = {
        "time": _milliseconds(now if time is None else time),
        "tags": [shortened(tag) for tag in tags + ["%s:%s" % pair for pair in labels.items()]],
        "text": for_grafana(text),
    }
    if end is not None:
        found["timeEnd"] = _milliseconds(end)
    if dashboard:
        found["dashboardUID"] = dashboard
    return found


def _figures(record: Mapping[str, Any]) -> List[str]:
    """What users felt, and how long it took."""
    if record.get("outcome") in ("nothing_to_do", PAUSED):
        return []
    parts = []
    duration = _between(record.get("began"), record.get("ended"))
    if duration is not None:
        parts.append("It took %s." % told(round(duration)))
    felt = record.get("felt") if isinstance(record.get("felt"), dict) else {}
    requests, failed = finite(felt.get("requests")), finite(felt.get("failed"))
    if not requests or failed is None:
        parts.append("No probe watched: what users felt is not known.")
    elif not failed:
        parts.append("None of %d requests failed." % requests)
    else:
        disturbed = finite(felt.get("disturbance"))
        over = " within %s" % told(round(disturbed, 1)) if disturbed else ""
        parts.append("%d of %d requests failed%s." % (failed, requests, over))
    back = _between(record.get("decided"), record.get("undone"))
    if back is not None:
        parts.append("It was back %s after the decision." % told(round(back, 1)))
    return [" ".join(parts)]


def _between(begin: Any, end: Any) -> Optional[float]:
    first, last = finite(begin), finite(end)
    return None if first is None or last is None or last < first else last - first


def _count(felt: Any, key: str) -> str:
    value = finite((felt or {}).get(key))
    return "" if value is None else "%d" % value


def _milliseconds(seconds: float) -> int:
    return int(round(seconds * 1000))
