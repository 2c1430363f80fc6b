"""A part of the user's own: an encoder, decoder, base or head that the package does not know."""

import sys
from collections.abc import Callable
from dataclasses import field
from typing import Any, Literal

from gridless.config.frozen import config


@config
class Own:
    """The class `name` of the module `module`, and its options. Written by `own(…)`, and so into the checkpoint; a model is
    loaded where that module has been imported already, for a file must not decide which code runs."""

    kind: Literal["own"] = "own"
    module: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)

    def load(self) -> Callable[..., Any]:
        """The class. Raises ValueError where its module was not imported."""
        part: Any = sys.modules.get(self.module)
        for step in self.name.split("."):
            part = getattr(part, step, None)
        if part is None:
            advice = f"import {self.module} first"
            if self.module == "__main__":
                advice = f"it was defined in a script or notebook: define {self.name} there, or keep it in a module"
            raise ValueError(
                f"this model has a part of its own, {self.module}.{self.name}, which is not there; {advice}"
            )
        return part


def own(part: type, **options: Any) -> Own:
    """`part` as a config: `gl.preset("mamba-ginr", decoder=gl.own(Ripples, hidden=32))`. Options are plain values. Raises
    ValueError for a class that cannot be found by its name.

    A class of a script or notebook (`__main__`) trains and saves; to load the model elsewhere, keep it in a module."""
    if "<locals>" in part.__qualname__:
        raise ValueError(
            f"{part.__qualname__} is defined inside a function; move it to a module, so that it can be loaded again"
        )
    own = Own(module=part.__module__, name=part.__qualname__, options=options)
    if own.load() is not part:
        raise ValueError(
            f"{own.module}.{own.name} is another class by now (redefined or wrapped); give the one that has this name"
        )
    return own
