"""No encoder: a model that reads features at the samples and nothing else."""

from jaxtyping import Float
from torch import Tensor, nn

from gridless.network.encoded import Tokens


class NoEncoder(nn.Module):
    """Never asked: without an encoder no tokens are made (`PatchTokenizer`)."""

    width = 1

    def forward(self, tokens: Tokens) -> tuple[None, Float[Tensor, "B T D"]]:
        return None, tokens.x
