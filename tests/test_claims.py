"""The verdicts: the rule on made-up runs, and docs/claims.md from the committed results."""

import re
from pathlib import Path

import pytest

from benchmarks.claims.effects import measure, page_effects
from benchmarks.claims.page import main, page
from benchmarks.claims.rules import Claim, Contrast, claims
from benchmarks.claims.verdicts import verdict
from gridless.config.merging import recipe, recipe_table

ROOT = Path(__file__).parents[1]
RECIPES = {
    "reconstruction": "claims",
    "super-resolution": "claims-sr",
    "sparse": "claims-sparse",
    "techniques": "techniques",
    "techniques-long": "techniques-long",
}
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
    effect = measure(OURS, runs(ours=[21, 32, 43], theirs=[20, 30, 40, 99]))
    assert (effect.estimate.mean, effect.estimate.count, effect.values) == (2.0, 3, (32.0, 30.0))
    assert effect.estimate.half_width == pytest.approx(4.3027 / 3**0.5, rel=1e-4)
    assert measure(OURS, runs(ours=[1.0])) is None
    constant = measure(Contrast("x", "psnr", "ours", 20.0, lower=True), runs(ours=[21, 23]))
    assert constant.estimate.mean == -2.0 and constant.estimate.half_width == pytest.approx(12.7062, rel=1e-4)


def test_verdicts_follow_their_rule():
    assert decided([3, 3.1, 2.9], [0, 0, 0]) == "confirmed"
    assert decided([1, 1.1, 0.9], [0, 0, 0], least=3.0) == "confirmed in direction, refuted in size"
    assert decided([-1, -1.1, -0.9], [0, 0, 0]) == "refuted"
    assert decided([0.2, -0.2, 0.0], [0, 0, 0], least=1.0) == "no effect above ± 0.50 dB at this budget"
    assert decided([0.2, -0.2, 0.0], [0, 0, 0], relevant=1.0) == "no effect above ± 0.50 dB at this budget"
    assert decided([0.2, -0.2, 0.0], [0, 0, 0], least=0.4) == "not decidable here: only ± 0.50 dB could have shown"
    assert decided([0.8, 0.0, 0.7], [0, 0, 0], least=1.2) == "not decidable here: 1.20 dB or more is still possible"
    assert verdict(Claim("Z1", "d", "t", "p", ()), []) == "not measured"


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
    for tests, text in (((good, bad), "depends: 2 of 2 established"), ((good, dull), "depends: 1 of 2 established")):
        claim = Claim("Z1", "d", "t", "p", tests)
        assert verdict(claim, page_effects([claim], table)["Z1"]) == text


def test_sides_of_unlike_sizes_say_so():
    table = [run | {"params": {"ours": 106, "theirs": 100}[run["arm"]]} for run in runs(ours=[1, 2], theirs=[0, 0])]
    assert measure(OURS, table).size_ratio == pytest.approx(1.06)
    assert measure(OURS, [run | {"params": 100} for run in table]).size_ratio is None


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
    assert len(rows) == 35 and not [row for row in rows if "not measured" in row]
    main(["-o", str(tmp_path)])
    assert (tmp_path / "claims.md").read_text(encoding="utf-8") == text


def test_what_is_unlike_or_mixed_stands_on_the_page():
    rows = {
        row.split("|")[1].strip(): row for row in page(ROOT / "results" / "claims").splitlines() if row.startswith("| ")
    }
    assert "C1†" in rows and "D3" in rows  # reconstruction.json holds runs of four commits, techniques-long.json of one
    assert "1.23× the parameters" in rows["C1†"] and "0.76× the parameters" in rows["B1†"]
    assert "not decidable" in rows["C10†"] and "not decidable" in rows["C5†"]  # p = .105 and .09
    assert "(n 1)" in rows["E1"] and "not decidable" in rows["E1"]


def test_the_package_holds_no_claims():
    package = ROOT / "src" / "gridless"
    assert not [path for word in ("claims", "techniques") for path in package.rglob(f"*{word}*.*")]


def test_without_results_the_command_says_what_is_missing(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["--results", str(tmp_path), "-o", str(tmp_path)])
    assert "holds none of reconstruction.json" in capsys.readouterr().err
