# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: live
type: aggregate
short_description: Shows a rollout as it runs
version_added: 0.1.0
author:
  - The zero_downtime.deploy authors (@zero-downtime)
description:
  - Shows which batch of how many a rollout is at, forward or on its way back, which hosts are in which phase (drain, deploy, check,
    return, soak; switch, watch), how far it is and about how long it will take, what users have felt so far, and how it ended.
  - In a terminal these are a few lines at its bottom, redrawn in place. Everywhere else (a log, AWX, a pipe, C(TERM=dumb)) it prints
    one line when a batch begins, one when each phase of it ends, and one at the end.
  - It adds to the usual output when it is named in C(callbacks_enabled).
  - It takes the place of the usual output when it is named as C(stdout_callback). Failures, warnings, diffs, what C(debug) tasks say,
    and the recap are still printed as ever, and with C(-v) everything is.
  - It learns of a rollout from what the modules and roles of this collection do. Playbooks that are none of this collection run as
    they do without it.
options:
  view:
    description:
      - V(auto) redraws in a terminal, and prints lines elsewhere. A run of AWX or ansible-runner, one with E(CI) set, and one that
        asks (C(--step), the task debugger) counts as elsewhere.
      - V(redrawn) redraws in whatever is a terminal.
      - V(lines) prints lines.
      - V(off) shows nothing.
    type: str
    choices: [auto, redrawn, lines, "off"]
    default: auto
    env:
      - name: ZERO_DOWNTIME_LIVE
    ini:
      - section: callback_live
        key: view
  record:
    description:
      - The file into which a probe writes what users feel while the rollout runs. Requests, failures and the 95th percentile of latencies
        are read from it, on the controller.
      - Without it, the file that a task of C(zero_downtime.deploy.traffic_probe) names. Where there is none, nothing is said of users.
    type: path
    env:
      - name: ZERO_DOWNTIME_LIVE_RECORD
    ini:
      - section: callback_live
        key: record
