"""What is seen and what is asked. Training draws from a task; evaluation lists its cases.

The options of every task are declared in `config/tasks.py`; these classes are the same with what they do.
"""

from dataclasses import fields

from gridless import config
from gridless.protocols import Task
from gridless.tasks.forecast import Forecast
from gridless.tasks.operator import Operator
from gridless.tasks.reconstruction import Reconstruction
from gridless.tasks.sparse_field import SparseField
from gridless.tasks.super_resolution import SuperResolution, scale_label

__all__ = ["Forecast", "Operator", "Reconstruction", "SparseField", "SuperResolution", "scale_label", "task_of"]

TASKS = {kind.__bases__[0]: kind for kind in (SuperResolution, Reconstruction, SparseField, Operator, Forecast)}


def task_of(options: config.Task) -> Task:
    """The task with these options."""
    return TASKS[type(options)](**{f.name: getattr(options, f.name) for f in fields(options)})
