"""Velocities of noisy answers that read one another: the two sparse-field models of MAMBA-GINR's flow-matching experiments.

Source: the public code's two baselines, V1 (`mixer.kind = "shared-state"`) and V2 (`"attention"`).
    readings  W [γ(x), value]                           the model's tokenizer
    queries   W_q [γ(x), z_t]                           `self.query`; z_t the noisy answer, γ the tokenizer's
    sequence = readings and queries, + time embedding    `self.time`
    depth × mixer                                        `self.layers`
    out = MLP(cross-attention(queries; readings))        `self.read`, `self.out`; its last layer is the model's head
What is broken there is kept as the default and mended by a setting each:
    `residual`        false: z_t reaches the output only through the cross-attention, which sees no query
    `mixer.dt`        "1/N": the state's step depends on how many questions are asked; "fixed" 1/1024, "learned"
    `mixer.hold`      false: the input is not discretised with the state; true: zero-order hold, (e^{dt A} − 1) / A
    `time`            of the head: t in [0, 1] unscaled and without an MLP; `adaln` scales and shifts every layer's input
Questions stand in one sequence with the readings, so an answer depends on the others: `joint`.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gridless import config
from gridless.network.encoded import Tokens
from gridless.network.flow import TimeEmbedding, still
from gridless.nn.scan import selective_scan


class JointDecoder(nn.Module):
    joint = True
    local_width = 0

    def __init__(self, decoder: config.Joint, flow: config.FlowHead, signal: config.Signal, width: int, features: int):
        """`features`: of the tokenizer's encoding of a place."""
        super().__init__()
        self.residual, self.width, self.drop_path = decoder.residual, width, decoder.drop_path
        self.query = nn.Linear(features + signal.channels * (1 + flow.self_condition), width)
        self.time = TimeEmbedding(flow.time, width)
        self.layers = nn.ModuleList(build_mixer(decoder.mixer, width) for _ in range(decoder.depth))
        self.modulate = nn.ModuleList()
        if flow.time.how == "adaln":
            self.modulate.extend(still(nn.Linear(width, 2 * width)) for _ in range(decoder.depth))
        self.read = nn.MultiheadAttention(width, decoder.heads, batch_first=True)
        activation = nn.ReLU() if decoder.activation == "relu" else nn.GELU()
        self.out = nn.Sequential(nn.Linear(width, width), activation)

    def prepare(self, latents: Tokens) -> Tokens:
        return latents

    def forward(
        self, place: Float[Tensor, "B Q F"], z: Float[Tensor, "B Q Z"], t: Float[Tensor, " B"], readings: Tokens
    ) -> Float[Tensor, "B Q D"]:
        """`place`: the encoded coordinates of the questions; `z`: their noisy answers."""
        time, n = self.time(t)[:, None], readings.x.shape[1]
        x = torch.cat([readings.x, self.query(torch.cat([place, z], -1))], 1)
        x = x if len(self.modulate) else x + time
        mask = readings.mask
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(z.shape[:2])], 1)
        for i, layer in enumerate(self.layers):
            if len(self.modulate):
                scale, shift = self.modulate[i](time).chunk(2, -1)
                x = x * (1 + scale) + shift
            y = layer(x, mask)
            if self.training and self.drop_path:
                kept = (torch.rand(len(x), 1, 1, device=x.device) >= self.drop_path) / (1 - self.drop_path)
                y = x + kept * (y - x)
            x = y
        ignored = None if readings.mask is None else ~readings.mask
        answer = self.read(x[:, n:], x[:, :n], x[:, :n], key_padding_mask=ignored, need_weights=False)[0]
        return self.out(answer + x[:, n:] if self.residual else answer)


def build_mixer(mixer: config.SharedState | config.AttentionLayer, width: int) -> nn.Module:
    match mixer:
        case config.SharedState():
            return SharedState(mixer, width)
        case config.AttentionLayer():
            return AttentionLayer(mixer, width)


class AttentionLayer(nn.Module):
    """torch's pre-norm transformer layer."""

    def __init__(self, mixer: config.AttentionLayer, width: int):
        super().__init__()
        inner = round(width * mixer.expansion)
        self.layer = nn.TransformerEncoderLayer(
            width, mixer.heads, inner, mixer.dropout, "gelu", batch_first=True, norm_first=True
        )

    def forward(self, x: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"] | None) -> Float[Tensor, "B L D"]:
        return self.layer(x, src_key_padding_mask=None if mask is None else ~mask)


class SharedState(nn.Module):
    """x + σ(W norm x) ⊙ (C h + D ⊙ norm x): a few numbers that the whole sequence shares, no selection, one direction.

    h_n = e^{dt A} h_{n−1} + B u_n
    """

    def __init__(self, mixer: config.SharedState, width: int):
        super().__init__()
        self.rule, self.hold = mixer.dt, mixer.hold
        self.norm, self.gate = nn.LayerNorm(width), nn.Linear(width, width)
        self.A_log = nn.Parameter(torch.randn(mixer.state) * 0.1 - 1)
        self.B = nn.Linear(width, mixer.state, bias=False)
        self.C = nn.Linear(mixer.state, width, bias=False)
        self.D = nn.Parameter(torch.randn(width) * 0.01)
        if mixer.dt == "learned":
            self.dt = nn.Parameter(torch.tensor(0.01).log())

    def forward(self, x: Float[Tensor, "B L D"], mask: Bool[Tensor, "B L"] | None) -> Float[Tensor, "B L D"]:
        u = self.norm(x)
        exact = torch.promote_types(u.dtype, torch.float32)
        match self.rule:
            case "1/N":
                length = x.shape[1] if mask is None else mask.sum(1)[:, None, None]
                dt = torch.as_tensor(1 / length, dtype=exact, device=x.device)
            case "fixed":
                dt = torch.tensor(1 / 1024, dtype=exact, device=x.device)
            case "learned":
                dt = self.dt.exp()
        A, into = -self.A_log.to(exact).exp(), self.B(u).to(exact)
        if self.hold:
            into = into * torch.expm1(dt * A) / A  # for a short step 1 − e^{dt A} has few digits
        if mask is not None:
            into = into * mask[..., None]
        # the fused scan adds dt x B: with B = 1, x is what shall be added, over dt
        steps = (dt if mask is None else dt * mask[..., None]).expand(into.shape)
        one = torch.ones_like(into[..., :1])
        h = selective_scan((into / dt).contiguous(), steps.contiguous(), A[:, None], one, one)
        return x + self.gate(u).sigmoid() * (self.C(h.to(u.dtype)) + self.D * u)
