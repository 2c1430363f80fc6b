"""How the numbers of a page were made, in words."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gridless.scoring.results import headline, scale_order, scale_text

TITLE = "Photos, answered at any scale"
METHOD = (
    "The truth is the photo in 8 bits, cropped to a whole number of input pixels times the scale, rounded. The "
    "input is the truth made small by Pillow's bicubic filter, in 8 bits again. Predictions are clipped and "
    "rounded to 8 bits before they are measured. The PSNR of R, G, B (psnr_rgb) is over all pixels, no border "
    "left out; that of luma (psnr_y_shave) leaves out a border as wide as the scale. A number is the mean over "
    "images of the value per image. Baselines are what people use today and need no training; they see the same "
    "input. A gain is over bicubic: the mean over images of the difference on the same image with its 95 % "
    "t-interval (one of many on a page: it is not corrected for their number); where the interval holds 0, no "
    "difference is established. Strips show the part of a photo where bicubic errs most, which is the hardest "
    "part, not the typical one."
)
GRIDS_TITLE = "Grids, answered at other resolutions"
GRIDS_METHOD = (
    "The truth is the whole grid, the input the same made coarser by a bicubic kernel that averages. RMSE is in "
    "the unit of the values, PSNR takes their range. A number is the mean over grids of the value per grid; a "
    "gain is over bicubic: the mean over grids of the difference on the same grid with its 95 % t-interval, not "
    "corrected for the number of intervals."
)
FIELDS_TITLE = "Fields, recovered from scattered readings"
FIELDS_METHOD = (
    "Every test field is a formula that training never saw; the truth is exact and without noise, the readings "
    "have the noise that a table names. All answers see the same readings. A number is the mean over fields of "
    "the value per field, on a grid. PSNR takes a range of 1; it compares answers, not families: relative L2 and "
    "R² do. The share of the truth inside the 50 % and 90 % intervals should be 0.5 and 0.9; CRPS is in units of "
    "the value. gp is scikit-learn's kriging, one kernel fitted to each field's readings, kriging our own over "
    "many kernels; pod is the best linear guess that training fields of the same families teach; base is the "
    "model's own answer without its network; oracle knows that a field is one plane wave and is no fair baseline "
    "(of other families it knows nothing). A gain is over kriging (gp where that was not asked): the mean over "
    "fields of the difference on the same field with its 95 % t-interval, not corrected for the number of "
    "intervals."
)
ARCHIVE_TITLE = "Fields of an archive, recovered from a few readings"
ARCHIVE_METHOD = (
    "Every test field is a step of the archive later than all that was learnt from; a few of its cells are read, all other "
    "cells that were measured are asked, each counting alike. All answers see the same readings. RMSE and CRPS are in the "
    "unit of the values. A number is the mean over fields of the value per field. Climatology, the mean of the fields of "
    "training, sees no reading; skill is the share of its squared error that is gone. idw weighs readings by the inverse "
    "square of the distance, linear and rbf (a thin-plate spline) interpolate, gp is scikit-learn's kriging with one "
    "kernel, kriging our own over many: they see the readings alone; idw-anomalies and kriging-anomalies "
    "answer what departs from climatology. oi, optimal interpolation, knows the covariance of the "
    "fields of training; it is where the model starts, which learnt from the same fields. The share of the truth inside "
    "the 50 % and 90 % intervals should be 0.5 and 0.9. A gain is over kriging: the mean over fields of the difference on "
    "the same field with its 95 % t-interval, not corrected for the number of intervals; fields that follow one another "
    "are alike, so that the interval is too narrow. Maps show the first, the middle and the last field of the split."
)
FORECAST_TITLE = "Forecasts: what comes after the frames that were seen"
FORECAST_METHOD = (
    "Every window lies in a part of the film that is later than all that was learnt from; its first frames are seen, "
    "with the holes, noise or sensors that the task names, and every place that was measured at a moment is asked, "
    "each counting alike. A lead counts frames after the last seen one; below 0 it lies between seen frames. All "
    "answers see the same frames. RMSE and CRPS are in the unit of the values. A number is the mean over windows of "
    "the value per window. persistence is the last seen frame; damped-persistence lets what departs from the mean of "
    "the past fade as past frames did; advection moves the last frame on along the motion of the seen ones; linear-"
    "inverse is a linear law of the leading modes of the past. The skill of the curve is 1 − MSE / MSE of "
    "persistence, both means over the windows. A gain is over persistence: the mean over windows of the difference on"
    " the same window with its 95 % t-interval, not corrected for the number of intervals; windows that follow one "
    "another are alike, so that the interval is too narrow. Pictures and animations show windows spread evenly over "
    "the split."
)


@dataclass(frozen=True)
class Words:
    """What a page says of its kind of rows."""

    title: str
    lead: str
    reference: str
    method: str


def words_of(rows: Sequence[Mapping[str, Any]]) -> Words:
    """By what was asked: moments of films, fields from readings, photos or grids at scales."""
    scales = ", ".join(f"×{scale_text(s)}" for s in sorted({row["scale"] for row in rows} - {None}, key=scale_order))
    if all(row.get("lead") is not None for row in rows):
        lead = "A model turns the last frames of a film into a continuous field, which is asked here at later moments"
        return Words(FORECAST_TITLE, lead, "persistence", FORECAST_METHOD)
    if all(row.get("sensors") is not None for row in rows):
        lead = "A model turns scattered readings into a continuous field"
        archived = headline(rows) == "rmse"
        title, method = (ARCHIVE_TITLE, ARCHIVE_METHOD) if archived else (FIELDS_TITLE, FIELDS_METHOD)
        return Words(title, lead, "kriging", method)
    photographed = any(row["metric"] == "psnr_rgb" for row in rows)
    what = "small photo" if photographed else "coarse grid"
    lead = f"A model turns a {what} into a continuous field, which is asked here at {scales}"
    title, method = (TITLE, METHOD) if photographed else (GRIDS_TITLE, GRIDS_METHOD)
    return Words(title, lead, "bicubic", method)
