"""Classical answers: what a user would reach for today. The start of a model's field, and baseline rows of a report."""

from gridless.bases.advection import Advection
from gridless.bases.climatology import Climatology, OfAnomalies
from gridless.bases.components import Components
from gridless.bases.damped import DampedPersistence
from gridless.bases.interpolation import BASELINES, KINDS, Constant, Interpolation
from gridless.bases.kriging import Kriging
from gridless.bases.linear_inverse import LinearInverse
from gridless.bases.modes import Modes
from gridless.bases.modes_fitting import enough_fields, fit_modes
from gridless.bases.oi import Oi
from gridless.bases.persistence import Persistence
from gridless.bases.regression import Regression
from gridless.bases.scattered import SCATTERED, Scattered
from gridless.bases.wave_kriging import WaveKriging

__all__ = [
    "BASELINES",
    "KINDS",
    "SCATTERED",
    "Advection",
    "Climatology",
    "Components",
    "Constant",
    "DampedPersistence",
    "Interpolation",
    "Kriging",
    "LinearInverse",
    "Modes",
    "OfAnomalies",
    "Oi",
    "Persistence",
    "Regression",
    "Scattered",
    "WaveKriging",
    "enough_fields",
    "fit_modes",
]
