"""The classical answer that a field starts at."""

from typing import Annotated, Literal

from annotated_types import Ge
from pydantic import Discriminator

from gridless.config.frozen import config
from gridless.config.numbers import Count, Natural
from gridless.config.own import Own


@config
class NoBase:
    """Nothing: the network answers alone (pure reconstruction)."""

    kind: Literal["none"] = "none"


@config
class Interpolation:
    """The samples of a grid, interpolated."""

    kind: Literal["nearest", "bilinear", "bicubic", "lanczos", "bspline"] = "bicubic"
    exact: bool = True
    """Asked at the samples' own cell size, the field returns the base alone: at ×1 a picture comes back unchanged."""
    fill: bool = False
    """Where nothing within reach was measured, the nearest measured value; false: NaN."""


@config
class Kriging:
    """A mixture of Gaussian processes, solved for the readings of each field; nothing is fitted beforehand."""

    kind: Literal["kriging"] = "kriging"
    trend: Literal["constant", "linear", "either"] = "either"
    waves: Natural = 0
    """At most so many plane waves are sought in the readings; the rest is kriged, and evidence weighs both
    answers."""


@config
class Pod:
    """The best guess that training fields teach, linear among fields that look alike; fitted when training starts. It
    knows how sure it is: a gaussian head's answer and its own are weighted by their precisions."""

    kind: Literal["pod"] = "pod"
    clusters: Count = 1
    """Kinds of fields that have modes of their own; readings tell which kinds they may come from."""
    modes: Count = 128
    """That all clusters share."""
    rank: Count | None = None
    """Modes of each cluster, combinations of the shared ones; None: as many."""
    representation: Literal["legendre", "grid"] = "legendre"
    """What holds mean and modes: polynomials, for formula fields; or the grid of an archive, bicubic in between."""
    degree: Annotated[int, Ge(2)] = 24
    """Polynomials per axis: π per cycle per unit, and ten more."""
    periodic: tuple[bool, ...] = ()
    """Axes of the grid that join at their ends; (): those that the domain of the training fields says."""
    outside: Literal["nan", "nearest"] = "nan"
    """What is answered where the archive was never measured (land): nothing, or what lies nearest."""


@config
class Oi:
    """Optimal interpolation: the leading modes of an archive of fields and a Matérn residual in one covariance, chosen by
    archive fields that were left out; fitted when training starts. It knows how sure it is."""

    kind: Literal["oi"] = "oi"
    modes: Count = 48
    """At most; past fields say how many."""
    shapes: Count = 6
    """Covariances that the readings of a field choose from."""
    cycle: Literal["none", "year", "day"] = "none"
    """What is usual changes with the time of the year or of the day; then fields come with `times`."""
    periodic: tuple[bool, ...] = ()
    """Axes of the grid that join at their ends; (): those that the domain of the archive says."""
    outside: Literal["nan", "nearest"] = "nan"
    """What is answered where the archive was never measured (land): nothing, or what lies nearest."""


@config
class Persistence:
    """Of films: between seen frames linear in time, beyond the last one that frame. Of scattered readings: kriging, asked no
    later than the last of them."""

    kind: Literal["persistence"] = "persistence"
    space: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    """How a frame is interpolated; its holes are filled from their neighbours."""


@config
class DampedPersistence:
    """Persistence of what departs from the usual, which fades as past films say; fitted when training starts. It knows how
    sure it is."""

    kind: Literal["damped-persistence"] = "damped-persistence"
    space: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    """How a frame is interpolated; its holes are filled from their neighbours."""
    usual: Literal["level", "mean", "year", "day"] = "mean"
    """What an anomaly departs from: one number for each channel, for films that are cut into crops; the mean of every cell
    of the past films' grid; or that with harmonics of the time of the year or of the day."""
    leads: Count = 48
    """Frames of lead, at most, whose autocorrelation past films say; beyond, it falls on as it fell until then."""


@config
class Advection:
    """Of films: the last frame moves on along the velocities of the last frames. The classical nowcast of rain."""

    kind: Literal["advection"] = "advection"
    space: Literal["bilinear", "bicubic", "lanczos"] = "bicubic"
    """How a frame is interpolated; its holes are filled from their neighbours."""
    pairs: Count = 2
    """Pairs of frames, at most, whose velocities go on."""


@config
class LinearInverse:
    """Of films: the leading modes of past anomalies drive one another by a linear law, the rest fades (Penland and
    Magorian, 1993); fitted when training starts. It knows how sure it is."""

    kind: Literal["linear-inverse"] = "linear-inverse"
    space: Literal["nearest", "bilinear", "bicubic", "lanczos"] = "bicubic"
    """How a frame is interpolated; its holes are filled from their neighbours."""
    usual: Literal["level", "mean", "year", "day"] = "mean"
    """What an anomaly departs from: one number for each channel; the mean of every cell of the past films' grid; or that
    with harmonics of the time of the year or of the day."""
    modes: Count = 20
    """At most; films of the past that were left out say how many."""
    leads: Count = 48
    """Frames of lead, at most, that are judged, and whose autocorrelation past films say of what the modes leave."""


@config
class Components:
    """Of grids of one shape: their principal components, so many numbers of each field; fitted when training starts."""

    kind: Literal["components"] = "components"
    count: Count = 512
    mirrored: bool = True
    """Training fields come with their mirror images along the last axis."""


Base = Annotated[
    NoBase
    | Interpolation
    | Components
    | Kriging
    | Pod
    | Oi
    | Persistence
    | DampedPersistence
    | Advection
    | LinearInverse
    | Own,
    Discriminator("kind"),
]
