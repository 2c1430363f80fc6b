"""The selective state space layer, in both directions, and its residual block.

Source: Gu & Dao 2023 (arXiv 2312.00752), section 3; bidirectional as in MAMBA-GINR: two independent layers, one reading
the sequence backwards, averaged (or concatenated and projected).
    in_proj  → x, z          depthwise causal convolution, SiLU → x        x_proj → dt, B, C
    dt = softplus(dt_proj dt)                h_t = exp(dt A) h_{t−1} + dt x_t B_t,  y_t = C_t h_t + D x_t
    out = out_proj(y · SiLU(z))
Deviations: the layers of both directions share one input and one output matmul (the same numbers, fewer calls); the
backward direction runs the convolution and the scan against time instead of flipping the sequence; padding is inert
in both directions (dt = 0 and x = 0 there). On a CPU all between in_proj and out_proj is one operator, of all directions
(`scan/mixer.py`); elsewhere, and with `ways`, it is written out below. There the convolution is a sum of shifted products:
the backward of `nn.Conv1d(groups=D)` takes most of the step on a CPU otherwise.
"""

from dataclasses import dataclass
from math import ceil, log

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gridless import config
from gridless.nn.attention import feed_forward, last_layer
from gridless.nn.scan import carried_scan, mamba_mixer, mixer_fits, selective_scan


@dataclass(frozen=True, eq=False)
class MambaState:
    """What a layer that reads forwards keeps of a sequence, however long it was."""

    inputs: Float[Tensor, "B taps-1 inner"]
    """Of the convolution: the last ones, the newest at the end."""
    h: Float[Tensor, "B inner N"]
    """Of the scan."""


