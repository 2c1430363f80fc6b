"""Readings that come one after another: a stream's fields are those of all readings at once, at a price that stays."""

import json
import pickle
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from conftest import tiny
from torch.utils.flop_counter import FlopCounterMode

import gridless as gl
from gridless.config.merging import merge

ROOT = Path(__file__).parents[1]
TOKENS = {"count": 6, "std": 0.5, "placement": "append", "read": "tokens"}
ENCODER = {"kind": "mamba", "depth": 2, "expansion": 2.0, "ssm": {"state": 4, "direction": "forward"}, "tokens": TOKENS}
STREAM = {"signal": {"axes": 3, "positions": None}, "encoder": ENCODER, "base": {"kind": "none"}}
UNITS = {"signal": {"mean": 0.3, "std": 0.7}}
CUTS = [(23, 1), (1, 23), (2,) * 12, (7, 1, 5, 11)]


def model_of(diff: dict | None = None, dtype=torch.float32) -> gl.FieldModel:
    return tiny("scattered", merge(STREAM, diff or {})).to(dtype)


def readings(batch=2, count=24, dtype=torch.float32, seed=1) -> gl.Samples:
    """At places (t, y, x) in order of time."""
    g = torch.Generator().manual_seed(seed)
    coords = torch.rand(batch, count, 3, generator=g, dtype=torch.float64)
    coords[..., 0] = coords[..., 0].sort().values
    values = 2 + torch.sin(7 * coords.sum(-1, keepdim=True))
    return gl.Samples(values.to(dtype), coords=coords.to(dtype))


def cut(samples: gl.Samples, some: slice) -> gl.Samples:
    parts = {name: getattr(samples, name) for name in ("values", "coords", "mask", "noise")}
    return replace(samples, **{name: None if part is None else part[:, some] for name, part in parts.items()})


def pieces(samples: gl.Samples, cuts: tuple[int, ...]) -> list[gl.Samples]:
    ends = torch.tensor(cuts).cumsum(0).tolist()
    return [cut(samples, slice(end - count, end)) for end, count in zip(ends, cuts, strict=True)]


def streamed(model: gl.FieldModel, samples: gl.Samples, cuts: tuple[int, ...], keep=False):
    first, *others = pieces(samples, cuts)
    stream = model.stream(first, keep)
    for piece in others:
        stream = stream.updated(piece)
    return stream


def asked(dtype=torch.float32) -> torch.Tensor:
    return torch.rand(2, 11, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64).to(dtype)


def assert_same(got: gl.Field, want: gl.Field, dtype=torch.float32):
    tolerance = 1e-5 if dtype == torch.float32 else 1e-10
    for a, b in zip(got.mean_and_std(asked(dtype)), want.mean_and_std(asked(dtype)), strict=True):
        torch.testing.assert_close(a, b, atol=tolerance, rtol=0)


