"""The selective scan of Mamba: one function, several implementations of it."""

from .carried import carried_scan as carried_scan
from .choice import backend as backend
from .choice import mamba_mixer as mamba_mixer
from .choice import mixer_fits as mixer_fits
from .choice import selective_scan as selective_scan
from .reference import selective_scan_reference as selective_scan_reference
