#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pool_member
short_description: Drain, disable and enable members of a load balancer's pool
version_added: 0.1.0
author:
  - The zero_downtime.deploy authors (@zero-downtime)
description:
  - Brings members of a pool into a state and to a weight, on one balancer or on several as one operation.
  - On the way out it waits until the balancer has nothing in flight for the member. On the way in it waits for a health
    check of the balancer's own that began after the call, so that a stale result lets no request through.
  - When anything fails, on any of the balancers, all of them are put back to what they were before.
extends_documentation_fragment:
  - zero_downtime.deploy.attributes
  - zero_downtime.deploy.lease
  - zero_downtime.deploy.balancers
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
options:
  members:
    description:
      - The members, by the names that the balancer has for them.
      - They are one operation and one connection, and the guard O(min_available) counts them together.
    type: list
    elements: str
    required: true
  state:
    description:
      - V(enabled) takes new work.
      - V(drained) takes no new work. Clients that are bound to it by a cookie still reach it.
      - V(disabled) takes nothing, bound clients included. This is the state in which a host may be touched.
      - V(absent) is taken out like V(disabled), and then removed from the pool.
      - V(as_before) is what O(before) says of each member on each balancer.
    type: str
    choices: [enabled, drained, disabled, absent, as_before]
  addresses:
    description:
      - Addresses, C(host:port), of members that do not exist yet, by name. They are added to the pool, out of traffic, and then
        brought to O(state) like any other.
      - For balancers that can add and remove members.
    type: dict
    default: {}
  weight:
    description:
      - The weight to end with. Left as it is by default. Each balancer has its own range, such as 0 to 256 for HAProxy.
    type: int
  before:
    description:
      - For O(state=as_before). What RV(zero_downtime.deploy.pool_info#module:states) returned earlier.
      - A dictionary of balancers, each a dictionary of members, each with C(state) and C(weight).
    type: dict
  min_available:
    description:
      - The guard. How many members must stay available on each balancer, as a count or as a share of the pool such as V(50%), rounded up.
      - Available is what is enabled, has a weight, and is not known to be down. It is counted at the moment of the write.
      - Taking out a member that is not available anyway is always allowed.
    type: str
    default: '1'
  drain_timeout:
    description:
      - Seconds to wait until nothing is in flight, in two polls in a row.
    type: float
    default: 60.0
  on_drain_timeout:
    description:
      - What happens to requests that are still in flight at the deadline.
      - V(fail) puts the members back and fails.
      - V(cut) ends them. Their clients see an error.
    type: str
    choices: [fail, cut]
    default: fail
  drain_wait:
    description:
      - For balancers that do not tell what is in flight. Seconds within which every request has surely ended. So long is waited
        instead; what takes longer is cut when the host is touched.
      - The default V(0) refuses such balancers.
    type: float
    default: 0.0
  hold:
    description:
      - For balancers that forget states when they are restarted. For so many seconds after the task, a process that it leaves behind
        keeps members out that it took out. When the balancer is restarted, what it forgot is written again.
      - The process is where the balancer is talked to from. It ends when another task brings the members elsewhere.
    type: float
    default: 0.0
  accept_errors:
    description:
      - Write to balancers too that break some of their clients' connections whenever they are changed.
      - The default V(false) refuses such balancers before anything is touched.
    type: bool
    default: false
  health:
    description:
      - What a member must show before it is enabled.
      - V(fresh) is a pass of the balancer's own check, begun after the call. Members without a check are refused.
      - V(none) enables at once.
    type: str
    choices: [fresh, none]
    default: fresh
  health_timeout:
    description:
      - Seconds to wait for that check.
    type: float
    default: 60.0
  on_failure:
    description:
      - V(fail) fails the task.
      - V(report) does not, and says what went wrong in RV(problem). The members are put back either way.
    type: str
    choices: [fail, report]
    default: fail
  warmup:
    description:
      - Rising percents of a member's own weight at which it starts, one after the other.
      - HAProxy's static algorithms have no weights between 0 and 100 percent, so none can be given.
    type: list
    elements: int
    default: []
  warmup_step:
    description:
      - Seconds at each step of O(warmup).
    type: float
    default: 5.0
notes:
  - HAProxy counts a member that is being enabled as down until its checks have passed, which shows in its log and its counters of downtime.
  - Some balancers forget states and weights when they are restarted or reloaded. What is lost while the task waits is written again.
seealso:
  - module: zero_downtime.deploy.pool_info
"""

EXAMPLES = r"""
- name: Take this host out of both balancers and wait until nothing is in flight
  zero_downtime.deploy.pool_member:
    balancers:
      - {host: lb1, provider: haproxy, socket: /run/haproxy/admin.sock}
      - {host: lb2, provider: haproxy, socket: /run/haproxy/admin.sock}
    pool: shop
    members: ["{{ inventory_hostname }}"]
    state: disabled
    min_available: 50%
  delegate_to: localhost

- name: Bring two members back, gently, once the balancer's own check passes
  zero_downtime.deploy.pool_member:
    balancers:
      - {provider: haproxy, address: "192.0.2.10:9999"}
    pool: shop
    members: [app1, app2]
    state: enabled
    warmup: [10, 50]
    warmup_step: 10
  delegate_to: localhost

- name: Take a member out as long as the lease of the service is ours
  zero_downtime.deploy.pool_member:
    balancers:
      - {provider: haproxy, address: "192.0.2.10:9999"}
    pool: shop
    members: [app1]
    state: disabled
    lease: "{{ begun.lease }}" # of zero_downtime.deploy.rollout with action begin
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
problem:
  description: What went wrong, with O(on_failure=report). Empty when all is well.
  returned: always
  type: str
balancers:
  description: Each balancer with the members that were asked for.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the balancer.
      type: str
    pool:
      description: Name of the pool.
      type: str
    changed:
      description: Whether anything was, or in check mode would be, changed on this balancer.
      type: bool
    available:
      description: How many members of the pool take new work now.
      type: int
    reasserted:
      description: How often the balancer had lost what was written, and it was written again, since the members were taken out.
      type: int
    members:
      description: The members, with what they were and are.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the member.
          type: str
        before:
          description: Address, state, weight, health and requests in flight before.
          type: dict
        after:
          description: The same afterwards. In check mode, what it would be.
          type: dict
        waited:
          description: What was waited for and how many seconds it took, and how many requests were cut.
          type: dict
  sample:
    - name: lb1
      pool: shop
      changed: true
      available: 5
      members:
        - name: app1
          before: {name: app1, address: "192.0.2.11:8080", state: enabled, weight: 100, health: up, in_flight: 3}
          after: {name: app1, address: "192.0.2.11:8080", state: disabled, weight: 100, health: unknown, in_flight: 0}
          waited: {for: in flight 0, seconds: 1.92}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.zero_downtime.deploy.plugins.module_utils._doors import serve
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.set_members import (
    ARGUMENT_SPEC,
    CONSTRAINTS,
    run,
)


def main():
    """Wire the options to the use case."""
    serve(AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True, **CONSTRAINTS), run)


if __name__ == "__main__":
    main()
