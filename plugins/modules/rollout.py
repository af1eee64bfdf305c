#!/usr/bin/python
# -*- coding: utf-8 -*-
# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: rollout
short_description: Lease and journal of a service
version_added: 0.1.0
description:
  - Makes sure that one rollout at a time changes a service, on whatever controller it runs, and writes down what
    a rollout intends, did, and found before it, so that it can be resumed or rolled back after any crash.
  - The lease is the right to change the service. It has an owner, an expiry and a fencing number. The number grows
    by one each time the lease is taken and never goes back, and whoever records must show it, so that an owner who
    lost the lease without noticing cannot write.
  - The journal is one record for each rollout. It outlives the controller. Never put a secret into it.
  - Both stand in files of one host, or in etcd (O(etcd)), for controllers that come and go and have no host in common.
  - The files are C(<path>/<service>/lease.json), C(<path>/<service>/rollouts/<id>.json) and C(<path>/<service>/lock) on
    the host the task runs on. Run all tasks of a service on the same host, one that every controller reaches,
    and keep the files on a local file system rather than on a network's. All times are by that host's clock.
  - Every file is written aside, synced and renamed, with mode C(0640) in directories of mode C(0750). A file that is
    damaged or not of this collection is an error and is never overwritten.
  - The newest 50 finished journals are kept.