ARMS = {
    "plain": UNITS,
    "gap": UNITS | {"encoder": {"ssm": {"gap": 0.1}}},
    "last-mlp": UNITS | {"encoder": {"final": "last-mlp"}},
    "processor": UNITS | {"processor": {"depth": 1, "heads": 2, "head_width": 16}},
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("cuts", CUTS, ids=str)
def test_pieces_give_the_field_of_all(cuts, dtype):
    model, samples = model_of(UNITS, dtype), readings(dtype=dtype)
    stream = streamed(model, samples, cuts)
    assert_same(stream.field(), model.encode(samples), dtype)
    assert stream.counts.tolist() == [24, 24] and len(stream) == 2


@pytest.mark.parametrize("arm", ARMS)
def test_so_they_do_for_every_model_that_can_go_on(arm):
    model, samples = model_of(ARMS[arm], torch.float64), readings(dtype=torch.float64)
    assert_same(streamed(model, samples, (5, 1, 18)).field(), model.encode(samples), torch.float64)


@pytest.mark.parametrize("arm", ["plain", "gap"])
def test_holes_fields_that_pause_and_padding(arm):
    """Each field of the batch measures at other times; one says nothing at first, one nothing in the second piece."""
    samples = readings(dtype=torch.float64)
    mask = torch.rand(2, 24, generator=torch.Generator().manual_seed(3)) < 0.6
    mask[0, :6], mask[1, 6:13] = False, False
    samples, model = replace(samples, mask=mask), model_of(ARMS[arm], torch.float64)
    stream = streamed(model, samples, (6, 7, 11))
    assert_same(stream.field(), model.encode(samples), torch.float64)
    assert torch.equal(stream.counts, mask.sum(1))
    padded = gl.Samples.stack([cut(samples, slice(0, 24)), readings(batch=1, count=30, dtype=torch.float64)])
    alone = streamed(model, padded.select(slice(0, 2)), (6, 24)).field()
    assert_same(alone, stream.field(), torch.float64)


def test_units_are_those_of_the_first_readings():
    model, samples = model_of(dtype=torch.float64), readings(dtype=torch.float64)
    first = pieces(samples, (10, 14))[0]
    level, scale = first.standard()
    stream = streamed(model, samples, (10, 14))
    assert_same(stream.field(), model.encode(replace(samples, level=level, scale=scale)), torch.float64)
    hot = streamed(model, replace(samples, values=samples.values * 5 + 100), (10, 14)).field()
    torch.testing.assert_close(
        hot(asked(torch.float64)), stream.field()(asked(torch.float64)) * 5 + 100, atol=1e-9, rtol=0
    )


def test_a_stream_is_a_value():
    model, samples = model_of(UNITS), readings()
    first, second, third = pieces(samples, (8, 8, 8))
    early = model.stream(first)
    before = early.field()
    answers = before(asked())
    left, right = early.updated(second), early.updated(third)
    assert torch.equal(early.field()(asked()), answers) and torch.equal(before(asked()), answers)
    assert not torch.equal(left.field()(asked()), right.field()(asked()))
    again = pickle.loads(pickle.dumps(left))
    assert torch.equal(again.field()(asked()), left.field()(asked()))
    assert torch.equal(again.updated(third).field()(asked()), left.updated(third).field()(asked()))


def test_a_stream_may_be_begun_in_inference_mode():
    model, samples = model_of(UNITS), readings()
    with torch.inference_mode():
        stream = model.stream(cut(samples, slice(0, 12)))
    field = stream.updated(cut(samples, slice(12, 24))).field()
    assert field.gradient(asked()).abs().max() > 0


def test_a_model_that_trained_on_is_refused():
    model, samples = model_of(UNITS), readings()
    stream = model.stream(samples)
    field, kept = stream.field(), pickle.loads(pickle.dumps(stream))
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.01)
    for call in (stream.field, lambda: stream.updated(samples)):
        with pytest.raises(ValueError, match="of this stream was trained on since the stream was made; begin it again"):
            call()
    with pytest.raises(ValueError, match="trained on since"):
        field(asked())
    kept.field()(asked())


@pytest.mark.parametrize(
    ("diff", "what"),
    [
        ({"encoder": {"ssm": {"direction": "both"}}}, "encoder.ssm.direction = 'forward'"),
        ({"encoder": {"order": "hilbert"}}, "encoder.order = 'given'"),
        ({"encoder": {"tokens": {"placement": "middle"}}}, "encoder.tokens.placement = 'append'"),
        ({"encoder": {"tokens": {"read": "all"}}}, "encoder.tokens.read = 'tokens'"),
        ({"encoder": {"tokens": {"content": True}}}, "encoder.tokens.content = false"),
        ({"encoder": {"depth": 0}}, "encoder.depth of at least 1"),
        ({"film": {}}, "film = none"),
        ({"signal": {"frame": "readings"}}, "signal.frame = 'domain'"),
        ({"head": {"kind": "flow", "steps": 3, "samples": 3, "depth": 1, "heads": 2}}, "head.kind 'point' or 'gaussian'"),
        ({"base": {"kind": "kriging"}, "tokenizer": {"base": True}}, "tokenizer.base = false"),
        ({"encoder": {"kind": "perceiver", "count": 8, "widths": [32], "head_width": 16}}, "encoder.kind = 'mamba'"),
    ],
    ids=lambda part: part if isinstance(part, str) else "",
)  # fmt: skip
def test_a_model_that_cannot_go_on_says_what_to_set(diff, what):
    with pytest.raises(ValueError, match="cannot read a stream") as error:
        model_of(diff).stream(readings())
    assert what in str(error.value) and "\n" not in str(error.value)


@dataclass(frozen=True)
class Sums:
    total: torch.Tensor
    counts: torch.Tensor


class RunningMean(torch.nn.Module):
    """An encoder of one's own whose one latent is the mean of the tokens."""

    missing_for_streams = ()

    def __init__(self, signal, width, positions, count):
        super().__init__()
        self.width = width

    def forward(self, tokens):
        return self.latents_after(self.advanced(tokens)), tokens.x

    def advanced(self, readings, before=None):
        total, counts = readings.x.sum(1, keepdim=True), torch.full((len(readings.x),), readings.x.shape[1])
        return Sums(total, counts) if before is None else Sums(before.total + total, before.counts + counts)

    def latents_after(self, read):
        mean = read.total / read.counts[:, None, None]
        return gl.Tokens(mean, torch.full((len(mean), 1, 3), 0.5).to(mean))


