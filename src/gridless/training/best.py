"""The weights that validate best, those of the untrained model among them: a training that only harms is thrown away."""

from collections.abc import Mapping
from copy import deepcopy
from math import inf

from gridless.model import FieldModel


class BestWeights:
    """A copy of the model as it was when it validated best: by CRPS, or by PSNR where there is no spread."""

    def __init__(self, model: FieldModel, score: float = inf, step: int = 0):
        """`score`: of this model, as `offer` counts it: less is better."""
        self.model, self.score, self.step = deepcopy(model), score, step

    def offer(self, scores: Mapping[str, float], model: FieldModel, step: int) -> None:
        """Takes the model's weights if they validate better than all before."""
        score = scores.get("val_crps", -scores.get("val_psnr", -inf))
        if score < self.score:
            self.score, self.step = score, step
            self.model.load_state_dict(model.state_dict())
