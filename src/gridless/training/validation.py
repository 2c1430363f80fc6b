"""How a model in training is doing: a few scores on what it does not see."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from gridless.model import FieldModel
from gridless.tasks import SparseField, Task

VALIDATED = 64


def validate(model: FieldModel, photos: Sequence, task: Task) -> dict:
    """Mean PSNR and mean gain over the base on the middle 192² of the first VALIDATED validation pictures, or the PSNR of
    validation fields."""
    from gridless.bases import Interpolation
    from gridless.scoring.metrics import psnr_rgb

    model.eval()
    if isinstance(task, SparseField):
        from gridless.scoring.field_scores import validation

        return validation(model, photos, task)
    device = next(model.parameters()).device
    scores: dict[str, list[float]] = {}
    for photo in photos[:VALIDATED]:
        top, left = (max(0, (n - 192) // 2) for n in photo.shape[:2])
        middle = replace(photo, pixels=photo.pixels[top : top + 192, left : left + 192], alpha=None)
        for case in task.cases(middle):
            samples, truth = case.samples(), case.truth / 255
            score = psnr_rgb(model.encode(samples.to(device)).to_image(shape=case.shape).cpu().numpy(), truth)
            scores.setdefault("val_psnr", []).append(score)
            if case.scale != 1:
                base = psnr_rgb(Interpolation("bicubic").encode(samples).to_image(shape=case.shape).numpy(), truth)
                scores.setdefault(f"val_gain_x{case.scale:g}", []).append(score - base)
    return {k: round(float(np.mean(v)), 4) for k, v in scores.items()}
