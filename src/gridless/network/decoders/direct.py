"""The lightest decoder: what is read at the samples around the question is what the head reads.

Source: the idea of IGConv and LMF (public code: dslisleedh/IGConv, HeZongyao/LMF), that the work of an answer belongs to
the samples and little of it to the questions. Deviation: what depends on the question is not a network
but the waves of the read-out (`local.py`), so that the answer is a linear map of the features around it, whose weights are
those of two axes multiplied, and a grid of questions shares them.
"""

from jaxtyping import Float
from torch import Tensor, nn

from gridless import config
from gridless.network.encoded import Tokens


class DirectDecoder(nn.Module):
    joint = False

    def __init__(self, decoder: config.Direct, signal: config.Signal, width: int, patch: int, latents: int):
        super().__init__()
        if latents:
            raise ValueError(
                f"decoder.kind 'direct' reads no latents, there are {latents}; set encoder.kind to none or "
                "encoder.tokens.count to 0"
            )
        self.width = self.local_width = decoder.hidden

    def prepare(self, latents: Tokens) -> Tokens:
        return latents

    def forward(
        self, coords: Float[Tensor, "B Q d"], latents: Tokens | None, local: Float[Tensor, "B Q H"] | None
    ) -> Float[Tensor, "B Q H"]:
        assert local is not None, "a model with this decoder has a local read-out"
        return local
