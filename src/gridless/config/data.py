"""What is learnt from: pictures, waves with a formula, or random fields of many kinds."""

from typing import Annotated, Literal

from annotated_types import MinLen
from pydantic import Discriminator

from gridless.config.frozen import config
from gridless.config.numbers import Count

Family = Literal["simple", "multi_frequency", "radial", "interference", "modulated", "composite"]
FieldKind = Literal["stationary", "trend", "waves", "fronts", "patches", "plumes", "nonstationary", "skewed"]


@config
class Data:
    """`photos`: those inside the scikit-image and scikit-learn wheels; `folder`: a directory of pictures, or one with
    `train`, `val` and `test` inside; `cifar10`: a directory with the published batches of CIFAR-10."""

    kind: Literal["photos", "folder", "cifar10"] = "photos"
    path: str | None = None
    held_out: Count | None = None
    """So many of the validation and the test pictures, the first ones; None: all."""


@config
class WaveData:
    """Waves with a formula. `fields`: train on so many, the same ones every time; None: fresh ones for every step."""

    kind: Literal["waves"] = "waves"
    families: Annotated[tuple[Family, ...], MinLen(1)] = ("simple",)
    fields: Count | None = None


@config
class PriorData:
    """Random fields of many kinds on planes, cylinders, regions of a sphere and the globe: fresh ones for every step.
    `each`: so many fixed fields of every kind are asked in validation and evaluation."""

    kind: Literal["prior"] = "prior"
    kinds: Annotated[tuple[FieldKind, ...], MinLen(1)] = (
        "stationary", "trend", "waves", "fronts", "patches", "plumes", "nonstationary", "skewed",
    )  # fmt: skip
    each: Count = 32


AnyData = Annotated[Data | WaveData | PriorData, Discriminator("kind")]
