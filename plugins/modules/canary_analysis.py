#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: canary_analysis
short_description: Compare a canary with members that take the same share of the traffic
version_added: 0.1.0
author:
  - The zero_downtime.deploy authors (@zero-downtime)
description:
  - Watches a canary and a baseline side by side, in several looks, and says V(pass), V(fail) or V(inconclusive), with the figures
    and a sentence for each metric.
  - The baseline is members of the old release that take the same share of the traffic at the same time. What was before is no
    baseline.
  - A fail ends the watch at once. A pass is said at its end alone, when there was enough to see on both sides. Anything else is
    inconclusive, absent data above all.
  - However often it looks, and by however many metrics, a canary that is no worse than allowed is failed with the chance
    O(false_alarms) at most.
extends_documentation_fragment:
  - zero_downtime.deploy.attributes
  - zero_downtime.deploy.balancers
attributes:
  check_mode:
    description: It only looks, so it looks in check mode too. Commands of metrics are run.
    support: full
  diff_mode:
    description: It changes nothing, so there is no difference to show.
    support: none
requirements:
  - SciPy 1.7 or later where it runs
options:
  groups:
    description: Who is compared.
    type: dict
    required: true
    suboptions:
      canary:
        description: The members with the new release, by the names that the pool, or the metrics' sources, have for them.
        type: list
        elements: str
        required: true
      baseline:
        description: Members with the old release that take the same share of the traffic.
        type: list
        elements: str
        required: true
  metrics:
    description:
      - What is compared, 1 to 12 metrics. Each takes its part of O(false_alarms), so that few metrics see more than many.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: What the metric is called in results.
        type: str
        required: true
      kind:
        description:
          - V(errors) compares how many requests failed, by an exact test of the odds of failing.
          - V(samples) compares values such as latencies, 0 or more each, by their ranks.
        type: str
        choices: [errors, samples]
        required: true
      source:
        description: Where the figures come from. Exactly one.
        type: dict
        required: true
        suboptions:
          balancers:
            description:
              - The balancers' own counters by member, for O(metrics[].kind=errors). Needs O(balancers), O(pool) and a O(watch).
            type: bool
          prometheus:
            description:
              - Queries to Prometheus. In a query C($members) stands for a group's members as a regular expression in parentheses,
                C(instance=~"$members:9100"), and C($group) for V(canary) or V(baseline).
            type: dict
            suboptions:
              url:
                description: Of the server, without C(/api).
                type: str
                required: true
              query:
                description: For O(metrics[].kind=samples). Each series that it returns gives one value.
                type: str
              requests:
                description:
                  - For O(metrics[].kind=errors). A counter of requests as it is, without C(rate) or C(increase). What each series
                    grows by is added up, restarts included.
                  - Without a O(watch) it is the number itself, such as an C(increase).
                type: str
              errors:
                description:
                  - Likewise of failed requests. A series that turns up while we watch has begun at 0.
                type: str
              every:
                description:
                  - Seconds between two values of a series. Values that share data would pass for more evidence than they are.
                  - Defaults to O(interval), or to the longest range in the query, such as C([1m]), where that is longer.
                  - Must not be shorter than the interval at which Prometheus scrapes.
                type: float
              username:
                description: Name for basic authentication.
                type: str
              password:
                description: Password for basic authentication.
                type: str
              token:
                description: Bearer token.
                type: str
              validate_certs:
                description: Whether the certificate must be trusted.
                type: bool
                default: true
              ca_path:
                description: A file of certificates to trust instead of the system's.
                type: path
              timeout:
                description: Seconds that one query may take.
                type: float
                default: 5.0
          command:
            description:
              - A program with its arguments, without a shell. It runs for each group at each look, both at once, and may take one
                O(interval).
              - On its standard input it gets JSON with C(group), C(members) and C(elapsed), the seconds since the watch began.
              - 'For O(metrics[].kind=errors) it prints C({"requests": 5120, "errors": 3}), totals that go on growing. Only what they grow
                by counts.'
              - 'For O(metrics[].kind=samples) it prints C({"samples": [0.12, 0.31]}), those that are new since it was asked before.'
            type: list
            elements: str
          file:
            description:
              - A file of JSON with C(canary) and C(baseline), each the figures of a group as O(metrics[].source.command) prints them,
                or a list of samples.
              - Or lines of JSON, each with C(group) and either C(requests) and C(errors), which are added up, or C(value), or C(samples).
                Lines may be appended while we watch.
              - All that is in it counts, from its beginning.
            type: path
      allowed_increase:
        description:
          - The change for the worse that is allowed, as a share such as V(25%) or V(0.25). Nobody else can know it, so it has no default.
          - Of errors it is how much higher the odds of failing may be, which for rates up to some percents is the rate.
          - Of samples it is how much higher values may be, or lower with O(metrics[].direction=down).
        type: str
        required: true
      tolerated:
        description:
          - What nobody minds, whatever the baseline does. The canary fails only when it is shown to be beyond that too.
          - Of errors a rate, such as V(0.001), with the default V(0). Of samples a value, with no default. Half of the canary's values
            may be beyond it.
        type: float
      critical:
        description:
          - Whether this metric alone can fail the canary.
          - Metrics that are not critical fail it when more than half of them fail.
        type: bool
        default: true
      minimum:
        description:
          - How many requests or samples there must be on each side for a pass.
          - Defaults to V(200) requests and V(20) samples. At least V(8) samples.
        type: int
      direction:
        description: What is worse, for O(metrics[].kind=samples).
        type: str
        choices: [up, down, either]
        default: up
  watch:
    description:
      - Seconds to watch.
      - V(0) is one look at what is there, for figures that belong to the canary alone.
    type: float
    default: 120.0
  interval:
    description: Seconds between looks.
    type: float
    default: 5.0
  false_alarms:
    description:
      - The chance of failing a canary that is no worse than allowed, over all metrics and looks of this task.
      - A canary of several steps divides it among them.
    type: float
    default: 0.02
  on_no_data:
    description:
      - What a metric is at the end that has no data at all on a side, or whose source does not answer. It is never a pass.
      - The last look is repeated twice, O(interval) apart, for sources that do not answer.
    type: str
    choices: [inconclusive, fail]
    default: inconclusive
  on_failure:
    description:
      - V(fail) fails the task when the verdict is anything but V(pass), so that no task after it takes an inconclusive one for a pass.
      - V(report) does not. Look at RV(verdict).
    type: str
    choices: [fail, report]
    default: fail
  balancers:
    description:
      - The balancers in front of the service. Needed where they are the source of a metric.
      - A canary that one of them finds down, and a member of the baseline up, fails by that.
    required: false
  pool:
    description: The pool, likewise.
    required: false
