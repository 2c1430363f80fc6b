"""Classical answers: what a user would reach for today. The start of a model's field, and baseline rows of a report."""

from .interpolation import BASELINES, Constant, Interpolation
from .modes import Modes
from .modes_fitting import enough_fields, fit_modes
from .scattered import SCATTERED, Scattered

__all__ = ["BASELINES", "SCATTERED", "Constant", "Interpolation", "Modes", "Scattered", "enough_fields", "fit_modes"]
