"""pysteps (BSD-3) on the radar film of `benchmarks/forecast_rows.py`, in an environment of its own; imports nothing of ours.

    python3.11 -m venv steps && steps/bin/pip install numpy scipy opencv-python-headless pysteps
    steps/bin/python benchmarks/rivals/pysteps_rain.py fmi_radar_20160928.npz

Its Lucas-Kanade velocities of four frames and its semi-Lagrangian extrapolation, at the windows that our methods are asked.
Prints one line for each order of interpolation: RMSE in dBZ by lead over all cells (those that came from outside, where it
answers NaN, take the last frame) and over the others, means of the squares of all windows, and seconds of the processor.
"""

import argparse
import json
import time
from importlib.metadata import version

import numpy as np
from pysteps import motion, nowcasts

SEEN, AHEAD, THRESHOLDS = 4, 6, (20.0, 35.0)


def success(said: list, lead: int, threshold: float) -> float:
    """Critical success index over all windows."""
    answers, truths = (np.stack([pair[k][lead] for pair in said]) >= threshold for k in (0, 1))
    return float((answers & truths).sum() / max(1, (answers | truths).sum()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("film")
    parser.add_argument("--starts", type=int, nargs="+", default=(22, 26, 30), help="first seen frames")
    args = parser.parse_args()
    film = ((np.load(args.film)["raw"].astype(np.float32) - 64) / 2).clip(0)
    for order in (0, 1, 3):
        square, inside, seconds, said = [], [], [], []
        for start in args.starts:
            seen, truth = film[start : start + SEEN], film[start + SEEN : start + SEEN + AHEAD]
            begun = time.process_time()
            velocity = motion.get_method("LK")(seen)
            extrapolate = nowcasts.get_method("extrapolation")
            made = extrapolate(seen[-1], velocity, AHEAD, extrap_kwargs={"interp_order": order})
            seconds.append(time.process_time() - begun)
            outside = ~np.isfinite(made)
            missed = np.square(np.where(outside, seen[-1], made) - truth)
            square.append(missed.mean((1, 2)))
            said.append((np.where(outside, seen[-1], made), truth))
            inside.append([np.mean(each[~far]) for each, far in zip(missed, outside, strict=True)])
        row = {"model": f"pysteps {version('pysteps')} LK, order {order}"}
        for name, values in (("rmse", square), ("rmse_inside", inside)):
            row[name] = [round(float(value), 4) for value in np.sqrt(np.mean(values, 0))]
        for threshold in THRESHOLDS:
            row[f"csi_{threshold:g}"] = [round(success(said, lead, threshold), 4) for lead in range(AHEAD)]
        print(json.dumps(row | {"cpu_seconds_a_window": round(float(np.mean(seconds)), 3)}))


if __name__ == "__main__":
    main()
