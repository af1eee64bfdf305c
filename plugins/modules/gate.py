#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: gate
short_description: Look at what must be open before a rollout goes on
version_added: 0.1.0
author:
  - The zero_downtime.deploy authors (@zero-downtime)
description:
  - A gate is a freeze window, a URL that must answer 2xx, or a person's approval. The way is open when all gates of a point are.
  - Freezes are looked at first, then approvals, then URLs, up to the first that is not open.
  - The strategies of this collection look at C(rollout_gates) by themselves. The module is for other playbooks, and for hooks.
options:
  gates:
    description: The gates. Each is exactly one of O(gates[].freeze), O(gates[].approval) and O(gates[].url).
    type: list
    elements: dict
    required: true
    suboptions:
      before:
        description:
          - The point of a rollout before which the gate stands.
          - V(rollout) is before anything is touched, V(batch) before each batch of hosts, V(step) before each step of a canary,
            V(switch) before the switch of blue-green, V(promotion) before a canary goes to the rest or the old colour ends.
        type: str
        choices: [rollout, batch, step, switch, promotion]
      number:
        description: The batch or step before which alone it stands, counted from 1 over all runs of the rollout.
        type: int
      wait:
        description:
          - For how many seconds a closed gate is waited for. Makes no sense for an approval.
          - A freeze that ends later than that is not waited for at all. In check mode nothing is.
        type: float
        default: 0.0
      freeze:
        description:
          - Times in which nothing may begin, as the clocks of O(gates[].freeze.timezone) show them. All that is given counts.
          - A time that a change of the clocks skips or repeats counts on the side of the freeze.
        type: dict
        suboptions:
          days:
            description:
              - Days of the week. On each of them the freeze begins at O(gates[].freeze.from) and ends at O(gates[].freeze.to),
                on the next day when that is no later.
              - Without days, O(gates[].freeze.from) and O(gates[].freeze.to) hold on every day.
            type: list
            elements: str
            choices: [mon, tue, wed, thu, fri, sat, sun]
          from:
            description:
              - When it begins, as C("16:00"), in quotes. Without it, at midnight.
              - With a day, as C("fri 16:00"), it begins once a week, and O(gates[].freeze.to) has a day too.
            type: str
          to:
            description: When it ends, as C("08:00") or C("mon 08:00"). Without it, at the end of the day, C("24:00").
            type: str
          dates:
            description:
              - Days of the calendar, as C(2026-12-24), from one to the other as C(2026-12-24/2026-12-27), the last included.
              - Each may have a time, as C("2026-12-24 12:00/2027-01-02 08:00").
            type: list
            elements: str
          timezone:
            description:
              - The name of a time zone, as V(Europe/Berlin). Every controller must know it, by the system's C(tzdata) or the Python
                package of that name. V(UTC) is always known.
            type: str
            default: UTC
      approval:
        description: What a person is to approve. It is open when O(approvals) has the point.
        type: str
      url:
        description:
          - An C(http://) or C(https://) URL. An answer of 2xx opens. Any other answer, a redirect, or none is closed.
          - Proxies of the environment are not used. A user, a password and the query in it are masked wherever it is quoted.
        type: str
      timeout:
        description: Seconds that one request to O(gates[].url) may take as a whole.
        type: float
        default: 5.0
      interval:
        description: Seconds between two requests, as long as O(gates[].wait) lasts.
        type: float
        default: 5.0
      headers:
        description: Headers to send to O(gates[].url), name to value. The values are treated as secret.
        type: dict
      validate_certs:
        description: Whether the certificate of an C(https) URL must be valid and trusted.
        type: bool
        default: true
      ca_path:
        description: A file or directory of certificates (PEM) to trust instead of the system's, where the task runs.
        type: path
      client_cert:
        description: A client certificate (PEM) to present. It may hold the key too.
        type: path
      client_key:
        description: The key of O(gates[].client_cert), without passphrase.
        type: path
  point:
    description: The point at which the gates are looked at. Without it all of them are, whatever they stand before.
    type: str
    choices: [rollout, batch, step, switch, promotion]
  number:
    description: Which batch or step it is, from 1.
    type: int
  frozen:
    description:
      - Whether a freeze that stands before V(rollout) is looked at again before later points.
      - V(finish) does not, as what has begun is to end. V(halt) does, without waiting. V(wait) does, and waits as O(gates[].wait) says.
    type: str
    choices: [finish, halt, wait]
    default: finish
  approvals:
    description: What has been approved. In a rollout this is what the journal says.
    type: list
    elements: dict
    default: []
    suboptions:
      point:
        description: The point that was approved.
        type: str
        choices: [rollout, batch, step, switch, promotion]
      number:
        description: Which batch or step.
        type: int
  on_failure:
    description:
      - V(fail) fails the task when the way is not open.
      - V(report) does not. Look at RV(state).
    type: str
    choices: [fail, report]
    default: fail
extends_documentation_fragment:
  - zero_downtime.deploy.attributes
attributes:
  check_mode:
    description: It only looks, so it looks in check mode too, once and without waiting.
    support: full
  diff_mode:
    description: It changes nothing, so there is no difference to show.
    support: none
notes:
  - The clock is that of the machine on which the task runs, normally the controller's.
  - A freeze in another time zone than V(UTC) needs Python 3.9 or later there.
seealso:
  - module: zero_downtime.deploy.rollout
  - module: zero_downtime.deploy.health_check
"""

EXAMPLES = r"""
- name: Not at weekends, not at Christmas, and only when the office agrees
  zero_downtime.deploy.gate:
    gates:
      - freeze: {from: "fri 16:00", to: "mon 08:00", timezone: Europe/Berlin}
      - freeze: {dates: [2026-12-24/2026-12-27], timezone: Europe/Berlin}
      - url: https://deploy.example.com/may-i
        headers: {Authorization: "Bearer {{ deploy_token }}"}
        wait: 600
  delegate_to: localhost
  run_once: true

- name: See whether a nightly job is at work
  zero_downtime.deploy.gate:
    gates:
      - freeze: {days: [mon, tue, wed, thu, fri], from: "22:00", to: "04:30"}
    on_failure: report
  delegate_to: localhost
  run_once: true
  register: night
"""

RETURN = r"""
state:
  description:
    - V(open) when all gates are. V(waiting) when a person's approval is missing, V(closed) when a freeze holds or a URL does not
      answer 2xx.
  returned: when the options make sense
  type: str
  sample: closed
why:
  description: Why the way is not open, in a clause. Empty when it is.
  returned: when the options make sense
  type: str
  sample: frozen until Mon 2026-11-23 08:00 (Europe/Berlin)
opens:
  description: When the freeze ends, UTC. None when no freeze holds, or when it has no end in sight.
  returned: when the options make sense
  type: str
  sample: "2026-11-23T07:00:00Z"
gates:
  description: The gates that were looked at, in that order, up to the first that was not open.
  returned: when the options make sense
  type: list
  elements: dict
  contains:
    gate: {description: "V(freeze), V(approval) or V(url).", type: str, sample: freeze}
    before: {description: The point before which it stands., type: str, sample: rollout}
    state: {description: How it was found., type: str, sample: closed}
    why: {description: What was found., type: str, sample: frozen until Mon 2026-11-23 08:00 (Europe/Berlin)}
waited:
  description: Seconds that it took.
  returned: when the options make sense
  type: float
  sample: 0.012
"""

import copy

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.zero_downtime.deploy.plugins.module_utils._doors import serve
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.redaction import MASK, mask_url
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.pass_gates import ARGUMENT_SPEC, run


def hide_requests(module: AnsibleModule) -> None:
    """Take the secrets out of the options that the result shows; what the use case quotes it masks itself.

    Ansible would censor whatever in the result looks like the value of a header, numbers too.
    """
    for gate in module.params["gates"]:
        if gate["headers"]:
            gate["headers"] = {name: MASK for name in gate["headers"]}
        if gate["url"]:
            gate["url"] = mask_url(gate["url"])
    module.no_log_values.clear()


def main() -> None:
    """Wire the options to the use case."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    params = copy.deepcopy(module.params)
    hide_requests(module)
    serve(module, lambda _shown, check_mode, clock: run(params, check_mode, clock))


if __name__ == "__main__":
    main()
