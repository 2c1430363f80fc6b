"""FieldModel: samples in, field out.

Samples → tokenizer → Tokens → encoder, processor → Encoded → decoder, head → Field
"""

import json
import os
import tempfile
from dataclasses import replace
from math import prod
from pathlib import Path

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from gridless import config as c
from gridless.bases import Modes
from gridless.bases.field_adapter import CorrectedPosterior, SolvedBase
from gridless.config.merging import build, dump, load_json
from gridless.coords import sizes
from gridless.field import Field
from gridless.network.building import (
    build_base,
    build_decoder,
    build_encoder,
    build_flow,
    build_head,
    build_tokenizer,
    latent_count,
)
from gridless.network.heads import faithful_loss, likelihood_loss, weighted
from gridless.network.local import LocalReadout
from gridless.network.mosaic import Mosaic, Windows, axis_starts, check_overlap
from gridless.network.posterior import flow_head_loss, posterior, summary
from gridless.network.processors import SelfAttentionProcessor
from gridless.network.tokenizers import pad_to
from gridless.nn.memory import points_at_once
from gridless.pretrained import default_card, file_of
from gridless.samples import Encoded, Samples, Tokens

FIELDS_WITH_BASE = 8  # of a batch teach how sure the network is beside its base, which costs more than the network
FILES = ("config.json", "model.safetensors", "README.md")


