"""What a field of a picture keeps, as whole numbers of steps, entropy-coded: the bytes of `reconstruction.py`."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

import gridless as gl

AT_ONCE, LEVELS = 50, 256


def psnr(answers: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean(-10 * np.log10(np.square(answers - truth).mean((1, 2, 3)))))


@torch.no_grad()
def reconstructed(model: gl.FieldModel, pictures: np.ndarray) -> np.ndarray:
    coords, parts = gl.grid(*pictures.shape[1:3]), []
    for some in torch.from_numpy(pictures).split(AT_ONCE):
        parts.append(model(gl.Samples.from_grid(some), coords.expand(len(some), -1, -1)).view_as(some))
    return torch.cat(parts).numpy()


class Code:
    """The numbers that a field keeps, as whole numbers of steps."""

    def __init__(self, model: gl.FieldModel, known: np.ndarray):
        self.model, self.steps = model.train(), None  # in training a field is of the model itself, which has the hook
        self.restore = self._of_components() if model.config.signal.seen == "base" else self._of_latents()
        self.seen: list[torch.Tensor] = []
        reconstructed(model, known)
        seen = torch.cat(self.seen)
        self.low = seen.amin((0, 1))
        self.steps = (seen.amax((0, 1)) - self.low).clamp(min=1e-9) / (LEVELS - 1)
        self.seen = []
        reconstructed(model, known)
        self.counts = np.stack([np.bincount(c, minlength=LEVELS) + 0.05 for c in self._symbols().T])

    def _of_latents(self) -> Callable[[], None]:
        """Latents, or what is narrowed of them, pass through `_coded`; returns what undoes that."""
        narrow = getattr(self.model.processor, "narrow", None)

        def passed(module, inputs, output):
            if torch.is_tensor(output):
                return self._coded(output)
            latents, rest = output
            return replace(latents, x=self._coded(latents.x)), rest

        place = self.model.encoder if narrow is None else narrow
        return place.register_forward_hook(passed).remove

    def _of_components(self) -> Callable[[], None]:
        """So do the numbers of principal components."""
        base = self.model.base
        solve = base.solve

        def solved(samples):
            exact = solve(samples)
            numbers = self._coded(exact.numbers[:, None])[:, 0]
            kept = (base.mean + numbers @ base.basis.T).view_as(exact.kept.values)
            return replace(exact, numbers=numbers, kept=replace(exact.kept, values=kept))

        base.solve = solved
        return lambda: delattr(base, "solve")

    def _coded(self, x: torch.Tensor) -> torch.Tensor:
        """In steps; before these are known, as it is."""
        if self.steps is None:
            self.seen.append(x)
            return x
        whole = ((x - self.low) / self.steps).round().clamp(0, LEVELS - 1)
        self.seen.append(whole)
        return whole * self.steps + self.low

    def _symbols(self) -> np.ndarray:
        return torch.cat(self.seen).flatten(0, 1).numpy().astype(np.int32)

    def score(self, pictures: np.ndarray) -> dict[str, float]:
        """PSNR of coded pictures, and the bytes of one."""
        import constriction

        self.seen = []
        answers, symbols = reconstructed(self.model, pictures), self._symbols()
        coder, models = constriction.stream.queue.RangeEncoder(), constriction.stream.model.Categorical
        for channel, counts in enumerate(self.counts):
            model = models(counts / counts.sum(), perfect=False)
            coder.encode(np.ascontiguousarray(symbols[:, channel]), model)
        self.restore()
        return {"coded_psnr": psnr(answers, pictures), "bytes": coder.num_bits() / 8 / len(pictures)}
