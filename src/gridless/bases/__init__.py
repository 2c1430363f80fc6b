"""Classical answers: what a user would reach for today. The start of a model's field, and baseline rows of a report."""

from .interpolation import BASELINES, Constant, Interpolation
from .kriging import Kriging
from .modes import Pod
from .modes_fitting import fit_pod
from .scattered import SCATTERED, Scattered

__all__ = ["BASELINES", "SCATTERED", "Constant", "Interpolation", "Kriging", "Pod", "Scattered", "fit_pod"]
