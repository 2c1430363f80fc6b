"""The models that ship, each loaded once for all visitors."""

from functools import cache
from threading import Lock

from gridless.model import FieldModel

NAMES = ("photo", "sensors", "volume", "cifar10-mamba-ginr")
_loading = Lock()


def shipped(name: str) -> FieldModel:
    """The model of that name, the same one for whoever asks. Raises ValueError for a name that does not ship."""
    if name not in NAMES:
        raise ValueError(f"no model {name!r} ships; expected one of {', '.join(NAMES)}")
    with _loading:
        return _loaded(name)


@cache
def _loaded(name: str) -> FieldModel:
    model = FieldModel.from_pretrained(name)
    return model.requires_grad_(False)
