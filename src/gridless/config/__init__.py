"""What a model and its training are made of, as frozen data. Imports no torch, so that a recipe is checked before
anything heavy loads.

Every part that comes in several kinds carries a `kind`; `building.py` turns each kind into a module with one `match`.
`merging.py` merges presets, recipes and flags into one dictionary and builds these classes from it.
"""

from gridless.config.attention import Attention, Bias
from gridless.config.bases import (
    Advection,
    Base,
    Components,
    DampedPersistence,
    Interpolation,
    Kriging,
    LinearInverse,
    NoBase,
    Oi,
    Persistence,
    Pod,
)
from gridless.config.data import (
    AnyData,
    ArchiveData,
    Data,
    Family,
    FieldKind,
    FilmData,
    FlowData,
    PriorData,
    VolumeData,
    WaveData,
)
from gridless.config.decoders import (
    AttentionLayer,
    Block,
    Calibration,
    Composer,
    Decoder,
    Direct,
    Joint,
    Lainr,
    Local,
    Mlp,
    Place,
    RelativeDecoder,
    Scent,
    SharedState,
)
from gridless.config.domain import Axis, Domain, Quantity
from gridless.config.encoders import (
    Encoder,
    GroupContext,
    MambaContext,
    MambaEncoder,
    NoEncoder,
    PerceiverEncoder,
    PositionTokens,
    RelativeEncoder,
    Ssm,
    TransformerEncoder,
)
from gridless.config.film import Film
from gridless.config.fourier import Band, Gaussian
from gridless.config.heads import FlowHead, GaussianHead, Head, PointHead, Time
from gridless.config.model import Model
from gridless.config.own import Own, own
from gridless.config.processors import Processor, SelfAttention
from gridless.config.recipe import Recipe
from gridless.config.signal import Signal
from gridless.config.tasks import Forecast, Operator, Reconstruction, SparseField, SuperResolution, Task, Uniform
from gridless.config.tokenizers import Patches, Points, Stem, Tokenizer
from gridless.config.training import Optimizer, Train

__all__ = [
    "Advection",
    "AnyData",
    "ArchiveData",
    "Attention",
    "AttentionLayer",
    "Axis",
    "Band",
    "Base",
    "Bias",
    "Block",
    "Calibration",
    "Components",
    "Composer",
    "DampedPersistence",
    "Data",
    "Decoder",
    "Direct",
    "Domain",
    "Encoder",
    "Family",
    "FieldKind",
    "Film",
    "FilmData",
    "FlowData",
    "FlowHead",
    "Forecast",
    "Gaussian",
    "GaussianHead",
    "GroupContext",
    "Head",
    "Interpolation",
    "Joint",
    "Kriging",
    "Lainr",
    "LinearInverse",
    "Local",
    "MambaContext",
    "MambaEncoder",
    "Mlp",
    "Model",
    "NoBase",
    "NoEncoder",
    "Oi",
    "Operator",
    "Optimizer",
    "Own",
    "Patches",
    "PerceiverEncoder",
    "Persistence",
    "Place",
    "Pod",
    "PointHead",
    "Points",
    "PositionTokens",
    "PriorData",
    "Processor",
    "Quantity",
    "Recipe",
    "Reconstruction",
    "RelativeDecoder",
    "RelativeEncoder",
    "Scent",
    "SelfAttention",
    "SharedState",
    "Signal",
    "SparseField",
    "Ssm",
    "Stem",
    "SuperResolution",
    "Task",
    "Time",
    "Tokenizer",
    "Train",
    "TransformerEncoder",
    "Uniform",
    "VolumeData",
    "WaveData",
    "own",
]
