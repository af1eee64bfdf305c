# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module on another inventory host than the task's own, from within an action plugin.

A task has one host, a service may sit behind several balancers, and `loop` with `delegate_to` visits them one after
the other and leaves the first one changed when the second one fails.  So the connection to each balancer's host is
made here, as Ansible's task executor makes it for `delegate_to`, and the hosts are visited side by side.
"""

from __future__ import annotations

import multiprocessing
import os
from collections import deque
from multiprocessing.connection import wait
from typing import Any, Callable, Mapping, Sequence

from ansible import constants as C
from ansible.errors import AnsibleConnectionFailure, AnsibleError
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase

from ansible_collections.zero_downtime.deploy.plugins.module_utils._domain.errors import DeployError
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.lease import by_its_clock


def module_on_host(
    action: ActionBase, host: str, task_vars: dict[str, Any], module_name: str, module_args: dict[str, Any]
) -> dict[str, Any]:
    """Run a module on `host` with that host's own connection variables; return its result.

    :param action: the action plugin that asks; its task says check mode, diff and privilege escalation.
    :param task_vars: the task's variables; `hostvars` among them.
    :return: a result with ``failed`` for whatever went wrong, a host that cannot be reached included.
    """
    if host not in task_vars["hostvars"]:
        return {
            "failed": True,
            "msg": f"There is no host {host!r} in the inventory (`host` of a balancer). Nothing was touched.",
        }
    host_vars = _engine_vars(task_vars["hostvars"][host])
    remote = _action_for(action, host, host_vars)
    try:
        args = by_its_clock(remote, module_args)
        return remote._execute_module(module_name=module_name, module_args=args, task_vars=host_vars)
    except DeployError as error:
        return {"changed": False, **error.facts, "failed": True, "msg": error.message}
    except AnsibleConnectionFailure as error:
        return {"failed": True, "msg": f"Balancer host {host} cannot be reached: {error.message.strip().rstrip('.')}."}
    except AnsibleError as error:
        return {"failed": True, "msg": f"Balancer host {host}: {error.message.strip().rstrip('.')}."}
    finally:
        remote.cleanup(force=True)


def side_by_side(jobs: Sequence[Callable[[], dict[str, Any]]], at_once: int | None = None) -> list[dict[str, Any]]:
    """Run jobs at the same time, each in a process of its own; return their results in order.

    Ansible's connections and module builder are made for one task a process, so these are processes, not threads.

    :param at_once: no more than so many; all of them without it.
    """
    if len(jobs) == 1:
        return [jobs[0]()]
    context = multiprocessing.get_context("fork")
    results: list[dict[str, Any]] = [{} for job in jobs]
    waiting = deque(enumerate(jobs))
    running: dict[Any, tuple[int, Any]] = {}
    while waiting or running:
        while waiting and len(running) < (at_once or len(jobs)):
            number, job = waiting.popleft()
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=_send_result, args=(job, sender))
            process.start()
            sender.close()
            running[receiver] = (number, process)
        for receiver in wait(list(running)):
            number, process = running.pop(receiver)
            results[number] = _receive_result(process, receiver)
    return results


def _send_result(job: Callable[[], dict[str, Any]], sender: Any) -> None:
    try:
        sender.send(_plain(job()))
    except Exception as error:  # whatever it is, the parent must hear of it
        sender.send({"failed": True, "msg": f"{type(error).__name__}: {error}"})
    finally:
        sender.close()
        # Not sys.exit: the worker's own clean-up must not run twice.
        os._exit(0)


def _receive_result(process: Any, receiver: Any) -> dict[str, Any]:
    try:
        result: dict[str, Any] = receiver.recv()
    except EOFError:
        result = {"failed": True, "msg": "The process that talked to the balancer ended without an answer."}
    process.join()
    return result


def _plain(value: Any) -> Any:
    """Strip Ansible's own types, which do not travel between processes."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, (bool, type(None))):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return kind(value)
    return str(value)


def _engine_vars(host_vars: Mapping[str, Any]) -> dict[str, Any]:
    """What the engine itself reads of a host's variables; the others may be secrets, or templates that only work elsewhere."""
    return {name: host_vars[name] for name in host_vars if name.startswith("ansible_") or name == "inventory_hostname"}


def _action_for(action: ActionBase, host: str, host_vars: dict[str, Any]) -> ActionBase:
    task = action._task.copy()
    task.delegate_to = None  # else the delegate's interpreter and temporary directory would be used
    play_context = action._play_context.copy()
    play_context.remote_addr = host_vars.get("ansible_host", host)
    loaders = action._shared_loader_obj
    kind = host_vars.get("ansible_connection") or C.DEFAULT_TRANSPORT
    if kind == "smart":
        kind = "ssh"
    connection = loaders.connection_loader.get(kind, play_context, None)
    if connection is None:
        raise AnsibleError(f"Balancer host {host}: there is no connection plugin {kind!r}.")

    def options(plugin_type: str, name: str) -> dict[str, Any]:
        return {key: host_vars[key] for key in C.config.get_plugin_vars(plugin_type, name) if key in host_vars}

    keys = task.dump_attrs()
    keys.pop("retries", None)  # the task's, not the connection's
    keys["timeout"] = play_context.timeout
    if play_context.password:
        keys["password"] = play_context.password
    connection.set_options(task_keys=keys, var_options=options("connection", connection._load_name))
    connection._shell.set_options(task_keys=keys, var_options=options("shell", connection._shell._load_name))
    if boolean(host_vars.get("ansible_become", task.become) or False):
        become = loaders.become_loader.get(host_vars.get("ansible_become_method") or task.become_method or "sudo")
        if play_context.become_pass:
            keys["become_pass"] = play_context.become_pass
        become.set_options(task_keys=keys, var_options=options("become", become._load_name))
        connection.set_become_plugin(become)
        play_context.set_become_plugin(become)
        play_context.become = True
    else:
        connection.set_become_plugin(None)
        play_context.become = False
    return type(action)(
        task=task,
        connection=connection,
        play_context=play_context,
        loader=action._loader,
        templar=action._templar,
        shared_loader_obj=loaders,
    )
