"""All tasks by name, and which of their data lie ready."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lra.composition import plain
from lra.data.storage import Meta, Prepared
from lra.data.task import Task
from lra.errors import UserError, choose
from lra.files import by_name, listed
from lra.nodes import check_nodes, factory
from lra.paths import config_dirs


def task_names() -> list[str]:
    """The tasks of `configs/task/`."""
    return list(by_name(folder / "task" for folder in config_dirs()))


def make_task(name: str, **options: Any) -> Task:
    """A task with the options of its YAML file and those given. Raises UserError for unknown names."""
    choose("The task", name, task_names())
    node = plain([f"task={name}"])["task"] | options
    check_nodes({"task": node})
    return factory(node)()


@dataclass(frozen=True)
class Ready:
    """One prepared set of a task; `error` says why it cannot be used."""

    folder: Path
    meta: Meta | None
    error: str = ""

    def open(self, name: str) -> tuple[Task, Prepared]:
        """The task `name` with the options that the set was prepared with, and the set."""
        if self.meta is None:
            raise UserError(self.error)
        known = inspect.signature(type(make_task(name))).parameters
        task = make_task(name, **{key: v for key, v in self.meta.parameters.items() if key in known})
        return task, Prepared(self.folder, self.meta)


def ready(data_dir: Path, task: Task) -> list[Ready]:
    """The prepared sets of a task, whatever their options and variant, and damaged ones."""
    sets = []
    for folder in listed(Path(data_dir) / task.stored_as, "*/"):
        try:
            sets.append(Ready(folder, Meta.read(folder)))
        except UserError as error:
            sets.append(Ready(folder, None, str(error)))
    return sets
