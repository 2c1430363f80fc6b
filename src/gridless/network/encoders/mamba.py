"""MAMBA-GINR's encoder: learnable position tokens among the patches, read by a bidirectional Mamba.

Source: MAMBA-GINR (Balasooriya et al., NeurIPS 2025 workshop "Data on the Brain & Mind") and its public code.
    sequence = patches and position tokens in the order of `placement`         → `Placement.order`
    depth × { x += BiMamba(norm x); x += MLP(norm x) }                           → nn/mamba.py
    latents = outputs at the position tokens                                     → `Placement.tokens`, `latents`
Deviations: the extracted positions are those of the position tokens by construction (the published code inserts
equidistantly whatever it extracts); the residual stream is kept and normalised at the end (`final = "last-mlp"` gives
the published output); position tokens carry learned positions in the window, started on an even grid; the patches'
outputs are returned too, for local read-out; padding goes to the end of the sequence and is inert; scattered points are
read along a space-filling curve (`order`), with steps as long as the way between them (`ssm.gap`); one that reads
forwards with its position tokens at the end can go on where it stopped (`advanced`, `latents_after`).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from gridless import config
from gridless.network.encoded import Tokens
from gridless.network.encoders.position_tokens import PositionTokens, latents
from gridless.nn.curves import order_along_curve
from gridless.nn.mamba import MambaBlock, MambaState
from gridless.nn.residual import scale_branches


@dataclass(frozen=True, eq=False)
class Placement:
    """`order[i]`: which item stands at place i of the sequence: patches are 0 … n−1, tokens n … n+m−1."""

    order: Int64[Tensor, " T"]
    count: int
    """Of the patches."""

    @property
    def tokens(self) -> Int64[Tensor, " M"]:
        """The places of the tokens, in their own order."""
        return self.order.argsort()[self.count :]

    @property
    def patches(self) -> Int64[Tensor, " N"]:
        """The places of the patches, in their own order."""
        return self.order.argsort()[: self.count]


def placement(patches: int, tokens: int, kind: str = "equidistant", group: int = 1, device=None) -> Placement:
    """Where `tokens` position tokens stand among `patches` patches. The patches keep their order.

    equidistant: from the first place to the last; middle: in one run after half of the patches; group: runs of `group`
    tokens, equidistant; append: at the end. Made where it is used, without a list or a look at a number, so that a GPU
    is not waited for. Raises ValueError if `group` does not divide the number of tokens.
    """
    total, index = patches + tokens, torch.arange(tokens, device=device)
    match kind:
        case "equidistant":
            places = _spread(index, total - 1, tokens)
        case "middle":
            places = patches // 2 + index
        case "group":
            if tokens % group:
                raise ValueError(f"encoder.tokens: groups of {group} do not divide {tokens} tokens")
            places = _spread(index // group, total - group, tokens // group) + index % group
        case "append":
            places = patches + index
        case _:
            raise ValueError(f"no placement {kind!r}; there are equidistant, middle, group, append")
    is_token = torch.zeros(total, dtype=torch.long, device=device).index_fill(0, places, 1)
    before = is_token.cumsum(0) - is_token  # tokens that stand before a place
    order = torch.where(is_token > 0, patches + before, torch.arange(total, device=device) - before)
    return Placement(order, patches)


def _spread(index: Int64[Tensor, " M"], last: int, count: int) -> Int64[Tensor, " M"]:
    """`count` integers evenly from 0 to `last`, rounded down (exactly, without floats)."""
    return index * last // max(1, count - 1)


@dataclass(frozen=True, eq=False)
class ReadSoFar:
    """What the encoder keeps of the readings up to now, however many they were."""

    layers: tuple[MambaState, ...]
    counts: Int64[Tensor, " B"]
    last: Float[Tensor, "B 1 d"]
    """Where the last one lies; of a field without any, nowhere."""


class MambaEncoder(nn.Module):
    """Patches in; latents (the position tokens) and contextual patches out."""

    def __init__(self, encoder: config.MambaEncoder, signal: config.Signal, width: int, positions: bool):
        """`positions`: whether a spatial bias reads the tokens' positions, so that they can learn."""
        super().__init__()
        tokens = encoder.tokens
        self.width, self.count, self.kind, self.group = width, tokens.count, tokens.placement, tokens.group
        placement(0, self.count, self.kind, self.group)  # a wrong group fails here, not in training
        self.final, self.read, self.curve, self.gap = encoder.final, tokens.read, encoder.order, encoder.ssm.gap
        self.tokens = PositionTokens(tokens, signal, width, positions) if self.count else None
        blocks = [MambaBlock(width, encoder.ssm, encoder.expansion) for _ in range(encoder.depth)]
        self.blocks = nn.ModuleList(blocks)
        scale_branches(blocks)
        self.norm = nn.LayerNorm(width) if encoder.final == "residual-norm" else nn.Identity()
        needed = {
            "encoder.ssm.direction = 'forward'": encoder.ssm.direction == "forward",
            "encoder.order = 'given'": encoder.order == "given",
            "encoder.tokens.placement = 'append'": tokens.placement == "append",
            "encoder.tokens.read = 'tokens'": tokens.read == "tokens",
            "encoder.tokens.content = false": not tokens.content,
            "encoder.tokens.count of at least 1": tokens.count > 0,
            "encoder.depth of at least 1": encoder.depth > 0,
        }
        self.missing_for_streams = tuple(option for option, given in needed.items() if not given)

    def forward(self, patches: Tokens) -> tuple[Tokens | None, Float[Tensor, "B N D"]]:
        b, n, _ = patches.x.shape
        x = patches.x
        if self.tokens is not None:
            tokens = self.tokens(patches)
            x = torch.cat([x, tokens.x.to(x.dtype)], 1)
        pos = patches.pos if self.tokens is None else torch.cat([patches.pos, tokens.pos.to(patches.pos.dtype)], 1)
        order, mask = self._sequence(patches, x.device) if self.curve == "given" else self._along(patches, pos)
        y, ways = _take(x, order), None if self.gap is None else self._ways(_take(pos, order), mask, self.gap)
        last = y
        for block in self.blocks:
            y, last = block(y, mask, ways)
        y = self.norm(y if self.final == "residual-norm" else last)
        y = _take(y, order.argsort(-1))
        return latents(self.read, y, patches, None if self.tokens is None else tokens.pos), y[:, :n]

    def advanced(self, readings: Tokens, before: ReadSoFar | None = None) -> ReadSoFar:
        """What is kept after these readings too, in their order; `missing_for_streams` must be empty."""
        if before is None:
            start = tuple(block.mixer.start(len(readings.x)) for block in self._mambas())
            none = torch.zeros(len(readings.x), dtype=torch.long, device=readings.x.device)
            before = ReadSoFar(start, none, torch.zeros_like(readings.pos[:, :1]))
        x, pos, mask, new = readings.x, readings.pos, readings.mask, readings.x.shape[1]
        counts = torch.full_like(before.counts, new)
        if mask is not None:
            real_first, counts = torch.argsort(~mask, dim=1, stable=True), mask.sum(1)
            x, pos, mask = (
                _take(x, real_first),
                _take(pos, real_first),
                torch.arange(new, device=x.device) < counts[:, None],
            )
        layers, _ = self._continued(x, pos, mask, before)
        path = torch.cat([before.last, pos], 1)
        last = path.gather(1, counts[:, None, None].expand(-1, 1, pos.shape[-1]))
        return ReadSoFar(layers, before.counts + counts, last)

    def latents_after(self, read: ReadSoFar) -> Tokens:
        """The latents of all that was read: the position tokens, read from where the readings end."""
        assert self.tokens is not None
        tokens = self.tokens.alone(len(read.counts))
        _, outputs = self._continued(tokens.x.to(read.layers[0].inputs.dtype), tokens.pos, None, read)
        return Tokens(outputs, tokens.pos)

    def _continued(
        self, x: Float[Tensor, "B L D"], pos: Float[Tensor, "B L d"], mask: Tensor | None, before: ReadSoFar
    ) -> tuple[tuple[MambaState, ...], Float[Tensor, "B L D"]]:
        """The layers' states and the outputs of the next items of the sequence; padding stands at the end."""
        ways = None
        if self.gap is not None:
            path = torch.cat([before.last.to(pos.dtype), pos], 1)
            ways = self._ways(path, None if mask is None else F.pad(mask, (1, 0), value=True), self.gap)[:, 1:]
            ways[:, 0] = torch.where(before.counts > 0, ways[:, 0], 1.0)
        last, layers = x, []
        for block, state in zip(self._mambas(), before.layers, strict=True):
            x, last, state = block.carried(x, state, mask, ways)
            layers.append(state)
        return tuple(layers), self.norm(x if self.final == "residual-norm" else last)

    def _mambas(self) -> list[MambaBlock]:
        return [block for block in self.blocks if isinstance(block, MambaBlock)]

    def _sequence(self, patches: Tokens, device) -> tuple[Int64[Tensor, "B|1 T"], Tensor | None]:
        """Item at each place of the sequence, and which places are real. Padding stands last, so that a sample's
        sequence is the same however much padding its batch-mates need."""
        b, n, _ = patches.x.shape
        if patches.mask is None:
            return self._order(n, device)[None], None
        real_first = torch.argsort(~patches.mask, dim=1, stable=True)
        counts = patches.mask.sum(1)
        rows = []
        for sample in range(b):
            real = int(counts[sample])
            order = self._order(real, device)
            items = torch.cat([real_first[sample, :real], n + torch.arange(self.count, device=device)])
            rows.append(torch.cat([items[order], real_first[sample, real:]]))
        places = torch.arange(n + self.count, device=device)
        return torch.stack(rows), places < (counts + self.count)[:, None]

    def _order(self, patches: int, device) -> Int64[Tensor, " T"]:
        return placement(patches, self.count, self.kind, self.group, device).order

    def _along(self, patches: Tokens, pos: Float[Tensor, "B T d"]) -> tuple[Int64[Tensor, "B T"], Tensor | None]:
        """The sequence along a space-filling curve; padding stands last. Readings at one place are told apart by what their
        tokens say."""
        if patches.mask is None:
            return order_along_curve(pos, self.curve, None, self._ties(patches)), None
        real = torch.cat([patches.mask, patches.mask.new_ones(len(pos), self.count)], 1)
        order = order_along_curve(pos, self.curve, real, self._ties(patches))
        return order, real.gather(1, order)

    def _ties(self, patches: Tokens) -> Float[Tensor, "B T"]:
        return F.pad(patches.x[..., 0].float(), (0, self.count))

    def _ways(self, pos: Float[Tensor, "B T d"], mask: Bool[Tensor, "B T"] | None, gap: float) -> Float[Tensor, "B T"]:
        """How far each item of the sequence lies from the one before, in multiples of `gap`; one at the start."""
        ways = F.pad((pos[:, 1:] - pos[:, :-1]).norm(dim=-1) / gap, (1, 0), value=1.0)
        return ways if mask is None else torch.where(mask, ways, 1.0)


def _take(x: Float[Tensor, "B T D"], index: Int64[Tensor, "B|1 T"]) -> Float[Tensor, "B T D"]:
    if len(index) == 1:
        return x[:, index[0]]
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))