class BiMamba(nn.Module):
    """Mamba over a sequence, forwards and backwards."""

    def __init__(self, width: int, ssm: config.Ssm):
        super().__init__()
        self.reverse = (False, True) if ssm.direction == "both" else (False,)
        k, inner, n, rank = len(self.reverse), ssm.expand * width, ssm.state, ceil(width / 16)
        self.inner, self.state, self.rank, self.merge = inner, n, rank, ssm.merge
        self.in_proj = nn.Linear(width, k * 2 * inner, bias=False)
        self.conv_weight = nn.Parameter(torch.empty(k, ssm.conv, inner).uniform_(-1, 1) / ssm.conv**0.5)
        self.conv_bias = nn.Parameter(torch.empty(k, inner).uniform_(-1, 1) / ssm.conv**0.5)
        self.x_proj = nn.Parameter(torch.empty(k, rank + 2 * n, inner).uniform_(-1, 1) / inner**0.5)
        self.dt_proj = nn.Parameter(torch.empty(k, inner, rank).uniform_(-1, 1) / rank**0.5)
        # dt starts log-uniform in [0.001, 0.1]; the bias is its inverse softplus
        dt = torch.exp(torch.rand(k, inner) * (log(0.1) - log(0.001)) + log(0.001))
        self.dt_bias = nn.Parameter(dt + torch.log(-torch.expm1(-dt)))
        self.A_log = nn.Parameter(torch.arange(1, n + 1, dtype=torch.float32).log().repeat(k, inner, 1))
        self.D = nn.Parameter(torch.ones(k, inner))
        out_proj = nn.Linear(k * inner, width, bias=False)
        nn.init.uniform_(out_proj.weight, -(inner**-0.5), inner**-0.5)
        self.out_proj: nn.Linear | nn.ModuleList = out_proj
        if ssm.merge == "concat":
            if k == 1:
                raise ValueError("ssm.merge = 'concat' needs ssm.direction = 'both'; use 'average'")
            # each direction keeps its own output projection, as in the published concat + projection
            self.out_proj = nn.ModuleList(nn.Linear(inner, width, bias=False) for _ in range(k))
            self.join = nn.Linear(k * width, width)

    def forward(
        self,
        x: Float[Tensor, "B L D"],
        mask: Bool[Tensor, "B L"] | None = None,
        ways: Float[Tensor, "B L"] | None = None,
    ) -> Float[Tensor, "B L D"]:
        """Where `mask` is False the sequence is padded; padding must stand at the end. `ways`: how long each step is, as
        a multiple of what the token says, from the item before."""
        y = self._mixed(self.in_proj(x), mask, ways)
        if isinstance(self.out_proj, nn.ModuleList):
            parts = y.chunk(len(self.reverse), -1)
            return self.join(torch.cat([out(p) for out, p in zip(self.out_proj, parts, strict=True)], -1))
        return self.out_proj(y) / len(self.reverse)

    def _mixed(
        self, xz: Float[Tensor, "B L 2*K*inner"], mask: Bool[Tensor, "B L"] | None, ways: Float[Tensor, "B L"] | None
    ) -> Float[Tensor, "B L K*inner"]:
        """The gated outputs of the directions, side by side."""
        if ways is None and mixer_fits(xz, self.inner):
            weights = (self.conv_weight, self.conv_bias, self.x_proj, self.dt_proj, self.dt_bias)
            return mamba_mixer(xz, mask, *weights, -self.A_log.exp(), self.D)
        both = xz.chunk(2 * len(self.reverse), -1)
        keep = None if mask is None else mask[..., None]
        parts = [self._direction(k, both[2 * k], both[2 * k + 1], keep, ways) for k in range(len(self.reverse))]
        return torch.cat(parts, -1)

    def last_layer(self) -> nn.Linear:
        return self.join if isinstance(self.out_proj, nn.ModuleList) else self.out_proj

    def _direction(
        self, k: int, x: Tensor, z: Tensor, keep: Tensor | None, ways: Tensor | None
    ) -> Float[Tensor, "B L inner"]:
        reverse = self.reverse[k]
        if keep is not None:
            x = x * keep
        x = F.silu(shifted_convolution(x, self.conv_weight[k], self.conv_bias[k], reverse))
        y = selective_scan(x, *self._steps(k, x, keep, ways), reverse=reverse)
        return (y + self.D[k].to(y.dtype) * x) * F.silu(z)

    def _steps(
        self, k: int, x: Float[Tensor, "B L inner"], keep: Tensor | None, ways: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """What the scan takes beside x: dt, A, B and C."""
        dt, b, c = F.linear(x, self.x_proj[k]).split([self.rank, self.state, self.state], -1)
        dt = F.softplus(_single(F.linear(dt, self.dt_proj[k])) + self.dt_bias[k])
        if ways is not None:  # backwards, a step comes from the item behind
            dt = dt * (F.pad(ways[:, 1:], (0, 1), value=1.0) if self.reverse[k] else ways)[..., None]
        if keep is not None:
            dt = dt * keep
        return dt, -_single(self.A_log[k]).exp(), b, c

    def start(self, batch: int) -> MambaState:
        """The state before the first item."""
        like = self.conv_weight
        return MambaState(
            like.new_zeros(batch, like.shape[1] - 1, self.inner), like.new_zeros(batch, self.inner, self.state)
        )

    def carried(
        self,
        x: Float[Tensor, "B L D"],
        state: MambaState,
        mask: Bool[Tensor, "B L"] | None = None,
        ways: Float[Tensor, "B L"] | None = None,
    ) -> tuple[Float[Tensor, "B L D"], MambaState]:
        """As `forward` of a sequence that goes on: the outputs of its next items, and the state after the real ones among
        them. In pieces of any length the numbers are those of the whole. Raises ValueError for a layer that reads
        backwards too."""
        if len(self.reverse) > 1:
            raise ValueError("ssm.direction 'both' reads from the end too, so nothing can follow; set 'forward'")
        assert isinstance(self.out_proj, nn.Linear), "only two directions are joined"
        x, z = self.in_proj(x).chunk(2, -1)
        keep = None if mask is None else mask[..., None]
        x = x if keep is None else x * keep
        seen = torch.cat([state.inputs.to(x.dtype), x], 1)
        recent = state.inputs.shape[1]
        x = F.silu(shifted_convolution(seen, self.conv_weight[0], self.conv_bias[0])[:, recent:])
        y, h = carried_scan(state.h, x, *self._steps(0, x, keep, ways))
        y = self.out_proj((y + self.D[0].to(y.dtype) * x) * F.silu(z))
        return y, MambaState(_last(seen, recent, mask), h)


def _single(x: Tensor) -> Tensor:
    """In single precision at least."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _last(x: Float[Tensor, "B R+L D"], count: int, mask: Bool[Tensor, "B L"] | None) -> Float[Tensor, "B R D"]:
    """The `count` items before the padding."""
    if mask is None:
        return x[:, x.shape[1] - count :].clone()  # not a view, which would keep all of them
    index = mask.sum(1)[:, None] + torch.arange(count, device=x.device)
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))


def shifted_convolution(
    x: Float[Tensor, "B L D"], weight: Float[Tensor, "K D"], bias: Float[Tensor, " D"], reverse: bool = False
) -> Float[Tensor, "B L D"]:
    """Depthwise convolution over the K samples up to now (`reverse`: from now on), zero beyond the ends."""
    taps, length = len(weight), x.shape[1]
    padded = F.pad(x, (0, 0, 0, taps - 1) if reverse else (0, 0, taps - 1, 0))
    out = bias.to(x.dtype)
    for j in range(taps):
        out = out + padded[:, j : j + length] * weight[taps - 1 - j if reverse else j].to(x.dtype)
    return out


class MambaBlock(nn.Module):
    """x + mixer(norm x), then x + mlp(norm x). Returns the new stream and the last mlp's share of it."""

    def __init__(self, width: int, ssm: config.Ssm, expansion: float):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mixer = BiMamba(width, ssm)
        self.mlp_norm = nn.LayerNorm(width)
        self.mlp = feed_forward(width, expansion, gated=False)

    def forward(
        self,
        x: Float[Tensor, "B L D"],
        mask: Bool[Tensor, "B L"] | None = None,
        ways: Float[Tensor, "B L"] | None = None,
    ) -> tuple[Tensor, Tensor]:
        x = x + self.mixer(self.norm(x), mask, ways)
        last = self.mlp(self.mlp_norm(x))
        return x + last, last

    def carried(
        self,
        x: Float[Tensor, "B L D"],
        state: MambaState,
        mask: Bool[Tensor, "B L"] | None = None,
        ways: Float[Tensor, "B L"] | None = None,
    ) -> tuple[Tensor, Tensor, MambaState]:
        """As `forward` of a sequence that goes on (`BiMamba.carried`), and the state after it."""
        mixed, state = self.mixer.carried(self.norm(x), state, mask, ways)
        x = x + mixed
        last = self.mlp(self.mlp_norm(x))
        return x + last, last, state

    def branch_ends(self) -> tuple[nn.Linear, ...]:
        """The last layers of the two branches."""
        return self.mixer.last_layer(), last_layer(self.mlp)
