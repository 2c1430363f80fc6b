"""Configs in, modules out: one `match` for every part that comes in several kinds."""

from math import prod

from gridless import config as c
from gridless.bases import (
    Advection,
    Components,
    Constant,
    DampedPersistence,
    Interpolation,
    Kriging,
    LinearInverse,
    Modes,
    Oi,
    Persistence,
    WaveKriging,
)
from gridless.network.decoders.composer import ComposerDecoder
from gridless.network.decoders.direct import DirectDecoder
from gridless.network.decoders.joint import JointDecoder
from gridless.network.decoders.lainr import LainrDecoder
from gridless.network.decoders.mlp import MlpDecoder
from gridless.network.decoders.relative import RelativeDecoder
from gridless.network.decoders.scent import ScentDecoder
from gridless.network.encoders.mamba import MambaEncoder
from gridless.network.encoders.none import NoEncoder
from gridless.network.encoders.perceiver import PerceiverEncoder
from gridless.network.encoders.relative import RelativeEncoder
from gridless.network.encoders.transformer import TransformerEncoder
from gridless.network.flow import LatentVelocity
from gridless.network.heads import GaussianHead, PointHead
from gridless.network.local import LocalReadout
from gridless.network.parts import Decoder, Encoder, Head, build_own
from gridless.network.posterior import FlowHead
from gridless.network.tokenizers import PatchTokenizer, PointTokenizer
from gridless.protocols import Base


def build_tokenizer(config: c.Model) -> PatchTokenizer | PointTokenizer:
    match config.tokenizer:
        case c.Patches():
            return PatchTokenizer(
                config.tokenizer, config.signal, config.width, not isinstance(config.encoder, c.NoEncoder)
            )
        case c.Points():
            return PointTokenizer(config.tokenizer, config.signal, config.width, informed(config), targeted(config))


def targeted(config: c.Model) -> bool:
    """Whether tokens know the moment that is asked."""
    return config.film is not None and config.film.target


def informed(config: c.Model) -> bool:
    """Whether tokens and questions know what the base says there."""
    knows = isinstance(config.base, c.Kriging | c.Oi | c.Own)
    return isinstance(config.tokenizer, c.Points) and config.tokenizer.base and knows


def build_encoder(config: c.Model, positions: bool) -> Encoder:
    """`positions`: whether the latents' positions learn, because a spatial bias reads them."""
    args = (config.signal, config.width, positions)
    match config.encoder:
        case c.Own():
            return build_own(config.encoder, Encoder, *args)
        case c.NoEncoder():
            return NoEncoder()
        case c.RelativeEncoder():
            return RelativeEncoder(config.encoder, *args)
        case c.MambaEncoder():
            return MambaEncoder(config.encoder, *args)
        case c.TransformerEncoder():
            return TransformerEncoder(config.encoder, *args)
        case c.PerceiverEncoder():
            return PerceiverEncoder(config.encoder, *args)


