"""The verdicts: the rule on made-up runs, and docs/claims.md from the committed results."""

from pathlib import Path

import pytest

from gridless.claims import Claim, Contrast, claims, difference, page, verdict
from gridless.cli import main
from gridless.config.merging import recipe, recipe_table

ROOT = Path(__file__).parents[1]
RECIPES = {
    "reconstruction": "claims",
    "super-resolution": "claims-sr",
    "sparse": "claims-sparse",
    "techniques": "techniques",
    "techniques-long": "techniques-long",
}


def runs(**arms: list[float]) -> list[dict]:
    return [{"arm": a, "seed": s, "scores": {"psnr": v}} for a, values in arms.items() for s, v in enumerate(values)]


def decided(ours: list[float], theirs: list[float], **claim) -> str:
    test = Contrast("x", "psnr", "ours", "theirs")
    found = difference(test, runs(ours=ours, theirs=theirs))
    return verdict(Claim("Z1", "d", "t", "p", (test,), **claim), [found])


def test_an_effect_is_paired_by_seed_and_its_margin_is_two_standard_errors():
    test = Contrast("x", "psnr", "ours", "theirs")
    found = difference(test, runs(ours=[21, 32, 43], theirs=[20, 30, 40, 99]))
    assert (found.mean, found.seeds, found.values) == (2.0, 3, (32.0, 30.0))
    assert found.margin == pytest.approx(2 * 1 / 3**0.5)
    assert difference(test, runs(ours=[1.0])) is None
    constant = difference(Contrast("x", "psnr", "ours", 20.0, lower=True), runs(ours=[21, 23]))
    assert constant.mean == -2.0 and constant.margin == pytest.approx(2.0)


def test_a_lucky_spread_is_widened_by_its_peers():
    lucky, wild = Contrast("x", "psnr", "ours", "theirs"), Contrast("x", "psnr", "wild", "theirs")
    table = runs(ours=[1.1, 1.1, 1.1], theirs=[1, 1, 1], wild=[0, 2, 4])
    assert difference(lucky, table, [lucky]).margin == pytest.approx(0, abs=1e-6)
    assert difference(lucky, table, [wild]).margin == pytest.approx(2 * 2 / 3**0.5)


def test_verdicts_follow_their_rule():
    assert decided([3, 3.1, 2.9], [0, 0, 0]) == "confirmed"
    assert decided([1, 1.1, 0.9], [0, 0, 0], least=3.0) == "confirmed in direction, refuted in size"
    assert decided([-1, -1.1, -0.9], [0, 0, 0]) == "refuted"
    assert decided([0.2, -0.2, 0.0], [0, 0, 0]).startswith("no effect above ± 0.23 dB")
    assert decided([9, -9, 0], [0, 0, 0], least=3.0).startswith("not decidable here: could have shown 10.39 dB")
    assert decided([0.1, -0.1, 0.0], [0, 0, 0], equal=0.5).startswith("confirmed: no effect above")
    assert decided([2, 2.1, 1.9], [0, 0, 0], equal=0.5) == "refuted"
    assert verdict(Claim("Z1", "d", "t", "p", ()), []) == "not measured"


def test_effects_that_disagree_depend():
    good, bad = Contrast("x", "psnr", "a", "z"), Contrast("x", "psnr", "b", "z")
    table = runs(a=[2, 2.1, 2], b=[-2, -2.1, -2], z=[0, 0, 0])
    claim = Claim("Z1", "d", "t", "p", (good, bad))
    assert verdict(claim, [difference(test, table) for test in claim.tests]) == "depends"


def test_every_claim_of_the_documents_is_there_and_its_arms_are_in_the_recipes():
    known = claims()
    wanted = [f"A{i}" for i in range(1, 7)] + [f"B{i}" for i in range(1, 4)]
    wanted += [f"C{i}" for i in range(1, 12)] + [f"D{i}" for i in range(1, 8)] + [f"E{i}" for i in range(1, 9)]
    assert [claim.id for claim in known] == wanted
    for claim in known:
        for test in claim.tests:
            if test.file in RECIPES:
                arms = {"full", *recipe(recipe_table(RECIPES[test.file]), {})[1]}
                named = [test.arm] + [test.against] * isinstance(test.against, str)
                assert {name.removesuffix(", 51 at a time") for name in named} <= arms


def test_the_page_is_that_of_the_committed_results(monkeypatch, tmp_path, capsys):
    text = page(ROOT / "results" / "claims")
    assert text == (ROOT / "docs" / "claims.md").read_text()
    verdicts = [
        line.rsplit("|", 2)[1] for line in text.splitlines() if line.startswith(("| A", "| B", "| C", "| D", "| E"))
    ]
    assert len(verdicts) == 35 and not [v for v in verdicts if "not measured" in v]
    assert sum("not decidable" in v for v in verdicts) <= 6
    monkeypatch.chdir(ROOT)
    main(["report", "--claims", "-o", str(tmp_path)])
    assert (tmp_path / "claims.md").read_text() == text


def test_without_results_the_command_says_what_is_missing(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["report", "--claims"])
    assert "holds none of reconstruction.json" in capsys.readouterr().err