def test_an_encoder_of_ones_own_can_go_on():
    model, samples = model_of({"encoder": gl.own(RunningMean, count=1)} | UNITS), readings()
    assert_same(streamed(model, samples, (7, 1, 16)).field(), model.encode(samples))


def test_a_model_of_grids_is_refused():
    grid = gl.Samples.from_grid(torch.rand(8, 8, 3))
    with pytest.raises(ValueError, match="tokenizer.kind = 'points'"):
        tiny("hybrid").stream(grid)


def test_what_does_not_go_on_from_the_first_readings_is_refused():
    model, samples = model_of(), readings()
    stream = model.stream(samples)
    time = gl.Domain.of_grid({"t": torch.arange(4.0), "y": torch.arange(4.0), "x": torch.arange(4.0)})
    level, scale = samples.standard()
    for new, message in (
        (samples.select(slice(0, 1)), "of 2 fields, the new readings are of 1"),
        (replace(samples, domain=time), "another domain"),
        (replace(samples, level=level + 1, scale=scale), "a level of their own"),
        (replace(samples, mask=torch.zeros(2, 24, dtype=torch.bool)), "nothing was measured"),
        (replace(samples, values=samples.values.clone().requires_grad_()), "keeps no gradient"),
    ):
        with pytest.raises(ValueError, match=message):
            stream.updated(new)
    stream.updated(replace(samples, level=level, scale=scale))
    with pytest.raises(ValueError, match="no unit to read later ones in"):
        model.stream(replace(samples, values=torch.ones_like(samples.values)))


def test_a_base_is_solved_again_only_where_readings_are_kept():
    model, samples = model_of({"base": {"kind": "kriging"}} | UNITS), readings(count=12)
    with pytest.raises(ValueError, match="keep=True"):
        model.stream(samples)
    samples = replace(samples, mask=torch.arange(12).expand(2, -1) != 4, noise=torch.full((2, 12), 0.1))
    first, second = pieces(samples, (5, 7))
    stream = model.stream(first, keep=True).updated(second)
    torch.testing.assert_close(stream.field()(asked()), model.encode(samples)(asked()), atol=1e-4, rtol=0)
    plain = model.stream(replace(first, mask=None, noise=None), keep=True).updated(second)
    assert plain.readings.mask is not None and plain.readings.mask[:, :5].all()
    assert torch.equal(plain.readings.noise[:, :5], torch.zeros(2, 5))


def test_grids_of_moments_are_read_in_their_order():
    """A film, frame by frame."""
    time = gl.Domain.of_grid({"t": torch.arange(4.0), "y": torch.arange(3.0), "x": torch.arange(3.0)})
    film = gl.Samples.from_grid(torch.rand(4, 3, 3, 1), axes=3, domain=time)
    model = model_of(UNITS)
    points = film.as_points()
    stream = streamed(model, points, (9,) * 4)
    torch.testing.assert_close(stream.field()(asked()[0]), model.encode(film)(asked()[0]), atol=1e-5, rtol=0)


def flops(call) -> int:
    with FlopCounterMode(display=False) as counter:
        call()
    return counter.get_total_flops()


def test_what_a_reading_costs_does_not_depend_on_the_past():
    model, few, many = model_of(UNITS), readings(count=20), readings(count=400)
    new, work, size = readings(count=1, seed=9), [], []
    for past in (few, many):
        stream = model.stream(past)
        work.append((flops(lambda s=stream: s.updated(new)), flops(stream.field)))
        size.append(len(pickle.dumps(stream.updated(new).read)))
    assert work[0] == work[1] and size[0] == size[1]
    assert flops(lambda: model.encode(many)) > 5 * sum(work[0])


def test_the_tables_of_streams_are_those_of_the_committed_results():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import streaming

    found = json.loads((ROOT / "results" / "streaming.json").read_text(encoding="utf-8"))
    page = (ROOT / "docs" / "concepts.md").read_text(encoding="utf-8")
    assert streaming.cost_table(found) in page and streaming.price_table(found) in page
    text = " ".join(page.split())
    worse = []
    for seed in found["seeds"]:
        rmse = {row["arm"]: row["rmse"] for row in found["price"] if row["seed"] == seed}
        forwards, _, among = rmse.values()
        worse.append(100 * (forwards / among - 1))
    assert f"Forwards is {worse[0]:.0f} and {worse[1]:.0f} % worse" in text
    assert f"answering 0 gives {found['zero']:.3f}" in text
    both = [row["milliseconds"]["both"]["median"] for row in found["costs"]]
    assert max(both) < 1.15 * min(both)
    assert all(row["streamed"] == pytest.approx(row["rmse"], abs=1e-4) for row in found["price"] if "streamed" in row)
    assert set(rmse) == set(streaming.ARMS)
