# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The steps of a canary: who is in it, who is compared with it, what share each gets, and what follows a verdict.  Pure.

A canary is a rolling rollout whose first batches are watched: each step may bring more hosts to the release, gives them a
share of the traffic, and lets a judge compare them with *baseline* hosts, as many hosts on the old release that take the same
share at the same time.  Only when every step has passed do the remaining hosts follow, as any rolling rollout has them.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from .durations import seconds
from .errors import InvalidInput

KEYS = ("hosts", "traffic", "watch", "pause")

PASS, FAIL, INCONCLUSIVE = "pass", "fail", "inconclusive"
GO_ON, UNDO, ASK, WAIT = "go_on", "undo", "ask", "wait"
AFTER_INCONCLUSIVE = (WAIT, ASK, UNDO)


@dataclass(frozen=True)
class Step:
    """One step of a canary.

    :param hosts: in the canary from this step on, counted from the first.
    :param traffic: the canary's share of the pool's traffic in percent; None for what its hosts get by their own weights.
    :param watch: seconds for which the judge watches.
    :param pause: seconds that pass before the watch, unjudged: caches fill, sessions arrive.
    """

    hosts: int
    traffic: float | None
    watch: float
    pause: float

    def describe(self) -> str:
        """The step in a few words."""
        traffic = "their own share" if self.traffic is None else f"{self.traffic:g} %"
        return f"{self.hosts} host{'s' if self.hosts > 1 else ''} at {traffic} of the traffic"


def steps(asked: Any, total: int) -> list[Step]:
    """What `canary_steps` means for `total` hosts.

    :param asked: a list of ``{traffic: 5, watch: 2m}``, ``{hosts: 50%, watch: 5m}``; ``hosts`` is a count or a share of all
        hosts (rounded down, at least one) and stays what it was where it is not said; the first step has one host.
    :raises InvalidInput: for what cannot be meant, all of it in one message.
    """
    if not isinstance(asked, list) or not asked:
        raise InvalidInput("canary_steps is empty: name at least one step, such as {traffic: 5, watch: 2m}.")
    found: list[Step] = []
    problems: list[str] = []
    for number, one in enumerate(asked, 1):
        try:
            found.append(_step(one, f"canary_steps[{number - 1}]", found[-1].hosts if found else 1, total))
        except InvalidInput as error:
            problems.append(error.message)
    if problems:
        raise InvalidInput(" ".join(problems))
    return found


def _step(asked: Any, where: str, hosts: int, total: int) -> Step:
    if not isinstance(asked, dict) or not asked or not {*asked} <= {*KEYS}:
        raise InvalidInput(f"{where} is {asked!r}; a step has some of {', '.join(KEYS)}.")
    wanted = _count(asked["hosts"], f"{where}.hosts", total) if asked.get("hosts") is not None else hosts
    if wanted < hosts:
        raise InvalidInput(f"{where} has {wanted} hosts, fewer than the step before it ({hosts}): a canary only grows.")
    if wanted >= total:
        raise InvalidInput(
            f"{where} has all {total} hosts in the canary, so none would be left to compare them with. Take fewer, or roll out "
            "with the playbook rolling."
        )
    traffic = None if asked.get("traffic") is None else _percent(asked["traffic"], f"{where}.traffic")
    return Step(wanted, traffic, seconds(asked.get("watch", 0), f"{where}.watch"), seconds(asked.get("pause", 0), f"{where}.pause"))


