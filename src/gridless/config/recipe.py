"""A recipe: the model, its data, its task and its training."""

from gridless.config.data import AnyData, Data
from gridless.config.frozen import config
from gridless.config.model import Model
from gridless.config.tasks import SuperResolution, Task
from gridless.config.training import Train


@config
class Recipe:
    """Everything a run is made of."""

    model: Model
    data: AnyData = Data()
    task: Task = SuperResolution()
    train: Train = Train()
