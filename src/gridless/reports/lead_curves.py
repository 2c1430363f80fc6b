"""Scores against the lead: RMSE, and skill against persistence, one line for each model."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gridless.reports import plots

REFERENCE = "persistence"
WORST = -1.0  # skill that is drawn; what is worse leaves the picture


def lead_curves(rows: Sequence[Mapping[str, Any]]) -> bytes | None:
    """A PNG of the RMSE of rows that ask moments of films, and of what it says beside that of persistence; None where no
    row does. Skill is 1 − MSE / MSE of persistence, both over the windows that both have answered."""
    rows = [row for row in rows if row["metric"] == "rmse" and row.get("lead") is not None]
    squares: dict[str, dict[float, dict[tuple, float]]] = {}
    for row in rows:
        window = (row["task"], row["data"], row["split"], row["image"])
        of_model = squares.setdefault(row.get("label", row["model"]), {})
        of_model.setdefault(row["lead"], {})[window] = row["value"] ** 2
    if not squares:
        return None
    labels = list(squares)
    reference = next((label for label in labels if label.split(" (")[0] == REFERENCE), None)
    figure = plots.blank(10.5 if reference else 6, 3.6)
    panels = figure.subplots(1, 2 if reference else 1, squeeze=False)[0]
    for i, label in enumerate(labels):
        style = {
            "color": plots.LINES[i % len(plots.LINES)],
            "linestyle": "--" if label == reference else ("-", ":", "-.")[i // len(plots.LINES) % 3],
            "linewidth": 1.8, "marker": "o", "markersize": 3.5,
        }  # fmt: skip
        leads = np.array(sorted(squares[label]))
        panels[0].plot(leads, [np.sqrt(np.mean(list(squares[label][k].values()))) for k in leads], label=label, **style)
        if reference is not None:
            panels[1].plot(leads, [_skill(squares[label][k], squares[reference].get(k, {})) for k in leads], **style)
    panels[0].set_title("RMSE", loc="left", color=plots.GREY, fontsize=10.5)
    panels[0].set_ylim(bottom=0)
    panels[0].legend(frameon=False, labelcolor=plots.GREY, fontsize=9)
    if reference is not None:
        panels[1].set_title("skill against persistence", loc="left", color=plots.GREY, fontsize=10.5)
        panels[1].set_ylim(bottom=max(WORST, panels[1].get_ylim()[0]))
    for axes in panels:
        axes.set_xlabel("lead, frames after the last seen one", color=plots.GREY)
        axes.xaxis.get_major_locator().set_params(integer=True)
        plots.quiet(axes)
    return plots.drawn(figure)


def _skill(squares: Mapping[tuple, float], reference: Mapping[tuple, float]) -> float:
    """NaN without a window that both have, and where the reference is right."""
    both = squares.keys() & reference.keys()
    usual = float(np.mean([reference[window] for window in both])) if both else 0.0
    return 1 - float(np.mean([squares[window] for window in both])) / usual if usual > 0 else float("nan")