options:
  action:
    description:
      - V(begin) takes the lease when it is free, when it has expired, or as O(take_over) and O(dead_fence) allow, and
        fails otherwise. An unfinished journal of the same O(version) and O(strategy) is resumed under its own id.
        An unfinished journal of another one is marked C(superseded), and the new journal inherits its C(before).
        The owner who holds the lease already gets the running rollout again.
      - V(record) renews the lease and adds to the journal. It fails when the lease is no longer the caller's.
        A lease that has expired and that nobody took is still its owner's.
      - V(pause) writes down that the rollout has stopped before O(point), whole, and releases the lease. The journal stays
        unfinished, and the next V(begin) of the same O(version) and O(strategy) goes on with it.
      - V(approve) writes down who lets a rollout go on that has paused for a person's approval. It needs no lease. It fails when
        nothing waits for that approval, and while a run holds the lease.
      - V(read) tells what is known and never writes.
      - V(finish) gives the journal its outcome and releases the lease.
    type: str
    required: true
    choices: [begin, record, pause, approve, read, finish]
  service:
    description:
      - Name of the service.
      - Letters, digits, C(.), C(_) and C(-), beginning with a letter or digit, at most 100 characters.
    type: str
    required: true
  path:
    description: Absolute directory that holds a directory for each service. It is created when missing. Not used with O(etcd).
    type: path
    default: /var/lib/zero_downtime
  etcd:
    description:
      - The etcd that holds lease and journals, instead of files in O(path). Version 3.4 or later, by its JSON gateway.
      - The keys are C(<prefix>/<service>/lease), C(<prefix>/<service>/rollouts/<id>) and C(<prefix>/<service>/written). Each action is one
        transaction that takes place only when nothing of the service has changed since it was read, so nothing is ever half written.
      - The O(ttl) is counted down by etcd. Clocks of controllers may differ. Times are told by the clock of the host that the task runs on.
      - A journal is compressed, C(etcdctl get --print-value-only KEY | zcat) shows it. It must fit into one request
        (C(--max-request-bytes), 1.5 MiB by default); that of 1,000 hosts takes a fiftieth of it.
    type: dict
    suboptions:
      urls:
        description:
          - URLs of its members, such as C(https://etcd1:2379). They are asked in turn until one answers.
          - No user and no password in them. Proxies of the environment are not used.
        type: list
        elements: str
        required: true
      prefix:
        description: What the keys begin with.
        type: str
        default: /zero_downtime
      username:
        description:
          - A user of etcd that may read and write the keys below O(etcd.prefix).
          - The JSON gateway takes no user from a client certificate.
        type: str
      password:
        description: The user's password. Keep it in a vault.
        type: str
      validate_certs:
        description: Whether the certificate of an C(https) URL must be valid and trusted.
        type: bool
        default: true
      ca_path:
        description: A file or directory of certificates (PEM) to trust instead of the system's, where the task runs.
        type: path
      client_cert:
        description:
          - A client certificate (PEM) to present. It may hold the key too.
          - Where etcd has users, its JSON gateway takes none with a common name.
        type: path
      client_key:
        description: The key of O(etcd.client_cert), without passphrase.
        type: path
      timeout:
        description: Seconds that one request to one member may take as a whole.
        type: float
        default: 5.0
  id:
    description: Id of the rollout, as V(begin) returned it. Required for V(record), V(pause) and V(finish).
    type: str
  fence:
    description: Fencing number of the lease, as V(begin) returned it. Required for V(record), V(pause) and V(finish).
    type: int
  owner:
    description:
      - For V(begin) and V(approve). Who begins or approves the rollout.
      - Normally not given. The action plugin of this module fills in, on the controller, what is not given here.
    type: dict
    suboptions:
      name:
        description: The user, or the AWX job.
        type: str
        required: true
      controller:
        description: Host name of the controller.
        type: str
      pid:
        description: Process id of the playbook's main process.
        type: int
      process_started:
        description: When that process was started, in clock ticks after the boot. It tells a reused process id.
        type: int
      boot_id:
        description: Which boot of the controller it is.
        type: str
      pid_namespace:
        description: Which PID namespace the process id counts in. Containers have their own.
        type: str
      machine:
        description: A hash that tells one installed system from another of the same host name.
        type: str
  ttl:
    description:
      - Seconds until the lease expires unless it is renewed. Every V(record) renews it, so this must be longer than
        the longest step between two of them.
      - For V(begin) the default is 900. For V(record) the default is what V(begin) was given.
    type: int
  take_over:
    description:
      - Whether V(begin) takes a living lease from its owner, whose next V(record) then fails.
      - Use it only when you know that the other run is gone. It may be in the middle of a change.
    type: bool
    default: false
  dead_fence:
    description:
      - V(begin) may take the lease that has this fencing number, as its owner is proven dead.
      - Set by the action plugin, when the owner's process ran on the same controller and no longer exists.
        Nothing is ever proven about another controller.
    type: int
  version:
    description: The release that the rollout brings the service to. Required for V(begin).
    type: str
  strategy:
    description: How, for example V(rolling), V(blue_green), V(canary) or V(rollback). Required for V(begin).
    type: str
  before:
    description:
      - For V(record). What was found before the rollout changed it, for example weights and states of members.
      - Merged into what the journal has, to any depth. What is there already wins, as the first observation is the one
        made before any change.
    type: dict
  plan:
    description: For V(record). The batches, a list of lists of host names. Replaces the plan that is there.
    type: list
    elements: list
  event:
    description: For V(record). What happened, for example V(batch_begun), V(batch_done), V(halted) or V(undone).
    type: str
  hosts:
    description: For V(record). The hosts that the O(event) is about.
    type: list
    elements: str
  details:
    description: For V(record). Anything else about the O(event).
    type: dict
  point:
    description:
      - For V(pause), the point before which the rollout has stopped. Required. V(verdict) is after a step of a canary of which the judge
        could not tell.
      - For V(approve), what is approved. Without it, whatever waits.
    type: str
    choices: [rollout, batch, step, switch, promotion, verdict]
  number:
    description: For V(pause) and V(approve). Which batch or step it is, where the rollout has several.
    type: int
  why:
    description: For V(pause). Why it has stopped, in words. Required.
    type: str
  waits_for:
    description: For V(pause). A person's V(approval), or a V(gate) that opens by itself. Required.
    type: str
    choices: [approval, gate]
  outcome:
    description:
      - How the rollout ended. Required for V(finish).
      - With V(nothing_to_do) a journal in which nothing was ever recorded is removed rather than kept.
    type: str
    choices: [succeeded, succeeded_with_failures, rolled_back, rollback_failed, abandoned, nothing_to_do]
  summary:
    description: For V(finish). What to remember of the rollout.
    type: dict
  history:
    description: For V(read). How many finished rollouts to return at most.
    type: int
    default: 5
attributes:
  check_mode:
    description: Can run in check mode and tell what would be, without writing anything.
    support: full
    details:
      - V(begin) returns the id and the fencing number it would get; V(record), V(pause) and V(finish) accept these in check mode.
  diff_mode:
    description: Tells what has changed in diff mode.
    support: partial
    details:
      - V(record), V(pause), V(approve) and V(finish) show on a few lines what is added to the journal and the lease, not whole files.
notes:
  - C(changed) tells whether the history of the service says something new. The lease is bookkeeping, and so is a
    journal in which nothing was recorded. So a run that begins, finds nothing to do and finishes with V(nothing_to_do)
    changes nothing.
  - Another controller's crashed run, or one in another container, is not provably dead. Its lease expires after O(ttl).
seealso:
  - module: zero_downtime.deploy.pool_member
  - module: zero_downtime.deploy.release
author:
  - The zero_downtime.deploy authors (@zero-downtime)
"""

EXAMPLES = r"""
- name: Take the lease of the shop
  zero_downtime.deploy.rollout:
    action: begin
    service: shop
    version: 1.4.2
    strategy: rolling
  delegate_to: lb1
  become: true
  register: begun

- name: Note what was found and what is planned
  zero_downtime.deploy.rollout:
    action: record
    service: shop
    id: "{{ begun.id }}"
    fence: "{{ begun.fence }}"
    before:
      lb1:
        web1: {state: enabled, weight: 100}
    plan:
      - [web1]
      - [web2, web3]
    event: planned
  delegate_to: lb1
  become: true

- name: Stop before the second batch until somebody says yes
  zero_downtime.deploy.rollout:
    action: pause
    service: shop
    id: "{{ begun.id }}"
    fence: "{{ begun.fence }}"
    point: batch
    number: 2
    why: "waiting for approval: the product owner has looked at it"
    waits_for: approval
  delegate_to: lb1
  become: true

- name: Say yes
  zero_downtime.deploy.rollout:
    action: approve
    service: shop
  delegate_to: lb1
  become: true

- name: Finish
  zero_downtime.deploy.rollout:
    action: finish
    service: shop
    id: "{{ begun.id }}"
    fence: "{{ begun.fence }}"
    outcome: succeeded
    summary:
      hosts: 3
  delegate_to: lb1
  become: true

- name: Take the lease in etcd, from any controller that reaches it
  zero_downtime.deploy.rollout:
    action: begin
    service: shop
    version: 1.4.2
    strategy: rolling
    etcd:
      urls: ["https://etcd1:2379", "https://etcd2:2379", "https://etcd3:2379"]
      ca_path: /etc/ssl/own-ca.pem
      username: deploy
      password: "{{ vault_etcd_password }}"
  delegate_to: localhost
  register: begun

- name: See who is at work on the shop and what was done lately
  zero_downtime.deploy.rollout:
    action: read
    service: shop
    history: 3
  delegate_to: lb1
  become: true
  register: shop
"""

RETURN = r"""
id:
  description: Id of the rollout. Ids sort by their fencing number at the end.
  returned: success, but for V(read)
  type: str
  sample: 20261121T101500Z-1.4.2-7
fence:
  description: Fencing number of the lease.
  returned: success, for V(begin), V(record), V(pause) and V(finish)
  type: int
  sample: 7
resumed:
  description: Whether an unfinished journal is gone on with.
  returned: success, for V(begin)
  type: bool
taken_over_from:
  description:
    - Whose lease was taken. None when it was free.
    - What RV(lease) has, and C(reason), one of V(expired), V(dead) and V(take_over).
    - With V(dead) also C(proof), in words, when the action plugin has proven it.
  returned: success, for V(begin)
  type: dict
lease:
  description: The lease after the action. Times are UTC.
  returned: success
  type: dict
  contains:
    service: {description: Name of the service., type: str, sample: shop}
    held: {description: "Whether it has an owner, be it expired or not.", type: bool}
    expired: {description: "For V(read), whether it has an owner whose time has run out.", type: bool}
    owner: {description: "Who holds it, None when nobody does.", type: dict}
    proof:
      description:
        - For V(read), why the owner is certainly gone, when the action plugin has proven it. None when it runs, or nobody can know.
      type: str
      sample: process 4711 no longer runs on deploy1
    fence: {description: "The last fencing number given out, 0 when none was.", type: int, sample: 7}
    rollout: {description: Id of the rollout it is held for., type: str}
    version: {description: The release that rollout goes to., type: str, sample: 1.4.2}
    ttl: {description: Seconds it is good for after each renewal., type: int, sample: 900}
    acquired: {description: When it was taken., type: str, sample: "2026-11-21T10:15:00Z"}
    renewed: {description: When it was renewed last., type: str, sample: "2026-11-21T10:15:00Z"}
    expires: {description: When anybody may take it., type: str, sample: "2026-11-21T10:30:00Z"}
    until:
      description:
        - For V(begin) and V(record). Until when its owner may write, in seconds since 1970 by the controller's clock. It is
          counted from before the lease was asked for, and is earlier than C(expires) by a tenth of C(ttl), so that what was
          begun in time also ends in time.
        - The whole dictionary is what O(zero_downtime.deploy.pool_member#module:lease) takes.
      type: float
      sample: 1795256950.25
    until_running: {description: "The same by the seconds since the controller's boot, None where it does not tell.", type: float}
    kept_by: {description: "For V(begin) and V(record), without O(etcd). The inventory host on which the task ran.", type: str, sample: lb1}
    path: {description: "For V(begin) and V(record), without O(etcd). The directory there.", type: str, sample: /var/lib/zero_downtime}
journal:
  description:
    - The journal of the rollout. For V(read), the unfinished one, None when there is none. For V(finish), None when it
      had been removed before.
  returned: success, but for V(record)
  type: dict
  contains:
    id: {description: Id of the rollout., type: str, sample: 20261121T101500Z-1.4.2-7}
    service: {description: Name of the service., type: str, sample: shop}
    version: {description: The release it goes to., type: str, sample: 1.4.2}
    strategy: {description: How., type: str, sample: rolling}
    fence: {description: Fencing number of the last attempt., type: int, sample: 7}
    begun: {description: When the first attempt began., type: str, sample: "2026-11-21T10:15:00Z"}
    attempts: {description: "C(time), C(owner) and C(fence) of each begin.", type: list, elements: dict}
    before: {description: What was found before., type: dict}
    plan: {description: The batches., type: list, elements: list}
    events:
      description: C(time), C(event), C(hosts) and C(details) of what happened, in order.
      type: list
      elements: dict
    outcome: {description: "How it ended, None as long as it has not. Also C(superseded).", type: str}
    finished: {description: When it ended., type: str}
    summary: {description: What V(finish) was given., type: dict}
    supersedes: {description: Id of the unfinished rollout whose C(before) it inherited., type: str}
    superseded_by: {description: Id of the rollout that inherited its C(before)., type: str}
waits:
  description:
    - What the unfinished rollout waits for, None when it has not paused, or has gone on since.
    - C(approved_by) is None as long as nobody has approved it.
  returned: success, for V(read) and V(approve)
  type: dict
  sample:
    id: 20261121T101500Z-1.4.2-7
    version: 1.4.2
    strategy: rolling
    point: batch
    number: 2
    why: "waiting for approval: the product owner has looked at it"
    waits_for: approval
    since: "2026-11-21T10:20:00Z"
    approved_by: kim on deploy1 (process 4711)
last:
  description: Journal of the last rollout that ended otherwise than by being superseded, None when there is none.
  returned: success, for V(read)
  type: dict
history:
  description: Journals of finished rollouts, the newest first.
  returned: success, for V(read)
  type: list
  elements: dict
holder:
  description: The lease that stands in the way.
  returned: failure, when somebody else holds it or took it
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ansible_collections.zero_downtime.deploy.plugins.module_utils._doors import serve
from ansible_collections.zero_downtime.deploy.plugins.module_utils._use_cases.keep_journal import (
    ARGUMENT_SPEC,
    CONSTRAINTS,
    run,
)


def main() -> None:
    """Wire the options to the use case."""
    serve(AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True, **CONSTRAINTS), run)


if __name__ == "__main__":
    main()