notes:
  - It runs in the controller's process where the task's host is the controller (C(delegate_to) localhost).
  - SciPy is needed for this module alone, and the collection does not require it.
seealso:
  - module: zero_downtime.deploy.pool_info
"""

EXAMPLES = r"""
- name: Watch the canary for two minutes by the balancers' counters
  zero_downtime.deploy.canary_analysis:
    groups:
      canary: [app1]
      baseline: [app2]
    metrics:
      - name: errors
        kind: errors
        source: {balancers: true}
        allowed_increase: 25%
        tolerated: 0.001
    balancers:
      - {host: lb1, provider: haproxy, socket: /run/haproxy/admin.sock}
      - {host: lb2, provider: haproxy, socket: /run/haproxy/admin.sock}
    pool: shop
  delegate_to: localhost
  run_once: true

- name: By what Prometheus knows, and decide later
  zero_downtime.deploy.canary_analysis:
    groups:
      canary: [app1, app2]
      baseline: [app3, app4]
    metrics:
      - name: errors
        kind: errors
        source:
          prometheus:
            url: https://prometheus.example.org
            token: "{{ prometheus_token }}"
            requests: sum by (instance) (http_requests_total{instance=~"$members:9100"})
            errors: http_requests_total{instance=~"$members:9100", code=~"5.."}
        allowed_increase: 25%
      - name: latency
        kind: samples
        source:
          prometheus:
            url: https://prometheus.example.org
            token: "{{ prometheus_token }}"
            query: >-
              histogram_quantile(0.9, sum by (instance, le) (rate(http_duration_seconds_bucket{instance=~"$members:9100"}[30s])))
        allowed_increase: 20%
        tolerated: 0.05
    watch: 600
    on_failure: report
  delegate_to: localhost
  run_once: true
  register: analysis