def _count(asked: Any, where: str, total: int) -> int:
    match = re.fullmatch(r"\s*(\d+)\s*(%?)\s*", str(asked))
    number = int(match.group(1)) if match else 0
    if not match or number == 0 or (match.group(2) and number > 100):
        raise InvalidInput(f"{where} is a count such as 2 or a share such as '25%', not {asked!r}.")
    return max(1, total * number // 100) if match.group(2) else number


def _percent(asked: Any, where: str) -> float:
    try:
        number = float(str(asked).strip().rstrip("%"))
    except ValueError:
        number = 0.0
    # The baseline takes as much as the canary, and somebody serves the rest.
    if not 0 < number <= 50:
        raise InvalidInput(
            f"{where} is a share of the traffic above 0 and up to 50 percent, because the baseline gets as much; not {asked!r}."
        )
    return number


def parts(order: list[str], steps_: list[Step]) -> list[dict[str, Any]]:
    """Who is in the canary and in the baseline at each step, and what share each of three groups gets.

    :param order: all hosts of the rollout, in the order in which they get the release.
    :return: one for each step: ``canary``, ``baseline`` and ``rest`` (hosts), ``shares`` by those names (percents that sum to
        100, or None where everybody keeps its own weight), ``text``, and the step's own values.
    """
    result = []
    for step in steps_:
        canary, others = order[: step.hosts], order[step.hosts :]
        # From the end of the order: they are the last to change, so that the next steps compare with the same hosts. Where the
        # two take all of the traffic, nobody is left over.
        all_of_it = step.traffic is not None and step.traffic * min(len(others), step.hosts) / step.hosts >= 100 - step.traffic
        baseline = others if all_of_it else others[-step.hosts :]
        rest = [] if all_of_it else others[: -step.hosts]
        result.append(
            {
                "canary": canary,
                "baseline": baseline,
                "rest": rest,
                "shares": None if step.traffic is None else _shares(step, len(baseline), len(rest)),
                "text": step.describe(),
                **asdict(step),
            }
        )
    return result


def _shares(step: Step, baseline: int, rest: int) -> dict[str, float]:
    """Shares in percent.  Each host of the baseline takes as much as each of the canary; where nobody else is, it takes all."""
    traffic = step.traffic or 0.0
    alike = traffic * baseline / step.hosts
    if not rest:
        return {"canary": traffic, "baseline": 100 - traffic}
    return {"canary": traffic, "baseline": alike, "rest": 100 - traffic - alike}


def groups(order: list[str], steps_: list[Step]) -> list[list[str]]:
    """The batches of hosts that steps begin with: for each step its new hosts, where it has any."""
    result: list[list[str]] = []
    reached = 0
    for step in steps_:
        if step.hosts > reached:
            result.append(order[reached : step.hosts])
            reached = step.hosts
    return result


def steps_of_group(steps_: list[Step]) -> list[list[int]]:
    """The numbers of the steps that each batch of :func:`groups` stands for: its own, and those that add no host."""
    result: list[list[int]] = []
    reached = 0
    for number, step in enumerate(steps_):
        if step.hosts > reached:
            result.append([])
            reached = step.hosts
        result[-1].append(number)
    return result


def decision(verdict: str, sentence: str, policy: str, waited: float, longest: float) -> dict[str, str]:
    """What follows a verdict.

    A failure is undone.  Only a pass goes on.  Where the judge cannot tell, the policy says what is done, and nothing that it
    says is to go on: waiting ends by asking a person.

    :param verdict: ``pass``, ``fail`` or ``inconclusive``; anything else counts as inconclusive.
    :param policy: ``wait``, ``ask`` or ``undo``: what is done when the judge cannot tell.
    :param waited: seconds of watching in this step so far.
    :param longest: seconds of watching after which waiting ends.
    :return: ``action`` (``go_on``, ``undo``, ``ask`` or ``wait``) and ``why``.
    """
    if verdict == PASS:
        return {"action": GO_ON, "why": sentence}
    if verdict == FAIL:
        return {"action": UNDO, "why": sentence}
    if policy == UNDO:
        return {"action": UNDO, "why": f"{sentence} That is undone, because canary_inconclusive is undo."}
    if policy == WAIT and waited < longest:
        return {"action": WAIT, "why": sentence}
    return {"action": ASK, "why": sentence}