class FieldModel(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="gridless",
    tags=["neural-field", "continuous-field"],
):
    """A network that turns samples into fields. `config`: a `gridless.preset(…)` or the same as a dictionary."""

    def __init__(self, config: c.Model | dict):
        super().__init__()
        config = build(c.Model, config, "model")
        self.config, signal, width = config, config.signal, config.width
        check_overlap(signal.window, signal.overlap)
        self.tokenizer = build_tokenizer(config)
        attention = getattr(config.decoder, "attention", None)
        positions = attention is not None and attention.bias.kind == "euclid"
        self.encoder = build_encoder(config, positions)
        self.latents = latent_count(config)
        self.processor = SelfAttentionProcessor(config.processor, self.encoder.width) if self.latents else None
        self.decoder = build_decoder(config, self.encoder.width, self.latents)
        stem, local = self.tokenizer.stem, config.local
        self.local = None
        if isinstance(config.tokenizer, c.Points) and (local or not self.latents):
            needs = "needs latents: encoder.tokens.read = 'all', or encoder.tokens.count"
            raise ValueError(f"a point model {'has no local read-out; leave model.local out' if local else needs}")
        if local and (local.patches or (local.stem and stem is not None)):
            features = None if stem is None else stem.width
            self.local = LocalReadout(local, signal, features, config.tokenizer.size, width, config.decoder.hidden)
        self.cell = None if signal.finest_cell is None else nn.Linear(signal.axes, config.decoder.hidden)
        self.head = build_head(config, self.decoder.width)
        self.flow = build_flow(config, self.encoder.width)
        self.base = build_base(config)

    # --- fields ---------------------------------------------------------------------------------------------------

    def encode(self, samples: Samples, pad: bool = True) -> Field:
        """The field of these samples. Larger grids than the window become a mosaic of windows; a point model takes
        scattered samples, and grids as the points of their cell centres.

        `pad=False` refuses sizes that the patch does not divide instead of repeating the last sample. Outside training
        (`model.eval()`) the encoding is kept without a graph to the weights.
        """
        signal = self.config.signal
        if samples.axes != signal.axes or samples.channels != signal.channels:
            raise ValueError(
                f"this model takes {signal.axes} axes and {signal.channels} channels, got samples with "
                f"{samples.axes} axes and {samples.channels} channels"
            )
        samples = replace(samples, values=samples.values.to(next(self.parameters()).dtype))
        if isinstance(self.config.tokenizer, c.Points):
            return self._encode_points(samples)
        values, mask, shape = samples.on_grid(), samples.mask_on_grid(), samples.shape
        size = sizes(shape, torch.float64, values.device)
        if self.decoder.joint and max(shape) > signal.window:
            raise ValueError(
                f"this decoder's queries read one another, so one window answers at once: samples up to "
                f"{signal.window} per axis, got {shape}; raise signal.window or switch the joint attention off"
            )
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.training):
            if max(shape) <= signal.window:
                encoded = self.encode_window(values, mask, pad)

                def correction(coords, cell, latents_at=None):
                    unit = lambda x: None if x is None else (x * size / signal.window).to(values.dtype)  # noqa: E731
                    return self.decode(encoded, unit(coords), cell, unit(latents_at))
            else:
                windows = Windows(shape, signal.window, signal.overlap)

                def cut(wanted):
                    tiles = [
                        tuple(slice(o, o + n) for o, n in zip(origin, windows.size, strict=True))
                        for _, origin in wanted
                    ]
                    rows = [b for b, _ in wanted]
                    part = torch.stack([values[b][t] for b, t in zip(rows, tiles, strict=True)])
                    hole = None if mask is None else torch.stack([mask[b][t] for b, t in zip(rows, tiles, strict=True)])
                    with torch.set_grad_enabled(torch.is_grad_enabled() and self.training):
                        return self.encode_window(part, hole, pad)

                mosaic = Mosaic(windows, len(values), cut, self.decode, signal.window)

                def correction(coords, cell, latents_at=None):
                    if latents_at is not None:
                        raise ValueError(
                            f"latents_at needs samples within one window of {signal.window} per axis, got {shape}"
                        )
                    return mosaic((coords * size).to(values.dtype), cell)

        settings = {"spread": self.spread, "joint": self.decoder.joint, "checked": not self.training}
        return Field(samples, self.base, correction, signal.finest_cell, **settings)

    def _encode_points(self, samples: Samples) -> Field:
        points, finest, joint = samples.as_points(), self.config.signal.finest_cell, self.decoder.joint
        if isinstance(self.config.head, c.FlowHead):
            draws = posterior(self, points)
            correction = summary(draws(self.config.head.samples, 0))
            return Field(samples, self.base, correction, finest, spread=True, posterior=draws, joint=joint)
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.training):
            encoded = self.read(self.latent(points))

        def correction(coords, cell, latents_at=None):
            at = None if latents_at is None else latents_at.to(points.values.dtype)
            return self.decode(encoded, coords.to(points.values.dtype), cell, at)

        if not isinstance(self.base, Modes):
            return Field(samples, self.base, correction, finest, spread=self.spread, joint=joint)
        solved = self.base.solve(points)

        def shared(coords, cell, latents_at=None):
            """What precision-weighting with the base adds to it."""
            base = solved(coords)
            own = self._guess(encoded, coords, cell, latents_at)
            value, std = weighted(*own, base, solved.std(coords).to(base.dtype))
            return torch.cat([value - base, std], -1)

        draws = CorrectedPosterior(solved, shared)
        return Field(samples, SolvedBase(solved), shared, finest, spread=True, posterior=draws, joint=joint)

    def _guess(
        self, encoded: Encoded, coords: Tensor, cell: Tensor, latents_at: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """The network's own value and standard deviation, before they are weighted with the base's."""
        dtype = encoded.latents.x.dtype
        at = None if latents_at is None else latents_at.to(dtype)
        value, std = self.decode(encoded, coords.to(dtype), cell, at).chunk(2, -1)
        return self.config.signal.mean + value, std

    def latent(self, points: Samples) -> Tokens:
        """Latents of scattered readings."""
        values = (points.values - self.config.signal.mean) / self.config.signal.std
        tokens = self.tokenizer(points.coords.to(values.dtype), values, points.mask)
        return self.processor(self.encoder(tokens)[0])

    def read(self, latents: Tokens) -> Encoded:
        """Latents as the decoder reads them, once per field."""
        return Encoded(self.decoder.prepare(latents))

    def forward(
        self,
        samples: Samples,
        coords: Float[Tensor, "B Q d"],
        cell: Float[Tensor, "B #Q d"] | None = None,
        latents_at: Float[Tensor, "B Q d"] | None = None,
        target: Float[Tensor, "B Q C"] | None = None,
    ) -> Tensor:
        """`encode` and ask, in one call: (B Q C). With a `target`, the head's own training loss."""
        if target is None:
            return self.encode(samples)(coords, cell, latents_at=latents_at)
        match self.config.head:
            case c.GaussianHead() if isinstance(self.base, Modes):
                points = samples.as_points()
                encoded = self.read(self.latent(points))
                mean, std = self._guess(encoded, coords, cell)
                some = slice(FIELDS_WITH_BASE)
                solved = self.base.solve(points.select(some))
                base = solved(coords[some]), solved.std(coords[some])
                both = weighted(mean[some].detach(), std[some], *base)
                return 0.5 * (target - mean).square().mean() + likelihood_loss(*both, target[some])
            case c.FlowHead():
                return flow_head_loss(self, samples, coords, cell, target)
            case c.GaussianHead():
                return faithful_loss(*self.encode(samples).mean_and_std(coords, cell), target)
        raise ValueError(f"head.kind {self.config.head.kind!r} has no loss of its own; train.loss takes mse or l1")

    def encode_window(
        self, values: Float[Tensor, "B *grid C"], mask: Bool[Tensor, "B *grid"] | None = None, pad: bool = True
    ) -> Encoded:
        """Latents and local features of windows no larger than the trained one."""
        signal = self.config.signal
        shape = self.tokenizer.padded(values.shape[1:-1])
        if shape != tuple(values.shape[1:-1]):
            if not pad:
                raise ValueError(
                    f"patches of {self.config.tokenizer.size} do not divide {tuple(values.shape[1:-1])}; "
                    "crop the samples or leave pad=True, which repeats the last sample"
                )
            values = pad_to(values, shape)
            mask = None if mask is None else pad_to(mask[..., None], shape)[..., 0]
        values = (values - signal.mean) / signal.std
        tokens, token_shape, pixels = self.tokenizer(values, mask)
        latents, context = self.encoder(tokens)
        if latents is not None:
            latents = self.decoder.prepare(self.processor(latents))
        local = None
        if self.local is not None:
            local = self.local.prepare(pixels, context, token_shape, mask)
        return Encoded(latents, local)

    def decode(
        self,
        encoded: Encoded,
        coords: Float[Tensor, "B Q d"],
        cell: Float[Tensor, "B #Q d"],
        latents_at: Float[Tensor, "B Q d"] | None = None,
    ) -> Float[Tensor, "B Q C"]:
        """The correction to the base; coordinates in units of the window, the cell relative to a sample's.

        In blocks of points that fit the cache and the memory, unless a graph is recorded, which keeps all of them, or the
        points read one another."""
        cell, block = cell.expand_as(coords), coords.shape[1]
        if not (torch.is_grad_enabled() or self.decoder.joint):
            block = max(1, points_at_once(coords.device) // len(coords))
        if latents_at is not None and not hasattr(self.decoder, "asked"):
            raise ValueError(
                f"decoder.kind {self.config.decoder.kind!r} reads its latents at no place; leave latents_at out"
            )
        asked = (coords, cell) if latents_at is None else (coords, cell, latents_at)
        parts = zip(*(x.split(block, 1) for x in asked), strict=True)
        answers = [self._decode(encoded, *part) for part in parts]
        return answers[0] if len(answers) == 1 else torch.cat(answers, 1)

    def _decode(
        self, encoded: Encoded, coords: Float[Tensor, "B Q d"], cell: Float[Tensor, "B Q d"], *latents_at: Tensor
    ) -> Float[Tensor, "B Q C"]:
        cell = None if self.cell is None else cell.to(coords.dtype)
        local = None if cell is None else self.cell(cell)
        if self.local is not None:
            read = self.local(encoded.local, coords, cell)
            local = read if local is None else local + read
        return self.head(self.decoder(coords, encoded.latents, local, *latents_at)) * self.config.signal.std

    # --- saving and loading ---------------------------------------------------------------------------------------

    @property
    def spread(self) -> bool:
        """Whether the fields of this model know how sure they are."""
        return not isinstance(self.config.head, c.PointHead)

    @property
    def name(self) -> str:
        return self.config.name

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def latent_floats(self, shape: tuple[int, ...] | None = None) -> int:
        """Numbers that a field of samples of this `shape` (None: one window) keeps for its answers: latents, and features
        to read locally."""
        signal = self.config.signal
        shape = shape or (signal.window,) * signal.axes
        windows = prod(len(axis_starts(n, signal.window, signal.overlap)) for n in shape)
        local = 0 if self.local is None else self.config.decoder.hidden * prod(min(n, signal.window) for n in shape)
        return windows * (self.latents * self.encoder.width + local)

    def save_pretrained(
        self,
        folder: str | Path,
        *,
        config: object = None,
        model_card_kwargs: dict | None = None,
        card: str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """config.json, model.safetensors and README.md (`card`), each written aside and renamed.

        `dtype`: what floats are stored as, such as torch.float16 for half the bytes and three digits; a model that is
        loaded has its own type again. `config` and `model_card_kwargs` are what `push_to_hub` hands over; the model knows
        both itself.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".saving-") as aside:
            self._save_pretrained(Path(aside), card, dtype)
            for name in FILES:
                os.replace(Path(aside, name), folder / name)

    def _save_pretrained(self, folder: Path, card: str | None = None, dtype: torch.dtype | None = None) -> None:
        folder.joinpath("config.json").write_text(json.dumps(dump(self.config), indent=2) + "\n")
        stored = {
            k: v.to(dtype=dtype if v.is_floating_point() else None).contiguous() for k, v in self.state_dict().items()
        }
        save_file(stored, folder / "model.safetensors")
        folder.joinpath("README.md").write_text(card or default_card(self.name, self.parameter_count()))

    @classmethod
    def from_pretrained(cls, name: str | Path, device: str | torch.device = "cpu") -> "FieldModel":
        """A folder, a name that ships with the package, or a Hub repository; ready to answer (`eval`)."""
        model = cls(load_json(file_of(name, "config.json")))
        weights = file_of(name, "model.safetensors")
        try:
            model.load_state_dict(load_file(weights))
        except (SafetensorError, RuntimeError) as error:
            reason = str(error).split("\n")[0]
            raise ValueError(f"{weights} does not hold the weights of its config.json: {reason}") from error
        return model.to(device).eval()
