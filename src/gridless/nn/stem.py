"""Residual convolutions on a grid of any dimension up to three, blind to masked samples."""

import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gridless import config
from gridless.nn.residual import start_at_zero

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu_}


class Stem(nn.Module):
    """conv 3 → `blocks` × (x + conv 3 (gelu (conv 3 x))), or relu. Masked samples stay zero after every layer, as if the
    grid ended there. Every branch starts at zero: twelve that start at full size explode along the depth."""

    def __init__(self, stem: config.Stem, channels: int, axes: int):
        super().__init__()
        if axes not in CONVOLUTIONS:
            raise ValueError(f"a convolutional stem has 1 to 3 axes, got {axes}; set tokenizer.stem to none")
        conv = CONVOLUTIONS[axes]
        self.width, self.activation = stem.width, ACTIVATIONS[stem.activation]
        self.first = conv(channels, stem.width, 3, padding=1)
        self.blocks = nn.ModuleList()
        for _ in range(stem.blocks):
            inner, outer = (conv(stem.width, stem.width, 3, padding=1) for _ in range(2))
            start_at_zero(outer)
            self.blocks.append(nn.ModuleList([inner, outer]))

    def forward(
        self, x: Float[Tensor, "B *grid C"], mask: Bool[Tensor, "B *grid"] | None
    ) -> Float[Tensor, "B *grid W"]:
        keep = (lambda y: y) if mask is None else (lambda y: y * mask[:, None])
        # a transposed view of channels-last data is what the CPU's and the GPU's convolutions like best
        x = keep(x.movedim(-1, 1))
        x = keep(self.first(x))
        for block in self.blocks:
            assert isinstance(block, nn.ModuleList)
            inner, outer = block
            x = keep(outer(keep(self.activation(inner(x))))).add_(x)
        return x.movedim(1, -1)
