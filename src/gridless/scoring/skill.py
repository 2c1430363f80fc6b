"""Skill: how much of a reference's squared error is gone."""

from dataclasses import dataclass

import numpy as np

from gridless.protocols import Case
from gridless.scoring.evaluate import Encoder, Prediction, known_values, predictions


@dataclass(frozen=True, eq=False)
class Skill:
    """1 − MSE / MSE of the reference, of one answer: 1 is perfect, 0 as good as the reference, less is worse. None where the
    reference is right."""

    reference: Encoder

    def __call__(self, answer: Prediction, case: Case) -> float | None:
        usual = predictions(self.reference, [case])[0].mean
        error, of_reference = (
            float(np.mean((value - truth) ** 2))
            for value, truth in (known_values(answer.mean, case), known_values(usual, case))
        )
        return 1 - error / of_reference if of_reference > 0 else None
