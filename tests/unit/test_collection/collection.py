# Copyright: The zero_downtime.deploy authors
# GNU General Public License v3.0-or-later (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the tests of the collection as a whole look at: files, and what they say."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any, Iterator

import yaml

CHECKOUT = Path(__file__).parents[3]
PLUGINS = CHECKOUT / "plugins"
FQCN = "zero_downtime.deploy."


def names(directory: Path, pattern: str = "*.py") -> list[str]:
    """Stems of the public files of a directory; none where there is no directory."""
    return sorted(path.stem for path in directory.glob(pattern) if not path.stem.startswith("_"))


MODULES = names(PLUGINS / "modules")
ACTIONS = names(PLUGINS / "action")
ROLES = sorted(path.name for path in (CHECKOUT / "roles").glob("*") if any(path.rglob("*.yml")))
PLAYBOOKS = sorted((CHECKOUT / "playbooks").glob("*.y*ml"))


def load(path: Path) -> Any:
    """A YAML file's content."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def constants(path: Path) -> dict[str, str]:
    """The string constants that a Python file assigns at its top."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def imports(path: Path) -> Iterator[str]:
    """What a Python file imports, anywhere in it; relative ones with their dots, names after the module's."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield module
            yield from (
                f"{module.rstrip('.')}.{alias.name}" if module.strip(".") else module + alias.name
                for alias in node.names
            )


def tasks(content: Any) -> Iterator[dict[str, Any]]:
    """Every task in a list of tasks or plays, those in blocks too."""
    for entry in content if isinstance(content, list) else []:
        if not isinstance(entry, dict):
            continue
        inner = [
            entry[key]
            for key in ("block", "rescue", "always", "tasks", "pre_tasks", "post_tasks", "handlers")
            if key in entry
        ]
        if not inner and "hosts" not in entry:
            yield entry
        for group in inner:
            yield from tasks(group)


def task_files() -> list[Path]:
    """Every file of ours that holds tasks or plays."""
    roots = [CHECKOUT / "playbooks", CHECKOUT / "examples", CHECKOUT / "molecule"]
    found = [path for root in roots for path in root.rglob("*.yml")]
    for kind in ("tasks", "handlers"):
        found += (CHECKOUT / "roles").glob(f"*/{kind}/**/*.yml")
    return sorted(found)
