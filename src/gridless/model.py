"""FieldModel: samples in, field out.

Samples → units → tokenizer → Tokens → encoder, processor → Encoded → decoder, head → Field
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from huggingface_hub import PyTorchModelHubMixin
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gridless import config as c
from gridless.config.merging import build
from gridless.coords import Lattice
from gridless.domain import Domain
from gridless.field import Field
from gridless.network.acceptance import accepted, too_many
from gridless.network.building import (
    build_base,
    build_decoder,
    build_encoder,
    build_flow,
    build_head,
    build_local,
    build_tokenizer,
    check_read,
    informed,
    latent_count,
)
from gridless.network.encoded import Encoded, FeatureGrid, Tokens
from gridless.network.extent import in_domain, placed
from gridless.network.frames import Frame
from gridless.network.frozen import frozen_copy, outside_inference
from gridless.network.heads import PointHead
from gridless.network.local import LocalReadout
from gridless.network.mosaic import Mosaic, Windows, check_overlap, latent_floats, tiles_of
from gridless.network.parts import Decoder, Encoder, Head, Reader
from gridless.network.processors import SelfAttentionProcessor
from gridless.network.questions import (
    Question,
    Units,
    added,
    base_features,
    left_out,
    part,
    units_answered,
    units_seen,
)
from gridless.network.readers import NetworkCorrection, WindowReader, weights_mark
from gridless.network.scattered import point_reader
from gridless.network.slices import of_slices
from gridless.network.stream import Stream
from gridless.network.tokenizers import PatchTokenizer, pad_to
from gridless.nn.memory import points_at_once
from gridless.protocols import Answer, Base, Solved
from gridless.samples import Samples
from gridless.weights.pretrained import load, save


class FieldModel(
    nn.Module,
    PyTorchModelHubMixin,
    library_name="gridless",
    tags=["neural-field", "continuous-field"],
):
    """A network that turns samples into fields. `config`: a `gridless.preset(…)` or the same as a dictionary."""

    trained_steps = 0  # of its whole life

    def __init__(self, config: c.Model | dict):
        super().__init__()
        config = build(c.Model, config, "model")
        self.config, signal = config, config.signal
        for tile in signal.tiles:
            check_overlap(tile, signal.overlap)
        self.points = isinstance(config.tokenizer, c.Points)
        self.tokenizer = build_tokenizer(config)
        attention = getattr(config.decoder, "attention", None)
        positions = attention is not None and attention.bias.kind == "euclid"
        self.encoder: Encoder = build_encoder(config, positions)
        self.latents = latent_count(config)
        processor = SelfAttentionProcessor(config.processor, self.encoder.width) if self.latents else None
        self.processor: nn.Module = processor or nn.Identity()
        self.decoder: Decoder = build_decoder(config, self.encoder.width, self.latents)
        self.local_width = self.decoder.local_width
        self.local = build_local(config, self.tokenizer, self.latents, self.local_width)
        check_read(config, self.local is not None)
        direct = isinstance(config.decoder, c.Direct)  # the waves know the cell
        self.cell = None if direct or signal.finest_cell is None else nn.Linear(signal.axes, self.local_width)
        self.known: nn.Module | None = nn.Linear(2 * signal.channels, self.local_width) if informed(config) else None
        self.head: Head = build_head(config, self.decoder.width)
        self.flow = build_flow(config, self.encoder.width)
        self.base: Base = build_base(config)
        self.domain = None if config.domain is None else Domain(**vars(config.domain))

    def adopt(self, config: c.Model) -> None:
        """Takes over what data say: the units, domain and step of `config`, whose parts are the model's own."""
        self.config, self.domain = config, None if config.domain is None else Domain(**vars(config.domain))
        self.base = build_base(config) if isinstance(config.base, c.NoBase) else self.base
        self.__dict__.pop("_frozen", None)  # has the units of before

    # --- fields ---------------------------------------------------------------------------------------------------

    def encode(self, samples: Samples, pad: bool = True, checked: bool = True) -> Field:
        """The field of these samples. Larger grids than the window become a mosaic of windows; a point model takes
        scattered samples, and grids as the points of their cell centres.

        `pad=False` refuses sizes that the patch does not divide instead of repeating the last sample. `checked=False` saves
        the look whether coordinates lie inside, for which the host waits for a GPU. In `eval` the field holds no graph to
        the weights, only one to samples that require a gradient."""
        with outside_inference():
            samples = accepted(samples, self.config, self.domain)
            network = self if self.training else self.frozen_copy()
            solved = self.solve_base(samples)
            if not self.training and too_many(self.config, samples):
                return Field(samples, solved, None, self.config.signal.finest_cell, checked)
            kept = getattr(solved, "kept", samples) if self.config.signal.seen == "base" else samples
            reader = network.reader(kept, pad, solved)
            correction = NetworkCorrection(network, reader, self.units(samples), weights_mark(network))
        return Field(samples, solved, correction, self.config.signal.finest_cell, checked)

    def stream(self, samples: Samples, keep: bool = False) -> Stream:
        """Readings that come one after another: `stream.updated(more)` reads the new ones alone, `stream.field()` is the
        field of all so far, in the model's units (`signal.mean`, `.std`) or those of these first samples. With `keep` it
        holds all readings, to solve a base of them. Raises ValueError for a model that cannot, naming what to set."""
        return Stream.of(self.frozen_copy(), samples, keep)

    def forward(
        self,
        samples: Samples,
        coords: Float[Tensor, "B Q d"],
        cell: Float[Tensor, "B #Q d"] | None = None,
        latents_at: Float[Tensor, "B Q d"] | None = None,
        target: Float[Tensor, "B Q C"] | None = None,
        measured: Bool[Tensor, "B Q"] | None = None,
        loss: str | None = None,
    ) -> Tensor:
        """`encode` and ask, in one call: (B Q C). With a `target` the training loss: the head's own, or `loss` (mse, l1) of
        a head that answers a value alone; where `measured` is False the target does not count."""
        if target is None:
            return self.encode(samples, checked=not self.training)(coords, cell, latents_at=latents_at)
        question = Question(coords, cell, target, latents_at, measured)
        return self.head.loss(self, accepted(samples, self.config, self.domain), question, loss)

    def solve_base(self, samples: Samples) -> Solved:
        """The base of these samples; in training, a base may have a quicker or a more complete answer."""
        solve = getattr(self.base, "solve_for_training", None) if self.training else None
        return self.base.solve(samples) if solve is None else solve(samples)

    def units(self, samples: Samples) -> Units:
        """What the network's standard answers mean: the model's own level and deviation, or those of each field."""
        return units_answered(self.config.signal, samples)

    def reader(self, samples: Samples, pad: bool = True, solved: Solved | None = None) -> Reader:
        """What the network says of these samples, anywhere. `solved`: their base, for a network that knows it."""
        fitted, placement = in_domain(samples, self.config, self.domain)
        return placed(of_slices(fitted, self.config.signal, lambda s: self._reader(s, pad, solved)), placement)

    def _reader(self, samples: Samples, pad: bool, solved: Solved | None) -> Reader:
        if self.points:
            return point_reader(self, samples, solved, self.domain)
        signal, shape = self.config.signal, samples.grid_shape
        samples_fit = all(n <= w for n, w in zip(samples.on_grid().shape[1:-1], signal.tiles, strict=True))
        whole = samples_fit and not any(samples.joins)
        if self.decoder.joint and not whole:
            raise ValueError(
                f"this decoder's queries read one another, so one window answers at once: samples up to "
                f"{signal.tiles}, got {shape}; raise signal.window or switch the joint attention off"
            )
        values, mask = self.standard_grid(samples), samples.mask_on_grid()
        if whole:
            return WindowReader(self, self.encode_window(values, mask, pad), shape, signal.unit)
        windows = Windows(shape, tiles_of(signal, shape, samples.joins), signal.overlap, samples.joins)
        return Mosaic(self, windows, values, mask, signal.unit, pad)

    def standard_grid(self, samples: Samples) -> Float[Tensor, "B *grid C"]:
        """The values of a grid as the network sees them."""
        values = units_seen(self.config.signal, samples).standard(samples.values)
        return values.to(self._dtype).unflatten(1, samples.grid_shape)

    def latent(
        self, points: Samples, solved: Solved | None = None, moment: Float[Tensor, " B"] | None = None
    ) -> Tokens:
        """Latents of scattered readings; of a film's for the asked `moment`."""
        return self.processor(self.encoder(self.tokens(points, solved, moment))[0])

    def tokens(
        self, points: Samples, solved: Solved | None = None, moment: Float[Tensor, " B"] | None = None
    ) -> Tokens:
        """Scattered readings, each a token."""
        units = units_seen(self.config.signal, points)
        values = units.standard(points.values).to(self._dtype)
        place, base = self.frame(points)(points.point_coords), None
        if self.known is not None and solved is not None:
            base = left_out(solved, units)
        return self.tokenizer(place, values, points.mask, base, moment)

    def read(self, latents: Tokens) -> Encoded:
        """Latents as the decoder reads them, once per field."""
        return Encoded(self.decoder.prepare(latents))

    def frame(self, samples: Samples) -> Frame:
        """Where readings and questions lie."""
        return Frame.of(samples, self.config.signal, self._dtype)

    def encode_window(
        self, values: Float[Tensor, "B *grid C"], mask: Bool[Tensor, "B *grid"] | None = None, pad: bool = True
    ) -> Encoded:
        """Latents and local features of windows no larger than the trained one, in standard units."""
        assert isinstance(self.tokenizer, PatchTokenizer), "a point model has no windows"
        shape = self.tokenizer.padded(values.shape[1:-1])
        if shape != tuple(values.shape[1:-1]):
            if not pad:
                raise ValueError(
                    f"patches of {self.tokenizer.size} do not divide {tuple(values.shape[1:-1])}; "
                    "crop the samples or leave pad=True, which repeats the last sample"
                )
            values = pad_to(values, shape)
            mask = None if mask is None else pad_to(mask[..., None], shape)[..., 0]
        tokens, token_shape, pixels = self.tokenizer(values, mask)
        latents, context = (None, None) if tokens is None else self.encoder(tokens)
        if latents is not None:
            latents = self.decoder.prepare(self.processor(latents))
        local = None if self.local is None else self.local.prepare(pixels, context, token_shape, mask)
        return Encoded(latents, local)

    def decode(
        self,
        encoded: Encoded,
        coords: Float[Tensor, "B Q d"],
        cell: Float[Tensor, "B #Q d"],
        latents_at: Float[Tensor, "B Q d"] | None = None,
        base: Answer | None = None,
    ) -> Float[Tensor, "B Q k"]:
        """The head's outputs; coordinates in units of the window (of positions, for scattered points), the cell relative to
        a sample's, the base's answer there in standard units.

        In blocks of points that fit the cache and the memory, unless a graph is recorded, which keeps all of them, or the
        points read one another."""
        cell, block = cell.expand(*coords.shape[:2], -1), coords.shape[1]
        if not (self.training or coords.requires_grad or self.decoder.joint):
            block = max(1, points_at_once(coords.device) // len(coords))
        if latents_at is not None and not hasattr(self.decoder, "asked"):
            raise ValueError(f"decoder.kind {self.config.decoder.kind!r} reads at no place; leave latents_at out")
        features = None if base is None or self.known is None else base_features(base, self._dtype)
        outputs = [
            self._decode(encoded, coords[:, some], cell[:, some], part(latents_at, some), part(features, some))
            for some in (slice(q, q + block) for q in range(0, max(1, coords.shape[1]), block))
        ]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs, 1)

    def decode_lattice(
        self, encoded: Encoded, lattice: Lattice, cell: Float[Tensor, "B 1 d"]
    ) -> Float[Tensor, "B N k"]:
        """The head's outputs on a lattice in units of the window, for one cell: the numbers of its points, at a part of
        their price where the model reads features and nothing else."""
        if self.local is not None and encoded.local is not None and self._shares(self.local, encoded.local):
            assert isinstance(self.head, PointHead)
            known = None if self.config.signal.finest_cell is None else cell[0, 0].to(lattice.axes[0].dtype)
            return self.local.on_lattice(encoded.local, lattice, known, self.head.linear)
        return self.decode(encoded, lattice.points(len(cell)), cell)

    def _shares(self, readout: LocalReadout, local: FeatureGrid) -> bool:
        """Whether an answer is a linear map of the features read in a plane, or slice by slice, without holes."""
        direct = isinstance(self.config.decoder, c.Direct) and isinstance(self.head, PointHead)
        return direct and readout.flat and local.mask is None

    def _decode(
        self, encoded: Encoded, coords: Tensor, cell: Tensor, latents_at: Tensor | None, base: Tensor | None
    ) -> Float[Tensor, "B Q k"]:
        known = None if self.config.signal.finest_cell is None else cell.to(coords.dtype)
        local = None if self.cell is None else self.cell(known)
        if self.local is not None:
            local = added(local, self.local(encoded.local, coords, known))
        if self.known is not None and base is not None:
            local = added(local, self.known(base))
        return self.head(self.decoder(coords, encoded.latents, local, *(() if latents_at is None else (latents_at,))))

    @property
    def _dtype(self) -> torch.dtype:
        return next(self.parameters()).dtype

    # --- copies, saving and loading ---------------------------------------------------------------------------------

    def frozen_copy(self, device: torch.device | str | None = None) -> "FieldModel":
        """This model for answering: the same weights in the same memory (on another `device`: copied), without gradients
        and never in training. What trains this model later is seen in its copy, and a field refuses then."""
        return frozen_copy(self, device)

    def __getstate__(self) -> Mapping:
        """Without the copy, which is made again."""
        return {name: value for name, value in self.__dict__.items() if name != "_frozen"}

    @property
    def has_spread(self) -> bool:
        """Whether the fields of this model know how sure they are."""
        return self.head.has_spread or getattr(self.base, "has_spread", False)

    @property
    def name(self) -> str:
        return self.config.name

    def parameter_count(self) -> int:
        """Numbers that training changes."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)

    def latent_floats(self, shape: tuple[int, ...] | None = None) -> int:
        """Numbers that a field of samples of this `shape` (None: one window) keeps for its answers: latents or a base's
        components, features to read locally, and its own level and deviation where the model has none of its own."""
        signal, base = self.config.signal, self.config.base
        if signal.seen == "base" and isinstance(base, c.Components):
            return latent_floats(signal, shape, base.count, 0)
        each = self.config.processor.latent or self.encoder.width
        return latent_floats(signal, shape, self.latents * each, self.local_width if self.local else 0)

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
        loaded has its own type again. `config` and `model_card_kwargs`: what `push_to_hub` hands over, known to the model.
        """
        save(self, folder, card=card, dtype=dtype)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        device: str | torch.device = "cpu",
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
    ) -> "FieldModel":
        """The model in a folder, by a name that ships with the package, or of a Hub repository (owner/name; the last three
        are the Hub's: a branch, tag or commit, an access token, and whether to do without the network), in `eval`. Raises
        ValueError, naming the file, where one is missing or damaged; OSError where the Hub is not reached."""
        hub = {"revision": revision, "token": token, "local_files_only": local_files_only}
        return load(cls, name, device, **hub)
