"""What was measured, side by side and as users' arrays bring it."""

import numpy as np
import pytest
import torch
from conftest import tiny

import gridless as gl
from gridless.data.sources import as_signal

# --- batches ------------------------------------------------------------------------------------------------------


def test_every_field_of_a_stack_keeps_its_mask():
    masks = torch.rand(3, 4, 4, generator=torch.Generator().manual_seed(0)) > 0.4
    grids = torch.rand(3, 4, 4, 2)
    parts = [gl.Samples.from_grid(v, mask=m) for v, m in zip(grids, (masks[0], None, masks[2]), strict=True)]
    for order in ([0, 1, 2], [1, 0, 2], [2, 0]):
        stacked = gl.Samples.stack([parts[i] for i in order])
        for row, i in enumerate(order):
            known = torch.ones(4, 4, dtype=torch.bool) if i == 1 else masks[i]
            assert stacked.mask_on_grid()[row].equal(known)
            assert stacked.on_grid()[row].equal(parts[i].on_grid()[0])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (gl.Samples.from_grid(torch.rand(2, 8, 1)), r"of one kind can be stacked, got .*\(2, 8\) of 2 axes"),
        (gl.Samples.from_grid(torch.rand(4, 4, 2)), "2 channels"),
        (gl.Samples.from_points(torch.rand(16, 2), torch.rand(16, 1)), "points of 2 axes"),
        (gl.Samples.from_grid(torch.rand(4, 4, 1), domain=gl.Domain.globe()), "different domains cannot be stacked"),
    ],
    ids=["shape", "channels", "points", "domain"],
)
def test_what_is_of_another_kind_is_no_part_of_a_stack(other, message):
    """Though as many numbers are in it."""
    samples = gl.Samples.from_grid(torch.rand(4, 4, 1))
    for pair in ([other, samples], [samples, other]):
        with pytest.raises(ValueError, match=message):
            gl.Samples.stack(pair)


@pytest.mark.parametrize("counts", [(5, 7), (7, 5), (5, 7, 7)])
def test_a_stack_of_different_numbers_of_readings_answers_as_each_alone(counts):
    model = tiny("sensors")
    noisy = [gl.Samples.from_points(torch.rand(n, 2), torch.rand(n, 1), noise=0.1 * torch.rand(n)) for n in counts]
    stacked = gl.Samples.stack(noisy)
    assert stacked.mask.sum(1).tolist() == list(counts)
    field, coords = model.encode(stacked), torch.rand(11, 2)
    for i, (part, n) in enumerate(zip(noisy, counts, strict=True)):
        assert stacked.values[i, :n].equal(part.values[0]) and stacked.coords[i, :n].equal(part.coords[0])
        assert stacked.noise[i, :n].equal(part.noise[0])
        torch.testing.assert_close(field(coords)[i], model.encode(part)(coords), rtol=1e-4, atol=1e-4)


# --- arrays ---------------------------------------------------------------------------------------------------------

HIDDEN = np.random.default_rng(1).random((6, 6, 1)) < 0.3


def masked(fill: float) -> np.ma.MaskedArray:
    """As netCDF readers hand them out: what is hidden holds the fill value."""
    values = np.random.default_rng(0).random((6, 6, 1)).astype(np.float32)
    return np.ma.MaskedArray(np.where(HIDDEN, np.float32(fill), values), HIDDEN, fill_value=fill)


@pytest.mark.parametrize("fill", [np.nan, -9999.0, 9.96921e36, 0.5])
def test_a_masked_array_brings_its_mask(fill):
    """To a grid, to points and to training; what is hidden is no value."""
    array, real = masked(fill), torch.from_numpy(~HIDDEN[..., 0])
    samples = gl.Samples.from_grid(array)
    assert samples.mask_on_grid()[0].equal(real)
    places = gl.grid(6, 6)
    points = gl.Samples.from_points(places, array.reshape(36, 1))
    assert points.mask[0].equal(real.flatten())
    signal = as_signal(array)
    assert np.array_equal(signal.mask, real.numpy())
    for answer in (samples.values, points.values, torch.from_numpy(signal.values)):
        assert answer.flatten().equal(torch.from_numpy(array.filled(0).flatten()))