notes:
  - It never disturbs a rollout. Should anything go wrong in it, it says so once, as a warning, and is silent from then on.
  - Of arguments and results of tasks it shows names of hosts and services, versions, times, and why something failed.
    Tasks with C(no_log) are passed over.
  - The options of P(ansible.builtin.default#callback) hold for what is printed of the usual output.
seealso:
  - plugin: ansible.builtin.default
    plugin_type: callback
"""

EXAMPLES = r"""
ansible.cfg, beside the usual output: |
  [defaults]
  callbacks_enabled = zero_downtime.deploy.live

ansible.cfg, in place of it: |
  [defaults]
  stdout_callback = zero_downtime.deploy.live

For one run, as lines: |
  ANSIBLE_STDOUT_CALLBACK=zero_downtime.deploy.live ZERO_DOWNTIME_LIVE=lines ansible-playbook zero_downtime.deploy.rolling ...
"""

import atexit
import os
import sys
from typing import Any, Callable

from ansible import constants as C
from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.callback import CallbackBase
from ansible.utils.color import stringc

from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.live import hearing
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.live.screen import Screen
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.live.usual import Usual
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.live.view import View
from ansible_collections.zero_downtime.deploy.plugins.plugin_utils.live.words import (
    ASCII,
    BAD,
    FAINT,
    GOOD,
    NOW,
    PRETTY,
)

NAME = "zero_downtime.deploy.live"
PROBE = "zero_downtime.deploy.traffic_probe"
COLLECTION = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
COLORS = {GOOD: C.COLOR_OK, NOW: C.COLOR_CHANGED, BAD: C.COLOR_ERROR, FAINT: C.COLOR_DEBUG}
ENDINGS = {
    "v2_runner_on_ok": hearing.OK,
    "v2_runner_on_failed": hearing.FAILED,
    "v2_runner_on_skipped": hearing.SKIPPED,
    "v2_runner_on_unreachable": hearing.UNREACHABLE,
}
STARTS = ("v2_playbook_on_task_start", "v2_playbook_on_handler_task_start")
# Where a terminal is one only in name: the job's output is read by a program, or kept.
KEPT_BY = ("AWX_PRIVATE_DATA_DIR", "AWX_ISOLATED_DATA_DIR", "ORIGINAL_STDOUT_CALLBACK", "CI")


class CallbackModule(CallbackBase):
    """Tells the view what Ansible tells it, and the usual output as well where it takes that one's place."""

    CALLBACK_VERSION = 2.0
    # Ansible takes whatever `stdout_callback` names, be it of this type or not; one of the type `stdout` it never takes beside another.
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = NAME
    CALLBACK_NEEDS_ENABLED = True

    # The instance that is at work: before 2.19, one named both ways is there twice.
    _at_work: CallbackModule | None = None

    def __init__(self) -> None:
        super().__init__()
        self._view: View | None = None
        self._usual: Usual | None = None
        self._brief = False
        self._silent = False  # after something has gone wrong

    def hear(self, hook: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Every call that Ansible makes comes here."""
        if hook == "v2_playbook_on_start":
            self._open()
        if hook == "v2_playbook_on_play_start":
            self._safely(lambda: self._set_brief(args[0]))
        if self._usual is not None and not self._is_told(hook, args):
            current = getattr(self, "_current_task_result", None)
            self._usual.hear(hook, args, kwargs, self._brief, current)
        self._safely(lambda: self._show(hook, args, kwargs))

    def _open(self) -> None:
        if CallbackModule._at_work not in (None, self):
            self.disabled = True
            return
        CallbackModule._at_work = self
        if self._view is None and self._usual is None:
            if C.DEFAULT_STDOUT_CALLBACK in self._names():
                self._usual = Usual()
            self._safely(self._set_up)

    def _names(self) -> list[str]:
        """What Ansible calls this plugin, or the one that somebody has built upon it, as ansible-runner does."""
        return [
            getattr(self, "_load_name", ""),
            getattr(self, "ansible_name", ""),
            *(getattr(self, "_redirected_names", None) or []),
        ]

    def _set_up(self) -> None:
        kind = self._option("view", "auto")
        if kind == "off":
            return
        redrawn = kind in ("auto", "redrawn") and _is_terminal(kind == "redrawn")
        pretty = "utf" in (getattr(sys.stdout, "encoding", None) or "").lower()
        view = View(
            say=lambda text, style: self._display.display(text, color=COLORS.get(style)),
            note=lambda text: self._display.display(text, log_only=True),
            paint=lambda text, style: stringc(text, COLORS[style]) if style in COLORS and text.strip() else text,
            screen=Screen(sys.stdout) if redrawn else None,
            signs=PRETTY if pretty else ASCII,
            record=self._option("record", None) or "",
            check_mode=bool(context.CLIARGS.get("check")),
        )
        view.trouble = self._give_up
        self._view = view
        # For a run that ends without a word: Ctrl-C, an error of Ansible's own.
        atexit.register(self._safely, view.close)

    def _set_brief(self, play: Any) -> None:
        self._brief = self._view is not None and self._display.verbosity == 0 and _is_ours(play)

    def _show(self, hook: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self._view is None:
            return
        if hook in STARTS:
            task = args[0]
            self._view.started(_action(task), {} if task.no_log is True else task.args)
        elif hook in ENDINGS:
            self._hear_result(self._view, ENDINGS[hook], args[0], bool(kwargs.get("ignore_errors")))
        elif hook == "v2_playbook_on_stats":
            self._view.close()

    def _hear_result(self, view: View, kind: str, raw: Any, ignored: bool) -> None:
        # The names with an underscore are those that ansible-core has had all along.
        task, result = raw._task, raw._result
        if task.no_log is True or result.get("_ansible_no_log") or not isinstance(result, dict):
            return
        given = raw._task_fields.get("args") or {}
        if _action(task) == PROBE and kind == hearing.OK:
            view.found_record(str(result.get("path") or ""))
        before = view.told
        view.heard(hearing.Result(kind, _action(task), raw._host.get_name(), given, result, ignored))
        if self._usual is not None and self._brief and view.told and view.told is not before:
            for line in view.told:
                self._display.display(line)

    def _is_told(self, hook: str, args: tuple[Any, ...]) -> bool:
        """Whether a result says nothing but how the rollout ended, which the view has told."""
        told = self._view.told if self._brief and self._view is not None else []
        result = getattr(args[0], "_result", None) if told and hook in ENDINGS else None
        return isinstance(result, dict) and result.get("msg") in (told, " ".join(told))

    def _option(self, name: str, default: Any) -> Any:
        try:
            return self.get_option(name)
        except KeyError:
            pass
        # In a callback that is built upon this one the options are that one's; Ansible knows ours where it has loaded us.
        try:
            return C.config.get_config_value(name, plugin_type="callback", plugin_name=__name__)
        except AnsibleError:
            return default

    def _safely(self, what: Callable[[], None]) -> None:
        """Whatever goes wrong here is nobody else's trouble, and it goes wrong once."""
        if self._silent:
            return
        try:
            what()
        except Exception as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> None:
        self._silent, self._brief = True, False
        view, self._view = self._view, None
        try:
            if view is not None:
                view.give_up()
        except Exception:
            pass
        try:
            self._display.warning(f"The live view has ended, the rollout goes on: {type(error).__name__}: {error}")
        except Exception:
            pass


def _hook(name: str) -> Callable[..., None]:
    def hook(self: CallbackModule, *args: Any, **kwargs: Any) -> None:
        self.hear(name, args, kwargs)

    hook.__name__ = name
    hook.__doc__ = f"Ansible calls this: see CallbackBase.{name}."
    return hook


# All of them, so that the usual output hears whatever it would hear without us.
for _name in dir(CallbackBase):
    if _name.startswith("v2_") and _name != "v2_on_any":
        setattr(CallbackModule, _name, _hook(_name))


def _action(task: Any) -> str:
    return str(getattr(task, "resolved_action", None) or task.action)


def _is_ours(play: Any) -> bool:
    """Whether a play stands in a playbook of this collection."""
    path = str(play.get_path() or "").rpartition(":")[0]
    return bool(path) and os.path.realpath(path).startswith(COLLECTION + os.sep)


def _is_terminal(whatever_it_is: bool) -> bool:
    """Whether lines can be redrawn, and by somebody's eyes.

    :param whatever_it_is: take anything that is a terminal for one with eyes before it.
    """
    if not (sys.stdout and sys.stdout.isatty()):
        return False
    if whatever_it_is:
        return True
    if os.environ.get("TERM", "dumb") in ("", "dumb", "unknown") or any(os.environ.get(name) for name in KEPT_BY):
        return False
    # A prompt in the middle of it would be erased.
    return not (context.CLIARGS.get("step") or C.config.get_config_value("ENABLE_TASK_DEBUGGER"))
