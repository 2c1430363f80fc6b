"""A budget in seconds: kept by a machine whose speed changes, and by a training that is interrupted."""

import json
import time

import pytest
import torch
from test_checkpoints import lines, same, train

from gridless.config import Train


class Clock:
    """A machine whose steps take `seconds` of a clock that only they move, and train only if they are `real`."""

    def __init__(self, monkeypatch, seconds, real=False):
        from gridless.training import fit as training
        from gridless.training import steps

        self.now, self.seconds = 0.0, seconds
        self.train = steps.training_step if real else lambda *_: torch.ones(())
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)
        for place in (training, steps):
            monkeypatch.setattr(place, "training_step", self.step)

    def step(self, *args):
        self.now += self.seconds(self.now)
        return self.train(*args)


BUDGET = Train(seconds=3.0, batch=1, queries=4, checkpoint_every=1000)


@pytest.mark.parametrize("slower", [0.25, 1.0, 3.0])
def test_a_budget_is_kept_by_a_machine_whose_speed_changes(monkeypatch, slower):
    Clock(monkeypatch, lambda now: 0.02 * (slower if now > 1.6 else 1.0))  # the plan is made within the first 0.2 s
    facts = train(train=BUDGET)
    assert facts["train_seconds"] == pytest.approx(BUDGET.seconds, rel=0.1)
    assert (facts["steps"] > 200) == (slower < 1)


def test_fitting_the_base_is_part_of_the_budget(monkeypatch):
    clock = Clock(monkeypatch, lambda now: 0.02)

    def fitted(*_):
        clock.now += 2.0
        return {"base_seconds": 2.0}

    monkeypatch.setattr("gridless.training.fit.fit_base", fitted)
    facts = train(train=BUDGET)
    assert facts["base_seconds"] == 2.0 and facts["train_seconds"] == pytest.approx(3.0, rel=0.1)
    assert facts["steps"] == pytest.approx(50, rel=0.1)


def test_a_budget_that_was_interrupted_keeps_its_plan(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        Clock(patch, lambda now: 0.05 * (2.0 if now > 2.0 else 1.0), real=True)
        whole = train(tmp_path / "whole", train=BUDGET)
    with monkeypatch.context() as patch:
        clock = Clock(patch, lambda now: 0.05 * (2.0 if now > 2.0 else 1.0), real=True)
        plain, left = clock.step, iter(range(1000))

        def dies(*args):
            if next(left) == 37:
                raise KeyboardInterrupt
            return plain(*args)

        patch.setattr("gridless.training.fit.training_step", dies)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "broken", train=BUDGET)
    state = json.loads(next((tmp_path / "broken").glob("checkpoint-*/state.json")).read_text(encoding="utf-8"))
    assert 0 < state["step"] < 37 and state["plan"]["progress"] > 0
    with monkeypatch.context() as patch:
        clock = Clock(patch, lambda now: 0.05 * (2.0 if now > 2.0 else 1.0), real=True)
        clock.now = state["train_seconds"] + 1.0  # as late as it was, after the steps that were timed
        again = train(tmp_path / "broken", train=BUDGET)
    assert again["steps"] == whole["steps"] and same(tmp_path / "whole", tmp_path / "broken")
    assert lines(tmp_path / "whole") == lines(tmp_path / "broken")