def test_training_sees_no_hidden_value():
    """The same weights whatever lies under the mask."""
    trained = []
    for array in (masked(np.nan), masked(9.96921e36)):
        model = tiny("hybrid", {"signal": {"channels": 1, "window": 4, "overlap": 1}})
        gl.fit(model, [array], gl.Reconstruction(), train=gl.Train(steps=2, batch=2), quiet=True)
        trained.append(model.state_dict())
    for name, tensor in trained[0].items():
        assert tensor.isfinite().all() and tensor.equal(trained[1][name]), name


@pytest.mark.parametrize(
    "turned",
    [
        lambda a: np.ascontiguousarray(a[::-1])[::-1],
        lambda a: a.astype(a.dtype.newbyteorder(">")),
        lambda a: np.asfortranarray(a),
    ],
    ids=["flipped", "big-endian", "columns first"],
)
def test_how_an_array_lies_in_memory_changes_nothing(turned):
    rng = np.random.default_rng(0)
    values, places = (rng.random((36, n), np.float32) for n in (1, 2))
    plain = gl.Samples.from_points(places, values, np.ones(36, bool), noise=values[:, 0])
    other = gl.Samples.from_points(turned(places), turned(values), turned(np.ones(36, bool)), turned(values[:, 0]))
    for name in ("values", "coords", "mask", "noise"):
        assert getattr(other, name).equal(getattr(plain, name)), name
    picture = values.reshape(6, 6, 1)
    assert gl.Samples.from_grid(turned(picture)).values.equal(gl.Samples.from_grid(picture).values)
    assert np.array_equal(as_signal(turned(picture)).values, picture)


def test_a_border_that_float32_has_rounded_is_the_border():
    places = torch.tensor([[1.0000001, 0.5], [-1e-7, 0.2], [0.3, 0.4]])
    samples = gl.Samples.from_points(places, torch.rand(3, 1))
    assert samples.domain is None and samples.coords[0].equal(places.clamp(0, 1))
    field = tiny("sensors").encode(samples)
    torch.testing.assert_close(field(places), field(places.clamp(0, 1)), rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match=r"coordinates must lie in \[0, 1\]"):
        field(torch.tensor([[1.001, 0.5]]))


def labelled(latitude: np.ndarray, dims: tuple[str, ...] = ("lat", "lon"), **coords):
    """An xarray.DataArray."""
    xarray = pytest.importorskip("xarray")
    values = np.arange(4.0 * len(latitude)).reshape(len(latitude), 4)
    values[0, 0] = np.nan
    given = {"lat": (latitude, {"units": "degrees_north"}), "lon": (np.arange(4.0), {"units": "degrees_east"})} | coords
    return xarray.DataArray(
        values, dims=dims, coords={n: (n, v, attrs) for n, (v, attrs) in given.items() if n in dims}, name="sst"
    )


def test_a_labelled_array_is_one_channel_with_the_domain_of_its_coordinates():
    signal = as_signal(labelled(np.array([50.0, 49.0, 48.0])))
    assert (
        signal.name == "sst" and signal.values.shape == (3, 4, 1) and signal.mask.sum() == 11 and not signal.mask[0, 0]
    )
    assert signal.domain.names == ("lat", "lon") and signal.domain.sphere == (0, 1)
    first, second = signal.domain.axes
    assert (first.start, first.length, first.unit) == (50.5, -3.0, "degrees_north")
    assert (second.start, second.length, second.unit) == (-0.5, 4.0, "degrees_east")
    days = np.array(["2020-01-01", "2020-01-02", "2020-01-03"], "datetime64[D]")
    moved = labelled(days, ("time", "lon"), time=(days, {}))
    assert as_signal(moved).domain.axes[0].unit == "seconds since 1970-01-01"
    with pytest.raises(ValueError, match="its dimension row has no coordinate"):
        as_signal(labelled(np.arange(3.0), ("lat", "row")))
    uneven = as_signal(labelled(np.array([1.0, 2.0, 9.0])))  # as points
    assert uneven.points.values.shape == (1, 11, 1) and uneven.domain.sphere == (0, 1)
