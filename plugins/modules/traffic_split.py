#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: traffic_split
short_description: Give groups of members their shares of a pool's traffic
version_added: 0.1.0
author:
  - The zero_downtime.deploy authors (@zero-downtime)
description:
  - Gives each group of members of a pool its share of the traffic, on one balancer or on several as one operation, for a switch
    from one group to the other as well as for a small share of a canary.
  - On each balancer it is one write where the balancer can do that. Where it cannot, those that arrive are in before others leave.
  - Members that arrive are checked first, out of traffic. No balancer switches before they are ready on all of them.
  - Shares are read back. When anything fails, on any of the balancers, all of them are put back to what they were before.
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
  groups:
    description:
      - The groups by name, each a dictionary with these keys.
      - C(members) is a list of names that the balancer has for them. One group may leave it out. It then has all members in traffic
        that no other group names.
      - C(share) is a percent of the pool's traffic from 0 to 100, such as V(5) or V(2.5). One group may leave it out. It then has
        what the others leave. All shares sum to 100.
      - C(weights) is a dictionary of members and whole numbers, for members of one group that are not to get the same.
        Those that are not named have 1.
      - A member in traffic that is in no group is refused, because its traffic would come off the shares. Members that are out of
        traffic may be in no group, and stay out.
      - Members of groups with a share become C(enabled). Their weights are left as they are where these give the shares already.
        Otherwise they are the smallest whole numbers in the balancer's range that give the shares, or else the nearest.
      - Members of a group that gets all of the traffic, and names no C(weights), keep the weights that they have.
    type: dict
  before:
    description:
      - Goes back, in the same way, to states and weights from before, instead of O(groups).
      - What RV(before) of this module, or RV(zero_downtime.deploy.pool_info#module:states), returned earlier.
    type: dict
  leave:
    description:
      - What members of a group with the share 0 become.
      - V(disabled) takes nothing. Clients that are bound to them by a cookie go over to the others with their next request.
      - V(drained) takes no new clients. Clients that are bound to them stay until their session ends, on balancers that can do that.
        Who is disabled already stays so.
    type: str
    choices: [disabled, drained]
    default: disabled
  tolerance:
    description:
      - Percent points by which a share may be off, since weights are whole numbers. More is a warning.
      - Where members have no weights, more is refused before anything is touched.
    type: float
    default: 0.5
  prepare:
    description:
      - Only lets members that are to arrive be checked, out of traffic, and leaves them so (C(drained)). The traffic stays as it is.
      - The same task without it, and with O(health=current), then switches at once.
    type: bool
    default: false
  prepared:
    description:
      - Says that all balancers have answered just before, to a task with O(prepare=true) or to the switch that this one takes back.
      - Balancers on several hosts then switch without being asked first whether all of them are ready, which is quicker by half.
      - One that has died since is found when the others have switched. They are put back.
    type: bool
    default: false
  min_available:
    description:
      - The guard. How many members must stay available on each balancer, as a count or as a share of the pool such as V(50%), rounded up.
      - The pool is all of its members, those of groups without a share included.
    type: str
    default: '1'
  wait:
    description:
      - Whether to wait until nothing is in flight for the members that have left.
      - The default V(false) suits a switch after which these stay as they are. Before their hosts are touched, take them out with
        M(zero_downtime.deploy.pool_member), which waits.
    type: bool
    default: false
  drain_timeout:
    description:
      - With O(wait=true). Seconds to wait until nothing is in flight, in two polls in a row.
    type: float
    default: 60.0
  on_drain_timeout:
    description:
      - With O(wait=true). What happens to requests that are still in flight at the deadline.
      - V(fail) puts all members back and fails.
      - V(cut) ends them. Their clients see an error.
    type: str
    choices: [fail, cut]
    default: fail
  drain_wait:
    description:
      - With O(wait=true), for balancers that do not tell what is in flight. Seconds within which every request has surely ended.
      - The default V(0) refuses such balancers.
    type: float
    default: 0.0
  hold:
    description:
      - For balancers that forget states and weights when they are restarted. For so many seconds after the task, a process that it
        leaves behind writes again what a restart made the balancer forget, of all members of the groups.
      - The process is where the balancer is talked to from. It ends when another task brings the members elsewhere.
    type: float
    default: 0.0
  health:
    description:
      - What a member must show before it is enabled. Members that are in traffic already are not waited for.
      - V(fresh) is a pass of the balancer's own check, begun after the call.
      - V(current) is content with the last check where the balancer checks the member though it is out of traffic, which it does while the
        member is C(drained). All others are checked as with V(fresh). This is the quick way to switch to members that have been checked.
      - V(none) enables at once.
    type: str
    choices: [fresh, current, none]
    default: fresh
  health_timeout:
    description:
      - Seconds to wait for that check.
    type: float
    default: 60.0
  accept_errors:
    description:
      - Write to balancers too that break some of their clients' connections whenever they are changed.
      - The default V(false) refuses such balancers before anything is touched.
    type: bool
    default: false
  on_failure:
    description:
      - V(fail) fails the task.
      - V(report) does not, and says what went wrong in RV(problem). The members are put back either way.
    type: str
    choices: [fail, report]
    default: fail
notes:
  - Shares are of new clients. Clients that are bound to a member by a cookie stay with it as long as it is C(enabled) or C(drained).
seealso:
  - module: zero_downtime.deploy.pool_info
  - module: zero_downtime.deploy.pool_member
"""

EXAMPLES = r"""
- name: Let the green hosts be checked while the blue ones serve
  zero_downtime.deploy.traffic_split:
    balancers: &both
      - {host: lb1, provider: haproxy, socket: /run/haproxy/admin.sock}
      - {host: lb2, provider: haproxy, socket: /run/haproxy/admin.sock}
    pool: shop
    groups: &green
      blue: {members: [app1, app2], share: 0}
      green: {members: [app3, app4], share: 100}
    prepare: true
  delegate_to: localhost

- name: Switch from blue to green
  zero_downtime.deploy.traffic_split:
    balancers: *both
    pool: shop
    groups: *green
    health: current
  delegate_to: localhost
  register: switched

- name: Go back, and be as quick
  zero_downtime.deploy.traffic_split:
    balancers:
      - {host: lb1, provider: haproxy, socket: /run/haproxy/admin.sock}
      - {host: lb2, provider: haproxy, socket: /run/haproxy/admin.sock}
    pool: shop
    before: "{{ switched.before }}"
    health: none
    prepared: true
  delegate_to: localhost

- name: Give one canary and one baseline host 5 percent each, and the others the rest
  zero_downtime.deploy.traffic_split:
    balancers:
      - {provider: haproxy, address: "192.0.2.10:9999"}
    pool: shop
    groups:
      canary: {members: [app1], share: 5}
      baseline: {members: [app2], share: 5}
      rest: {}
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
seconds:
  description:
    - Seconds from the decision, made when all members were ready on all balancers, until the shares had been read back on the last of them.
  returned: success
  type: float
  sample: 0.012
before:
  description: State and weight of each member of the groups before, by balancer, for O(before).
  returned: success
  type: dict
  sample: {lb1: {app1: {state: enabled, weight: 100}}}
balancers:
  description: Each balancer with the members of the groups.
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
      description: How often the balancer had lost what was written, and it was written again.
      type: int
    seconds:
      description: Seconds from the decision until the shares had been read back here.
      type: float
    shares:
      description: What each group really gets, in percent, by the weights of the members in traffic. Empty with O(before).
      type: dict
    weights:
      description: The weights of all members in traffic.
      type: dict
    warnings:
      description: What is not as it was asked for, in sentences. They are warnings of the task too.
      type: list
      elements: str
    members:
      description: The members of the groups, with what they were and are.
      type: list
      elements: dict
      contains:
        name:
          description: Name of the member.
          type: str
        group:
          description: Its group. Empty with O(before).
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
      available: 2
      seconds: 0.004
      shares: {blue: 95.0, green: 5.0}
      weights: {app1: 19, app2: 1}
      warnings: []
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.zero_downtime.deploy.plugins.module_utils._doors import serve
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.split_traffic import (
    ARGUMENT_SPEC,
    CONSTRAINTS,
    run,
)


def main():
    """Wire the options to the use case."""
    serve(AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True, **CONSTRAINTS), run)


if __name__ == "__main__":
    main()
