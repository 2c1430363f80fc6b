"""The verdicts: the rule on made-up runs, and docs/claims.md from the committed results."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.claims import collect, sweeping
from benchmarks.claims.effects import measure, page_effects
from benchmarks.claims.page import main, page
from benchmarks.claims.rules import RECIPES, Claim, Contrast, arms_of, claims, planned_seeds
from benchmarks.claims.verdicts import verdict
from gridless.config.merging import recipe, recipe_table
from gridless.scoring.results import write_results

ROOT = Path(__file__).parents[1]
OURS = Contrast("x", "psnr", "ours", "theirs")


def runs(**arms: list[float]) -> list[dict]:
    return [{"arm": a, "seed": s, "scores": {"psnr": v}} for a, values in arms.items() for s, v in enumerate(values)]


def decided(ours: list[float], theirs: list[float], others: int = 0, **claim) -> str:
    """The verdict on one claim, on a page with as many further contrasts in which nothing is to be seen."""
    told = Claim("Z1", "d", "t", "p", (OURS,), **claim)
    dull = [Claim(f"Y{i}", "d", "t", "p", (Contrast("x", "psnr", "dull", 0.0),)) for i in range(others)]
    table = {"x": {"runs": runs(ours=ours, theirs=theirs, dull=[-1.0, 0.5, 0.6])}}
    return verdict(told, page_effects([told, *dull], table)["Z1"])


def test_an_effect_is_paired_by_seed_and_its_interval_has_two_degrees_of_freedom():
    effect = measure(OURS, runs(ours=[21, 32, 43], theirs=[20, 30, 40]))
    assert (effect.estimate.mean, effect.estimate.count, effect.values) == (2.0, 3, (32.0, 30.0))
    assert effect.estimate.half_width == pytest.approx(4.3027 / 3**0.5, rel=1e-4)
    assert measure(OURS, runs(ours=[1.0])) is None
    constant = measure(Contrast("x", "psnr", "ours", 20.0, lower=True), runs(ours=[21, 23]))
    assert constant.estimate.mean == -2.0 and constant.estimate.half_width == pytest.approx(12.7062, rel=1e-4)


def test_verdicts_follow_their_rule():
    assert decided([3, 3.1, 2.9], [0, 0, 0]) == "confirmed"
    assert decided([1, 1.01, 0.99], [0, 0, 0], least=3.0) == "confirmed in direction, refuted in size"
    assert decided([2.6, 2.8, 2.7], [0, 0, 0], least=3.0) == "confirmed in direction, refuted in size"
    assert (
        decided([2.8, 2.9, 2.7], [0, 0, 0], others=9, least=3.0) == "confirmed"
    )  # 3 dB: excluded alone, not among all
    assert decided([-1, -1.1, -0.9], [0, 0, 0]) == "refuted"
    assert decided([0.2, -0.2, 0.0], [0, 0, 0], least=1.0) == "no effect above ± 0.50 dB at this budget"
    assert decided([0.2, -0.2, 0.0], [0, 0, 0], relevant=1.0) == "no effect above ± 0.50 dB at this budget"
    assert decided([0.2, -0.2, 0.0], [0, 0, 0], least=0.4) == "not decidable here: only ± 0.50 dB could have shown"
    assert decided([0.8, 0.0, 0.7], [0, 0, 0], least=1.2) == "not decidable here: 1.20 dB or more is still possible"
    assert verdict(Claim("Z1", "d", "t", "p", ()), []) == "not decidable here: no two runs of one commit"


def test_equality_is_confirmed_only_by_an_interval_inside_the_bound():
    assert decided([0.1, -0.1, 0.0], [0, 0, 0], equal=0.5) == "confirmed: no effect above ± 0.50 dB"
    assert decided([2, 2.1, 1.9], [0, 0, 0], equal=0.5) == "refuted"
    assert decided([0.4, -0.4, 0.1], [0, 0, 0], equal=0.5).startswith("not decidable here: only ± 1.00 dB")


def test_a_single_run_never_counts_nor_does_one_measurement_written_three_times():
    single = "not decidable here: a single run has no spread"
    assert decided([99.0], [0.0]) == single and decided([99.0] * 3, [0.0] * 3) == single
    counted = Contrast("x", "psnr", "ours", "theirs", exact=True)
    claim = Claim("Z1", "d", "t", "p", (counted,))
    effects = page_effects([claim], {"x": {"runs": runs(ours=[99.0] * 3, theirs=[0.0] * 3)}})["Z1"]
    assert verdict(claim, effects) == "confirmed"


def test_an_effect_that_counts_alone_does_not_among_many():
    ours, theirs = [1.0, 1.3, 0.8], [0, 0, 0]
    assert decided(ours, theirs) == "confirmed"
    assert decided(ours, theirs, others=30) == "not decidable here: p 0.019 for it alone, 0.6 among all"
    assert decided([3, 3.01, 2.99], theirs, others=30) == "confirmed"
    # three seeds of p = .09 and .105 (two of the claims) were once "confirmed" by two standard errors
    assert decided([1.84 + x for x in (-1.1, 0.1, 1.0)], theirs, relevant=1.0).startswith("not decidable here")


def test_effects_that_disagree_depend():
    good, bad, dull = (Contrast("x", "psnr", arm, "z") for arm in ("a", "b", "c"))
    table = {"x": {"runs": runs(a=[2, 2.1, 2], b=[-2, -2.1, -2], c=[1, -1, 0], z=[0, 0, 0])}}
    expected = (
        ((good, bad), "depends: for it: a against z; against it: b against z"),
        ((good, dull), "depends: for it: a against z; open: c against z"),
        ((bad, dull), "depends: against it: b against z; open: c against z"),
    )
    for tests, text in expected:
        claim = Claim("Z1", "d", "t", "p", tests)
        assert verdict(claim, page_effects([claim], table)["Z1"]) == text


def test_a_predicted_size_that_the_page_excludes_is_refuted():
    """A small effect that does not stand out alone, far below what was predicted, was once not decidable."""
    assert decided([0.3, 0.5, 0.4], [0, 0, 0], others=3, least=3.0) == "refuted: less than 3.00 dB in every contrast"
    wide = [-1.2, 0.9, -0.1]  # of so many, this was once "no effect above ± 2.61 dB"
    text = "not decidable here: 3.00 dB or more is excluded by every interval, not among all"
    assert decided(wide, [0, 0, 0], others=30, least=3.0) == text
    assert decided(wide, [0, 0, 0], least=30.0) == "no effect above ± 2.61 dB at this budget"
    good, bad = (Contrast("x", "psnr", arm, "z") for arm in ("a", "b"))
    table = {"x": {"runs": runs(a=[0.1, -0.1, 0.02], b=[-2, -2.01, -2], z=[0, 0, 0])}}
    claim = Claim("Z1", "d", "t", "p", (good, bad), least=1.0)
    assert verdict(claim, page_effects([claim], table)["Z1"]) == "refuted: less than 1.00 dB in every contrast"


def test_only_seeds_that_were_planned_count():
    """Two seeds that were added after looking at three once turned a p above 0.05 into one below it."""
    table = runs(ours=[1.0, 2.0, 3.0, 2.0, 2.0], theirs=[0] * 5)
    assert measure(OURS, table).estimate.count == 3
    assert measure(Contrast("x", "psnr", "ours", "theirs", seeds=5), table).estimate.count == 5
    assert planned_seeds("encoder") == planned_seeds("decoder") == planned_seeds("parts") == 5
    assert planned_seeds("techniques-long") == 3


def test_an_earlier_table_stands_in_until_the_planned_one_has_runs():
    claim = Claim("Z1", "d", "t", "p", (Contrast("new", "psnr", "ours", "theirs", seeds=5),), before=(OURS,))
    tables = {"x": {"runs": runs(ours=[1, 2, 3], theirs=[0, 0, 0])}}
    assert [effect.contrast.file for effect in page_effects([claim], tables)["Z1"]] == ["x"]
    tables |= {"new": {"runs": runs(ours=[2, 2], theirs=[0, 0])}}
    assert [effect.contrast.file for effect in page_effects([claim], tables)["Z1"]] == ["new"]


def test_runs_of_two_commits_are_not_compared():
    table = [run | {"commit": "a"} for run in runs(ours=[1, 2, 9], theirs=[0, 0, 0])]
    table = [run | {"commit": "b"} if (run["arm"], run["seed"]) == ("ours", 2) else run for run in table]
    effect = measure(OURS, table)
    assert (effect.estimate.count, effect.estimate.mean) == (2, 1.5)


def test_sides_of_unlike_sizes_say_so():
    table = [run | {"params": {"ours": 106, "theirs": 100}[run["arm"]]} for run in runs(ours=[1, 2], theirs=[0, 0])]
    assert measure(OURS, table).size_ratio == pytest.approx(1.06)
    assert measure(OURS, [run | {"params": 100} for run in table]).size_ratio is None
    table = [run | {"latent_floats": {"ours": 512, "theirs": 1024}[run["arm"]]} for run in table]
    assert measure(OURS, table).floats_ratio == 0.5 and measure(OURS, runs(ours=[1], theirs=[0])).floats_ratio is None


def test_every_claim_of_the_documents_is_there_and_its_arms_are_in_the_recipes():
    known, recipes = claims(), ROOT / "benchmarks" / "claims" / "recipes"
    wanted = [f"A{i}" for i in range(1, 7)] + [f"B{i}" for i in range(1, 4)]
    wanted += [f"C{i}" for i in range(1, 12)] + [f"D{i}" for i in range(1, 8)] + [f"E{i}" for i in range(1, 9)]
    assert [claim.id for claim in known] == wanted
    for claim in known:
        for test in claim.tests:
            if test.file in RECIPES:
                arms = {"full", *recipe(recipe_table(recipes / f"{RECIPES[test.file]}.toml"), {})[1]}
                named = [test.arm] + [test.against] * isinstance(test.against, str)
                assert {name.removesuffix(", 51 at a time") for name in named} <= arms


def test_the_page_is_that_of_the_committed_results(tmp_path, capsys):
    text = page(ROOT / "results" / "claims")
    assert text == (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if re.match(r"\| [A-E]\d", line)]
    assert len(rows) == 35
    main(["-o", str(tmp_path)])
    assert (tmp_path / "claims.md").read_text(encoding="utf-8") == text


def finished(sweep: Path, arm: str, seed: int, commit: str = "a") -> Path:
    """A run that a sweep has finished."""
    folder = sweep / f"{arm}-steps-seed{seed}"
    folder.mkdir(parents=True)
    facts = {"params": 9, "steps": 4, "train_seconds": 1.0, "latent_floats": 8, "commit": commit}
    (folder / "run.json").write_text(json.dumps(facts | {"hardware": {"cpu": "any"}}), encoding="utf-8")
    row = {"model": "m", "task": "t", "data": "d", "split": "test", "image": "i", "scale": 1.0, "metric": "psnr"}
    write_results([row | {"value": 20.0 + seed, "params": 9, "train_seconds": 1, "seed": seed}], folder / "results.csv")
    lines = [{"step": i, "loss": 0.5 if i == 7 else 0.1} for i in range(9)] + [{"step": 8, "val_psnr": 19.0}]
    (folder / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return folder


def test_a_table_is_of_complete_seeds_and_of_one_commit(tmp_path, capsys):
    sweep, out = tmp_path / "runs", tmp_path / "out"
    out.mkdir()
    for seed, arms in ((0, arms_of("encoder")), (1, arms_of("encoder")), (2, arms_of("encoder")[:3])):
        for arm in (*arms, "block"):
            finished(sweep, arm, seed)
    collect.main(["encoder", str(sweep), "--output", str(out)])
    table = json.loads((out / "encoder.json").read_text(encoding="utf-8"))
    assert {(run["arm"], run["seed"]) for run in table["runs"]} == {
        (arm, s) for arm in arms_of("encoder") for s in (0, 1)
    }
    scores = table["runs"][0]["scores"]
    assert scores["psnr"] == 20.0 and scores["spike"] == 5.0 and scores["loss"] == 0.18 and scores["val_psnr_8"] == 19.0
    for arm in arms_of("encoder")[3:]:
        finished(sweep, arm, 2, commit="b")
    with pytest.raises(SystemExit, match="holds runs of several commits .*, a table is of one"):
        collect.main(["encoder", str(sweep), "--output", str(out)])


def test_a_sweep_in_one_process_makes_the_runs_of_a_table_and_none_twice(tmp_path, monkeypatch, capsys):
    made = []
    monkeypatch.setattr(sweeping, "compute_with", lambda count: None)  # numba's threads are this process's
    monkeypatch.setattr(sweeping, "sweep", lambda *args, **settings: made.append((args, settings)) or (None, {}))
    sweeping.main(["layers", "--data", str(tmp_path), "-o", str(tmp_path), "--seeds", "2"])
    (whole, ablate), settings = made[0]
    assert whole.data.path == str(tmp_path) and settings["seeds"] == 2 and settings["place"].call(max, 1, 2) == 2
    assert {"full", *settings["only"]} == set(arms_of("layers")) and set(settings["only"]) <= ablate.keys()
    sweeping.main(["rates", "-o", str(tmp_path)])
    assert all("rate" in arm for arm in made[1][1]["only"]) and made[1][1]["seeds"] == 1


def test_a_linear_code_of_all_values_is_exact_and_its_basis_orthonormal():
    basis = collect.dct_basis(4)
    assert np.allclose(basis.T @ basis, np.eye(48)) and np.allclose(basis[:, 0], basis[0, 0])


def test_the_package_holds_no_claims():
    package = ROOT / "src" / "gridless"
    assert not [path for word in ("claims", "techniques") for path in package.rglob(f"*{word}*.*")]


def test_without_results_the_command_says_what_is_missing(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--results", str(tmp_path), "-o", str(tmp_path)])
    assert "holds none of decoder.json" in capsys.readouterr().err