- name: Compare what a load test has left
  zero_downtime.deploy.canary_analysis:
    groups: {canary: [app1], baseline: [app2]}
    metrics:
      - {name: latency, kind: samples, source: {file: /tmp/latencies.jsonl}, allowed_increase: 10%, minimum: 100}
      - {name: workers, kind: samples, source: {command: [/usr/local/bin/idle-workers]}, allowed_increase: 50%,
         direction: down, critical: false}
    watch: 0
  delegate_to: localhost
"""

RETURN = r"""
began:
  description: When the task began, in seconds since 1970 by the controller's clock.
  returned: always
  type: float
ended:
  description: When it ended.
  returned: always
  type: float
verdict:
  description: V(pass), V(fail) or V(inconclusive). Also present when the task fails.
  returned: when the options make sense
  type: str
  sample: fail
sentence:
  description: What it comes to, and by which metrics.
  returned: when the options make sense
  type: str
  sample: >-
    The canary fails after 5.0 s and 1 look. Errors fails: 27 of 126 requests to the canary failed (21.4%), and 0 of 125 to the
    baseline (0%); the odds of failing are at least 2.44 times the baseline's, up to 1.25 times is allowed (p 1.3e-07, and
    0.00042 is enough at this look).
seconds:
  description: How long it watched.
  returned: when the options make sense
  type: float
  sample: 5.013
looks:
  description: How often it looked.
  returned: when the options make sense
  type: int
  sample: 1
down:
  description: Members of the canary that it fails by because a balancer's own check finds them down, each with the balancer and what
    the check saw.
  returned: when the options make sense
  type: list
  elements: str
  sample: []
metrics:
  description: Each metric with both sides. Of one that fails, as they were when it failed.
  returned: when the options make sense
  type: list
  elements: dict
  contains:
    name:
      description: The metric's name.
      type: str
    kind:
      description: V(errors) or V(samples).
      type: str
    critical:
      description: Whether it alone can fail the canary.
      type: bool
    verdict:
      description: V(pass), V(fail) or V(inconclusive).
      type: str
    sentence:
      description: Why.
      type: str
    canary:
      description:
        - C(requests), C(errors) and C(rate), or C(samples), C(median) and C(dropped), the values that were no usable numbers.
      type: dict
      sample: {requests: 126, errors: 27, rate: 0.214}
    baseline:
      description: Likewise.
      type: dict
    allowed:
      description: The ratio of canary to baseline that is allowed.
      type: float
      sample: 1.25
    estimate:
      description:
        - The ratio that was seen, of odds or of values. Null where there is none, as beside a baseline without errors.
      type: float
    interval:
      description:
        - Lower and upper end of the ratios that are not ruled out, each at RV(metrics[].threshold). Null where there is no such end.
      type: list
      elements: float
      sample: [2.44, null]
    p_value:
      description: The chance of what was seen, or of worse, if the canary were no worse than allowed.
      type: float
    threshold:
      description: The p-value up to which the metric fails at its last look.
      type: float
remarks:
  description:
    - What to know beside the verdict, such as sources that did not answer, restarts, and groups whose traffic is unlike.
    - Ansible shows them as warnings.
  returned: when the options make sense
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.zero_downtime.deploy.plugins.module_utils._doors import serve
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.analyse_canary import ARGUMENT_SPEC, run


def main():
    """Wire the options to the use case."""
    serve(AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True), run)


if __name__ == "__main__":
    main()
