#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pool_info
short_description: Read a pool from its load balancers
version_added: 0.1.0
author:
  - The zero_downtime.deploy authors (@zero-downtime)
description:
  - Reads the members of a pool with their state, weight, health and requests in flight, from one balancer or several.
extends_documentation_fragment:
  - zero_downtime.deploy.attributes
  - zero_downtime.deploy.balancers
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
options:
  counters:
    description:
      - Whether to return what each balancer has counted of each member and of what users got, C(counters) and C(served) in RV(balancers).
      - A balancer that counts neither is refused.
    type: bool
    default: false
  details:
    description:
      - Whether to ask for the facts that a plan needs as well, C(other_pools), C(timing) and C(in_flight_source) in RV(balancers).
      - This takes more queries, for some balancers many.
    type: bool
    default: false
seealso:
  - module: zero_downtime.deploy.pool_member
  - module: zero_downtime.deploy.traffic_split
"""

EXAMPLES = r"""
- name: Look at the pool
  zero_downtime.deploy.pool_info:
    balancers:
      - {host: lb1, provider: haproxy, socket: /run/haproxy/admin.sock}
    pool: shop
  delegate_to: localhost
  register: pool

- name: Read what the balancer has counted of each member
  zero_downtime.deploy.pool_info:
    balancers:
      - {host: lb1, provider: haproxy, socket: /run/haproxy/admin.sock}
    pool: shop
    counters: true
  delegate_to: localhost

- name: Say who is out
  ansible.builtin.debug:
    msg: "{{ pool.balancers[0].members | rejectattr('state', 'equalto', 'enabled') | map(attribute='name') }}"
"""

RETURN = r"""
balancers:
  description: The pool as each balancer sees it.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the balancer.
      type: str
    provider:
      description: Kind of balancer.
      type: str
    endpoint:
      description: Where it is. Two results with the same endpoint are pools of the same balancer.
      type: str
    version:
      description: The server's own version. One that is older than its provider needs is refused.
      type: str
    capabilities:
      description: What a balancer of this kind can do.
      type: dict
    pool:
      description: Name of the pool.
      type: str
    available:
      description: How many members take new work, of the tier that carries the traffic.
      type: int
    other_pools:
      description:
        - With O(details=true), other pools of the same balancer through which requests reach members of this one, each with C(name),
          C(members) and the C(reason). Null where the balancer does not tell.
      returned: with O(details=true)
      type: list
      elements: dict
      sample: [{name: shop_admin, members: [app1, app2], reason: same address}]
    timing:
      description:
        - With O(details=true), seconds that the balancer takes by its own configuration. C(leave) is the least until a member that leaves
          counts as idle, C(check) the most until a check that begins now has brought a member up, C(source) where they come from.
          Null where they are not known.
      returned: with O(details=true)
      type: dict
      sample: {leave: null, check: 4.0, source: "inter 2s, rise 2"}
    in_flight_source:
      description: With O(details=true), where the count of requests in flight comes from. Empty where there is none.
      returned: with O(details=true)
      type: str
      sample: show stat of the worker and of its former workers
    members:
      description:
        - All members. C(state) is V(enabled), V(drained) or V(disabled), and C(health) is V(up), V(down), V(starting) or V(unknown).
        - C(own_state) is what was written to the member itself. C(state) may be inherited, from a tracked server or name resolution.
        - C(tier) 0 is served first. A member of a higher tier gets traffic only while no lower one has an available member.
        - C(slot) is there for a slot of a C(server-template), with the name that it gets an address of. No host is bound to it.
        - C(weight_by) is V(agent) where the balancer's agent check sets the weight, else empty.
        - C(checked) tells whether the balancer checks the member's health, C(last_check) what it last saw.
        - C(counters), with O(counters=true), has C(requests), the attempts made at the member, C(errors), those that it failed, and
          C(since), which is another one when the counting has begun anew. It is null where the balancer has none of the member.
          A failure is an answer of status 5xx, one that breaks off, and none at all. What a retry saved elsewhere is one too.
          C(errors) may fall by as many as there are answers being sent; C(requests) never falls without a new C(since), unless
          somebody has cleared the counters.
          With some balancers the same failure may be counted twice; see U(https://github.com/zero-downtime/deploy/blob/main/docs/balancers.md).
      type: list
      elements: dict
      sample:
        - name: app1
          address: 192.0.2.11:8080
          state: enabled
          own_state: enabled
          tier: 0
          weight: 100
          weight_by: ""
          health: up
          in_flight: 3
          checked: true
          last_check: L7OK 200
    served:
      description:
        - With O(counters=true), what users got of the pool, each request once, however often the balancer tried it.
          Null where this balancer does not tell.
        - C(requests) have ended. C(errors) were answered with 5xx, by a member or by the balancer, the answers of C(broken) broke off,
          and the connections of C(unanswered) were closed without an answer. Where both of the latter grow, some may be in both.
          C(left) are clients that did not wait for the whole answer. C(since) is another one when the counting has begun anew.
      returned: with O(counters=true)
      type: dict
      sample: {requests: 24518, errors: 3, broken: 1, unanswered: 0, left: 2, since: "4711 1767225600"}
states:
  description: State and weight of each member by balancer, for O(zero_downtime.deploy.pool_member#module:before).
  returned: success
  type: dict
  sample: {lb1: {app1: {state: enabled, weight: 100}}}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.zero_downtime.deploy.plugins.module_utils._doors import serve
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.read_pool import ARGUMENT_SPEC, run


def main():
    """Wire the options to the use case."""
    serve(AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True), run)


if __name__ == "__main__":
    main()