def latent_count(config: c.Model) -> int:
    """The latents of a whole window."""
    match config.encoder:
        case c.Own(name=name, options=options):
            if not isinstance(options.get("count"), int):
                raise ValueError(
                    f"encoder {name} must say how many latents a window has: gl.own({name}, count=…), 0 for none"
                )
            return options["count"]
        case c.NoEncoder():
            return 0
        case c.PerceiverEncoder(count=count):
            return count
        case c.RelativeEncoder(count=count):
            return count or prod(config.signal.windows)
        case c.MambaEncoder(tokens=tokens) | c.TransformerEncoder(tokens=tokens):
            patch = config.tokenizer.size if isinstance(config.tokenizer, c.Patches) else 1
            patches = prod(n // patch for n in config.signal.windows)
            if tokens.read == "all" and isinstance(config.decoder, c.Composer):
                raise ValueError(
                    "decoder.kind 'composer' is written by the position tokens; encoder.tokens.read: tokens"
                )
            return tokens.count + (patches if tokens.read == "all" else 0)


def build_local(
    config: c.Model, tokenizer: PatchTokenizer | PointTokenizer, latents: int, width: int
) -> LocalReadout | None:
    """What reads features at the samples, `width` numbers of them. Raises ValueError for a model of points that would read
    there alone."""
    local, stem = config.local, tokenizer.stem
    if isinstance(tokenizer, PointTokenizer):
        if local or not latents:
            needs = "needs latents: encoder.tokens.read = 'all', or encoder.tokens.count"
            raise ValueError(f"a point model {'has no local read-out; leave model.local out' if local else needs}")
        return None
    if local is None or not (local.patches or (local.stem and stem)):
        return None
    features = None if stem is None else stem.width
    return LocalReadout(local, config.signal, features, tokenizer.size, config.width, width)


def check_read(config: c.Model, local: bool) -> None:
    """Raises ValueError where a part would read what no other makes. `local`: whether there is a local read-out."""
    if isinstance(config.decoder, c.Direct) and not local:
        raise ValueError("decoder.kind 'direct' reads features at the samples; set local.stem and a tokenizer.stem")
    if config.film is not None and config.film.unroll == "latent" and not config.processor.depth:
        raise ValueError(
            "film.unroll 'latent' goes on by the processor, and processor.depth is 0; set it, or unroll: field"
        )
    alone = isinstance(config.encoder, c.NoEncoder)
    if alone and config.local is not None and config.local.patches:
        raise ValueError("local.patches reads the patches of an encoder, encoder.kind is none; set it to false")
    if config.signal.tile is not None and not alone:
        raise ValueError(f"signal.tile {config.signal.tile}: encoder.kind {config.encoder.kind!r} knows one window")


def build_decoder(config: c.Model, width: int, latents: int) -> Decoder:
    """A decoder of `latents` latents of the given width (0: it has the local read-out alone)."""
    patch = config.tokenizer.size if isinstance(config.tokenizer, c.Patches) else 1
    args = (config.signal, width, patch, latents)
    match config.decoder:
        case c.Own():
            return build_own(config.decoder, Decoder, *args)
        case c.Direct():
            return DirectDecoder(config.decoder, *args)
        case c.Lainr():
            return LainrDecoder(config.decoder, *args)
        case c.Scent():
            return ScentDecoder(config.decoder, *args)
        case c.Mlp():
            return MlpDecoder(config.decoder, *args)
        case c.RelativeDecoder():
            return RelativeDecoder(config.decoder, *args)
        case c.Composer():
            return ComposerDecoder(config.decoder, *args)
        case c.Joint():
            points, flow = config.tokenizer, config.head
            if not (isinstance(points, c.Points) and isinstance(flow, c.FlowHead)) or config.signal.finest_cell:
                raise ValueError(
                    "decoder.kind 'joint' needs tokenizer.kind 'points', head.kind 'flow' and no signal.finest_cell"
                )
            return JointDecoder(config.decoder, flow, config.signal, width, 2 * points.fourier.count)


def build_head(config: c.Model, width: int) -> Head:
    match config.head:
        case c.Own():
            return build_own(config.head, Head, width, config.signal.outputs)
        case c.PointHead():
            return PointHead(width, config.signal.outputs)
        case c.GaussianHead():
            return GaussianHead(config.head, width, config.signal.outputs)
        case c.FlowHead():
            return FlowHead(config.head, width, config.signal.outputs, isinstance(config.decoder, c.Joint))


def build_flow(config: c.Model, width: int) -> LatentVelocity | None:
    """The flow over latents, if the head is one and the decoder leaves it to the latents."""
    if not isinstance(config.head, c.FlowHead) or isinstance(config.decoder, c.Joint):
        return None
    encoder = config.encoder
    gathered = isinstance(encoder, c.MambaEncoder | c.TransformerEncoder) and encoder.tokens.read == "tokens"
    counted = gathered or isinstance(encoder, c.PerceiverEncoder | c.Own)
    if not (isinstance(config.tokenizer, c.Points) and counted):
        needs = "tokenizer.kind 'points' and as many latents for any readings"
        raise ValueError(f"head.kind 'flow' needs {needs}: the perceiver, or encoder.tokens.read = 'tokens'")
    return LatentVelocity(config.head, width)


def build_base(config: c.Model) -> Base:
    if config.signal.seen == "base" and not isinstance(config.base, c.Components):
        raise ValueError(f"signal.seen 'base' needs base.kind 'components', got {config.base.kind!r}")
    if config.signal.seen == "base" and not isinstance(config.head, c.PointHead):
        raise ValueError(f"signal.seen 'base' needs head.kind 'point', got {config.head.kind!r}")
    signal, points = config.signal, isinstance(config.tokenizer, c.Points)
    if signal.outputs != signal.channels and not isinstance(config.base, c.NoBase | c.Own):
        raise ValueError(
            f"base.kind {config.base.kind!r} answers the {signal.channels} channels that are seen, signal.out_channels is "
            f"{signal.outputs}; set base.kind to none"
        )
    match config.base:
        case c.Own():
            return build_own(config.base, Base)
        case c.NoBase():
            return Constant(signal.out_mean if signal.translated else signal.mean, signal.outputs)
        case c.Components():
            if points:
                raise ValueError("base.kind 'components' answers grids, tokenizer.kind 'points' reads scattered values")
            return Components(config.base)
        case c.Interpolation(kind=kind, exact=exact, fill=fill):
            if points:
                raise ValueError(
                    f"base.kind {kind!r} interpolates grids, tokenizer.kind 'points' reads scattered values"
                )
            return Interpolation(kind, exact, fill)
        case c.Kriging(trend=trend, waves=waves):
            if not points:
                raise ValueError("base.kind 'kriging' answers scattered readings, it needs tokenizer.kind 'points'")
            kriging = Kriging(trend=trend)
            return WaveKriging(kriging, waves) if waves else kriging
        case c.Pod():
            if not (points and isinstance(config.head, c.GaussianHead)):
                raise ValueError("base.kind 'pod' needs tokenizer.kind 'points' and head.kind 'gaussian'")
            return Modes(config.base, config.signal, fallback=Kriging())
        case c.Oi():
            if not (points and isinstance(config.head, c.GaussianHead)):
                raise ValueError("base.kind 'oi' needs tokenizer.kind 'points' and head.kind 'gaussian'")
            return Oi(config.base, config.signal, fallback=Kriging())
        case c.Persistence(space=space):
            return Persistence(space)
        case c.DampedPersistence():
            return DampedPersistence(config.base, signal)
        case c.Advection(space=space, pairs=pairs):
            return Advection(pairs, space)
        case c.LinearInverse():
            return LinearInverse(config.base, signal)
