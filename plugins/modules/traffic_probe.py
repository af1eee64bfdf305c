#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_probe
short_description: Record what users feel while something else goes on
version_added: 0.1.0
description:
  - Sends a steady trickle of requests through the balancers' address, as users do, for as long as a rollout lasts, and records what became
    of each of them. A balancer's own counters do not see all that users feel, such as answers that break off and connections that
    are refused.
  - The prober is a process that outlives the task. It ends when it is stopped, when the playbook run that started it has ended,
    however that came about, or when its O(lifetime) is over. There is never more than one of the same O(name).
  - Requests are sent at fixed times, whatever becomes of those before, so that a balancer that hangs does not hang the probe.
    None is tried twice. Each has a connection of its own, as a new user's has, unless O(keep_alive) is set.
  - A request is good when it is answered with a status below 500 and with its whole body, and has failed otherwise.
    Redirects are not followed.
  - Nothing that the probe finds fails a task. What it says is there to be looked at afterwards.
author:
  - The zero_downtime.deploy authors (@zero-downtime)
options:
  state:
    description:
      - V(started) makes sure that a prober runs. One that runs already goes on as it is, and belongs to this playbook run from now on.
      - V(read) tells what has been felt so far, and changes nothing.
      - V(stopped) ends the prober, once the requests under way have ended, and tells what has been felt.
    type: str
    choices: [started, read, stopped]
    default: started
  name:
    description:
      - What the probe is called, such as the service or the rollout.
      - Letters, digits, C(.), C(_) and C(-), beginning with a letter or digit, at most 100 characters.
    type: str
    required: true
  path:
    description:
      - Absolute directory of the records, on the host where the task runs. They are in C(<path>/<name>/probe), with mode C(0600).
      - The newest 20 records are kept. Ten requests a second make about 1 MB an hour.
    type: path
    default: /var/lib/zero_downtime
  urls:
    description:
      - The C(http://) and C(https://) URLs to request, in turn. Required for O(state=started).
      - Name the address that users use, not a member's. Where there are several balancers, name each.
      - A user and password in it are sent as basic authentication. They and the query are left out of all that is recorded and told.
    type: list
    elements: str
  rate:
    description: Requests a second, all URLs together. Above 0, at most 200.
    type: float
    default: 10.0
  timeout:
    description: Seconds that a request may take, from connecting to the last byte.
    type: float
    default: 5.0
  headers:
    description:
      - Headers to send, name to value.
      - The values are treated as secret. They are never recorded, and masked where an answer echoes them.
    type: dict
  host:
    description:
      - The name that users use, where O(urls) name something else, such as the addresses of two balancers.
      - It is sent as C(Host), and as the server's name in TLS, for which the certificate must be valid.
    type: str
  validate_certs:
    description: Whether the certificate of an C(https) URL must be valid and trusted.
    type: bool
    default: true
  ca_path:
    description:
      - A file or directory of certificates (PEM) to trust instead of the system's.
      - It is read where the task runs.
    type: path
  keep_alive:
    description:
      - Whether connections are kept for later requests.
      - A connection that was closed while nothing was under way on it is replaced, as by any client. One that is closed after
        a request was sent has failed that request.
    type: bool
    default: false
  version:
    description:
      - Where the version that answered stands in the JSON body, as a path such as C($.version) or C($.build[0].id).
      - At most one of O(version), O(version_header) and O(version_pattern).
    type: str
  version_header:
    description: The header that tells the version.
    type: str
  version_pattern:
    description: A regular expression with one group, the version, that is searched for in the body.
    type: str
  lifetime:
    description: Seconds after which the prober ends by itself, whatever became of those who started it.
    type: float
    default: 21600.0
  owner_pid:
    description:
      - For O(state=started). The process with which the prober ends, on the host where the task runs. V(0) is none.
      - Normally not given. Where the task runs on the controller, the action plugin of this module fills in the main process of the
        playbook run. Elsewhere there is none.
    type: int
  owner_started:
    description: When that process was started, in clock ticks after the boot. It tells a reused process id.
    type: int
  since:
    description:
      - For O(state=read) and O(state=stopped). Tell only of requests sent from this time on, in seconds since 1970, rounded down to whole
        seconds. What earlier probers of this O(name) recorded since then is told, too.
      - Without it, all that the latest prober has recorded is told.
    type: float
attributes:
  check_mode:
    description: Tells whether a prober would be started or stopped. Sends no request.
    support: full
  diff_mode:
    description: There is no text to compare.
    support: none
notes:
  - Run it on the controller, or on another host that is not rolled over and reaches the service as users do.
  - Start, read and stop it on the same host, as the same user.
  - Up to 256 requests are under way at once. What could not be sent within half a second of its time, since these were all hanging
    or since the host was too busy, is not made up for, but counted in RV(felt.late).
  - A request belongs to the second in which it was sent, even when it ended seconds later.
  - A host's name is looked up once a second at most. All its addresses are tried.
  - In the logs of balancers and members, its requests have the user agent C(zero-downtime-deploy-probe), unless O(headers) say otherwise.
    Among processes it is listed as C(zd-probe).
seealso:
  - module: zero_downtime.deploy.rollout
  - module: zero_downtime.deploy.health_check
"""

EXAMPLES = r"""
- name: Probe the shop through both balancers
  zero_downtime.deploy.traffic_probe:
    name: shop
    urls: ["http://lb1.example.org/", "http://lb2.example.org/"]
    host: shop.example.org
    version_header: X-Version
  delegate_to: localhost
  run_once: true

- name: How it has been so far
  zero_downtime.deploy.traffic_probe:
    name: shop
    state: read
  delegate_to: localhost
  run_once: true
  register: probe

- name: End it
  zero_downtime.deploy.traffic_probe:
    name: shop
    state: stopped
  delegate_to: localhost
  run_once: true
  register: probe

- name: Say what users felt
  ansible.builtin.debug:
    msg: >-
      {{ probe.felt.failed }} of {{ probe.felt.requests }} requests failed, within {{ probe.felt.disturbance }} s;
      99 of 100 took at most {{ probe.felt.latency.p99 }} ms.
"""

RETURN = r"""
running:
  description: Whether a prober runs now.
  returned: when the options make sense
  type: bool
  sample: true
path:
  description: The file into which the latest prober writes, or wrote; null when there never was one.
  returned: when the options make sense
  type: str
  sample: /var/lib/zero_downtime/shop/probe/1763790000.123.jsonl
ended:
  description: For O(state=read) and O(state=stopped). Why the latest prober ended; null while it runs, and when there never was one.
  returned: when the options make sense
  type: str
  sample: it was told to stop
felt:
  description: For O(state=read) and O(state=stopped). What users have felt; null when there never was a prober.
  returned: when the options make sense
  type: dict
  contains:
    began:
      description: When that began of which is told, in seconds since 1970, as are all times here.
      type: float
      sample: 1763790000.0
    ended:
      description: When it ended, or until when it is known.
      type: float
      sample: 1763790060.0
    urls:
      description: What was requested, without users, passwords and queries.
      type: list
      elements: str
      sample: ["http://shop.example.org/"]
    rate:
      description: Requests a second that were asked for.
      type: float
      sample: 10.0
    requests:
      description: How many requests have ended.
      type: int
      sample: 600
    failed:
      description: How many of them failed.
      type: int
      sample: 2
    outcomes:
      description:
        - How many requests ended how, of those that occurred.
        - V(ok), a status below 500 and the whole body. V(status), 5xx. V(refused), there was no connection. V(reset) and V(closed), the
          connection was reset or closed before an answer began. V(truncated), the answer began and did not reach its end. V(timeout).
          V(garbled), what came is not HTTP/1. V(name), the host's name cannot be resolved. V(tls), the handshake failed or the
          certificate is not trusted.
      type: dict
      sample: {ok: 598, status: 1, truncated: 1}
    versions:
      description: How many requests each version answered; those of which it was not told are under the empty name.
      type: dict
      sample: {"1.4.1": 300, "1.4.2": 298, "": 2}
    latency:
      description:
        - Milliseconds from connecting to the last byte, of those that were answered, C(p50), C(p95), C(p99) and C(max). Null without any.
        - The percentiles are at most 2.5 % off.
      type: dict
      sample: {p50: 2.1, p95: 5.0, p99: 9.0, max: 12.0}
    first_failure:
      description: When the first request was sent that failed; null for none.
      type: float
      sample: 1763790012.2
    last_failure:
      description: When the last request was sent that failed; null for none.
      type: float
      sample: 1763790012.9
    disturbance:
      description: Seconds from the first to the last failure.
      type: float
      sample: 0.7
    failures:
      description:
        - The first 50 failures. Of an outage that had begun before O(since), some may be missing here. They are in all counts.
      type: list
      elements: dict
      contains:
        time:
          description: When the request was sent.
          type: float
        outcome:
          description: How it ended.
          type: str
        url:
          description: What was requested.
          type: str
        why:
          description: Why it failed, in a sentence.
          type: str
        version:
          description: The version that answered, as far as it was told.
          type: str
      sample:
        - time: 1763790012.2
          outcome: truncated
          url: http://shop.example.org/
          why: HTTP 200, but the body was cut off after 10 of 1000 bytes
          version: 1.4.2
    late:
      description: How many requests were due and not sent, as the prober could not do it in time. They are in no other count.
      type: int
      sample: 0
    series:
      description: The same over time, in columns of the same length.
      type: dict
      contains:
        began:
          description: When the first entry begins.
          type: int
        step:
          description: Seconds from entry to entry. It grows so that there are at most 3,600.
          type: int
        requests:
          description: How many requests were sent that have ended.
          type: list
          elements: int
        failed:
          description: How many of them failed.
          type: list
          elements: int
        p50:
          description: Percentiles of the latency, null where nothing was answered. C(p95) and C(p99) are there, too.
          type: list
          elements: float
        versions:
          description: For each version how many requests it answered.
          type: dict
"""

import copy

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.zero_downtime.deploy.plugins.module_utils._doors import serve
from ansible_collections.zero_downtime.deploy.plugins.module_utils._health.redaction import MASK, mask_url
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.probe_traffic import (
    ARGUMENT_SPEC,
    CONSTRAINTS,
    run,
)


def hide_requests(module: AnsibleModule) -> None:
    """Take the secrets out of the options that the result shows, and stop Ansible from censoring the rest by them.

    Ansible masks each value of a `no_log` option wherever it occurs in the result: a header ``X-Attempt: 1`` would turn every
    number with a 1 in it into text. What is quoted is masked where it is recorded.
    """
    if module.params["headers"]:
        module.params["headers"] = {name: MASK for name in module.params["headers"]}
    if module.params["urls"]:
        module.params["urls"] = [mask_url(url) for url in module.params["urls"]]
    module.no_log_values.clear()


def main() -> None:
    """The module's door to the use case."""
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True, **CONSTRAINTS)
    params = copy.deepcopy(module.params)
    hide_requests(module)
    serve(module, lambda _shown, check_mode, clock: run(params, check_mode, clock))


if __name__ == "__main__":
    main()
