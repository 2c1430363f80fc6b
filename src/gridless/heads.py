"""From features at a coordinate to values."""

from jaxtyping import Float
from torch import Tensor, nn


class PointHead(nn.Module):
    """One value per channel. Starts at zero: an untrained field is its base."""

    def __init__(self, width: int, channels: int):
        super().__init__()
        self.linear = nn.Linear(width, channels)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Float[Tensor, "B Q F"]) -> Float[Tensor, "B Q C"]:
        return self.linear(features)
