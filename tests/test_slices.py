"""Scans of thick slices: cubic B-splines, the profile of a slice, one axis made coarser, a network that refines along it."""

import numpy as np
import pytest
import torch

import gridless as gl
from gridless.bases import Interpolation
from gridless.config import VolumeData
from gridless.config.merging import merge, preset_table
from gridless.data.cropping import stacked
from gridless.data.resampling import kernel_matrix
from gridless.data.signals import GridSignal
from gridless.data.volume_splits import split_volumes
from gridless.network.slices import by_step

# --- the base ---------------------------------------------------------------------------------------------------


def array(*shape, seed=0):
    return np.random.default_rng(seed).random((*shape, 1), np.float32)


@pytest.mark.parametrize("shape, factors", [((9,), (3,)), ((7, 6), (2, 1.5)), ((16, 15, 14), (1, 2, 3))])
def test_a_b_spline_is_scipys(shape, factors):
    scipy = pytest.importorskip("scipy.ndimage")
    values = array(*shape)
    ours = Interpolation("bspline").encode(gl.Samples.from_grid(values, axes=len(shape))).to_grid(scale=factors)
    theirs = scipy.zoom(values[..., 0].astype(float), factors, order=3, mode="reflect", grid_mode=True)
    np.testing.assert_allclose(ours[..., 0], theirs, atol=5e-6)


def test_a_b_spline_goes_through_its_samples_and_joins_where_the_axis_does():
    values = array(12, 8)
    domain = gl.Domain.of_grid({"lat": np.arange(8) * 1.0, "lon": np.arange(12) * 30.0})
    samples = gl.Samples.from_grid(values.transpose(1, 0, 2), domain=domain)
    field = Interpolation("bspline").encode(samples)
    assert torch.equal(field.to_grid(scale=1), samples.on_grid()[0])
    ends = field({"lat": 3.3, "lon": [-20.0, 340.0, 344.999, -14.999]})
    assert float((ends[0] - ends[1]).abs()) < 1e-6 and float((ends[2] - ends[3]).abs()) < 1e-3


@pytest.mark.parametrize("cell", [0.4, 1.0, 1.2, 1.5, 3.0])
def test_a_b_spline_of_a_constant_is_that_at_any_cell(cell):
    samples = gl.Samples.from_grid(np.full((9, 9, 1), 2.5, np.float32))
    field = Interpolation("bspline").encode(samples)
    np.testing.assert_allclose(field(gl.grid(5, 5), gl.cells(9, 9) * cell), 2.5, rtol=1e-6)


def test_of_larger_cells_a_b_spline_is_the_widened_bicubic():
    samples = gl.Samples.from_grid(array(30, 30))
    spline, bicubic = (Interpolation(kind).encode(samples).to_grid(shape=(10, 10)) for kind in ("bspline", "bicubic"))
    inner = (slice(2, -2),) * 2
    np.testing.assert_allclose(spline[inner], bicubic[inner], atol=1e-5)


def test_beside_holes_a_b_spline_says_what_was_measured():
    values, mask = array(16, 16), np.ones((16, 16), bool)
    mask[5:12, 5:12] = False
    field = Interpolation("bspline").encode(gl.Samples.from_grid(values, mask=mask))
    whole = field.to_grid(scale=1)[..., 0].numpy()
    np.testing.assert_array_equal(whole[mask], values[..., 0][mask])
    assert np.isnan(whole[8, 8]) and not np.isnan(whole[4:13, 4][:, None]).any()
    filled = Interpolation("bspline", fill=True).encode(gl.Samples.from_grid(values, mask=mask)).to_grid(scale=2)
    assert filled.isfinite().all()
    line = torch.stack([torch.full((400,), 0.3), torch.linspace(0.05, 0.95, 400)], -1)
    steps = field(line)[:, 0].diff().abs()
    assert float(steps[steps.isfinite()].max()) < 0.1  # no jump at the hole's edge


# --- profiles ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ["box", "gaussian"])
@pytest.mark.parametrize("seen, asked", [(12, 4), (10, 4), (20, 3), (7, 7), (5, 9)])
def test_profiles_are_means_that_leave_other_axes_alone(profile, seen, asked):
    matrix = kernel_matrix(seen, asked, profile=profile)
    np.testing.assert_allclose(matrix.sum(1), 1)
    if asked >= seen:
        np.testing.assert_array_equal(matrix, kernel_matrix(seen, asked))
    else:
        assert (matrix >= 0).all()


def test_a_box_is_the_mean_and_a_gaussian_as_wide_at_half_its_height_as_a_slice_is_thick():
    np.testing.assert_allclose(kernel_matrix(12, 4, profile="box"), np.kron(np.eye(4), np.full(3, 1 / 3)), atol=1e-15)
    half = kernel_matrix(5, 2, profile="box")[0]
    np.testing.assert_allclose(half, [0.4, 0.4, 0.2, 0, 0], atol=1e-15)
    gaussian = kernel_matrix(404, 101, profile="gaussian")[50]
    x = np.arange(404) - 201.5
    expected = np.exp(-4 * np.log(2) * (x / 4) ** 2)
    np.testing.assert_allclose(gaussian, expected / expected.sum(), atol=1e-5)


def test_pictures_have_pillows_profile_alone():
    picture = np.zeros((32, 32, 3), np.uint8)
    task = gl.SuperResolution(scales=(2,), profile="box")
    with pytest.raises(ValueError, match=r"set task\.profile to bicubic"):
        gl.evaluate([Interpolation("bicubic")], [picture], task)


# --- the task ---------------------------------------------------------------------------------------------------


def scan(shape=(20, 22, 24), steps=(1.0, 1.0, 1.0)):
    domain = gl.Domain.of_grid({n: np.arange(m) * s for n, m, s in zip("ijk", shape, steps, strict=True)})
    return GridSignal("scan", array(*shape), domain=domain)


def test_one_of_the_closest_axes_comes_last():
    thick = scan((20, 22, 8), (1.0, 1.1, 4.0))
    assert thick.closest_axes == [0, 1]
    assert stacked(thick).shape == (20, 8, 22) and stacked(thick).domain.names == ("i", "k", "j")
    shapes = {stacked(thick, np.random.default_rng(seed)).shape for seed in range(40)}
    assert shapes == {(20, 8, 22), (8, 20, 22), (22, 8, 20), (8, 22, 20)}


def test_training_sees_slices_of_every_thickness_and_asks_at_the_planes_spacing():
    task = gl.SuperResolution(scale=gl.Uniform(1, 4), slices=True, profile="gaussian")
    ratios = set()
    for seed in range(8):
        batch = task.draw([scan()], np.random.default_rng(seed), window=(6, 6, 5), batch=2, queries=50)
        assert batch.samples.shape == (6, 6, 5) and batch.coords.shape == (2, 50, 3)
        ratio = batch.cell * torch.tensor([6, 6, 5])
        np.testing.assert_allclose(ratio[..., :2], 1, rtol=1e-6)
        ratios |= {round(float(r), 2) for r in ratio[..., 2].flatten()}
        nodes = batch.coords[..., :2] * 6 - 0.5
        np.testing.assert_allclose(nodes, nodes.round(), atol=1e-5)
    assert len(ratios) > 8 and min(ratios) < 0.4


def test_evaluation_asks_along_the_last_of_the_closest_axes():
    cases = list(
        gl.SuperResolution(scales=(2, 2.5), slices=True, profile="box").cases([scan((20, 22, 8), (1, 1, 4.0))])
    )
    assert [case.samples.shape for case in cases] == [(20, 8, 11), (20, 8, 8)]
    assert [case.shape for case in cases] == [(20, 8, 22), (20, 8, 20)]
    assert [case.tags["scale"] for case in cases] == ["1×1×2", "1×1×2.5"]
    truth = cases[0].truth[..., 0]
    np.testing.assert_allclose(cases[0].samples.on_grid()[0, ..., 0], truth.reshape(20, 8, 11, 2).mean(-1), atol=1e-6)


def test_recoloured_floats_are_negatives_every_other_time():
    signal = scan()
    seen = {signal.recoloured(np.random.default_rng(seed)).values.sum() > 0 for seed in range(20)}
    assert seen == {True, False}
    negative = next(s for s in (signal.recoloured(np.random.default_rng(n)) for n in range(20)) if s.values.sum() < 0)
    np.testing.assert_allclose(negative.standard()[0], -signal.standard()[0])


# --- the network ------------------------------------------------------------------------------------------------


def woken(**signal):
    torch.manual_seed(0)
    shape = {"axes": 3, "channels": 1, "window": (8, 8, 6), "overlap": 2, "slices": True, "finest_cell": 0.2} | signal
    table = merge(preset_table("conv", "tiny"), {"signal": shape, "base": {"kind": "bspline"}})
    model = gl.FieldModel(table)
    torch.nn.init.normal_(model.head.linear.weight, std=0.1)
    for _, outer in model.tokenizer.stem.blocks:
        torch.nn.init.normal_(outer.weight, std=0.05)
    return model.eval()


def grid_of(values, **steps):
    domain = gl.Domain.of_grid(
        {name: np.arange(n) * s for (name, s), n in zip(steps.items(), values.shape, strict=False)}
    )
    return gl.Samples.from_grid(values, axes=3, domain=domain)


VALUES = array(9, 7, 8)


def test_whatever_axis_is_the_coarsest_the_field_is_the_same():
    model = woken()
    last = model.encode(grid_of(VALUES, i=1.0, j=1.0, k=3.0)).to_grid(shape=(9, 7, 24))
    first = model.encode(grid_of(VALUES.transpose(2, 0, 1, 3).copy(), k=3.0, i=1.0, j=1.0)).to_grid(shape=(24, 9, 7))
    np.testing.assert_allclose(first.permute(1, 2, 0, 3), last, atol=1e-6)
    base = Interpolation("bspline").encode(grid_of(VALUES, i=1.0, j=1.0, k=3.0)).to_grid(shape=(9, 7, 24))
    assert float((last - base).abs().max()) > 0.05


@pytest.mark.parametrize("shape", [(9, 7, 24), (9, 7, 20), (20, 7, 24), (18, 14, 9), (4, 3, 16)])
@pytest.mark.parametrize("axes", [{"i": 1.0, "j": 1.0, "k": 3.0}, {"i": 1.0, "j": 4.0, "k": 1.0}])
def test_a_lattice_of_slices_is_its_points_also_in_a_mosaic(shape, axes):
    model = woken()
    values = array(17, 13, 11) if shape[0] == 20 else VALUES
    field = model.encode(grid_of(values, **axes))
    points = field(gl.grid(*shape), gl.cells(*shape)).reshape(*shape, 1)
    np.testing.assert_allclose(field.to_grid(shape=shape), points, atol=2e-6)
    part = (slice(1, 3), slice(0, 2), slice(3, 7))
    np.testing.assert_allclose(field.to_grid(shape=shape, part=part), points[part], atol=2e-6)


def test_at_their_own_voxels_slices_come_back_and_finer_planes_add_nothing_along_them():
    model, samples = woken(), grid_of(VALUES, i=1.0, j=1.0, k=3.0)
    field = model.encode(samples)
    assert torch.equal(field.to_grid(scale=1), samples.on_grid()[0])
    base = Interpolation("bspline").encode(samples)
    np.testing.assert_allclose(field.to_grid(scale=(2, 2, 1)), base.to_grid(scale=(2, 2, 1)), atol=1e-6)


def test_its_gradient_is_true_between_and_across_slices():
    field = woken().encode(grid_of(VALUES.astype(np.float64), i=1.0, j=1.0, k=3.0))
    points = torch.from_numpy(np.random.default_rng(1).uniform(0.1, 0.9, (20, 3)))
    exact, step = field.gradient(points), 1e-3
    for axis in range(3):
        away = step * torch.eye(3, dtype=torch.float64)[axis]
        slope = (field(points + away) - field(points - away)) / (2 * step)
        np.testing.assert_allclose(slope, exact[..., axis], atol=0.05)


def test_holes_change_what_is_beside_them_alone():
    values, mask = VALUES.copy(), np.ones(VALUES.shape[:-1], bool)
    mask[4, 3, 4] = False
    samples = grid_of(values, i=1.0, j=1.0, k=3.0)
    from dataclasses import replace

    holed = woken().encode(replace(samples, mask=torch.from_numpy(mask).flatten()[None])).to_grid(shape=(9, 7, 24))
    assert holed.isfinite().all()


def test_the_order_is_that_of_the_steps():
    assert by_step(grid_of(VALUES, i=1.0, j=4.0, k=1.0)) == (0, 2, 1)
    assert by_step(grid_of(VALUES, i=1.0, j=1.0, k=1.0)) == (0, 1, 2)
    assert by_step(gl.Samples.from_grid(VALUES, axes=3)) == (0, 1, 2)


# --- data and the recipe ----------------------------------------------------------------------------------------


def saved(path, shape=(24, 24, 10), sizes=(1, 1, 3)):
    nibabel = pytest.importorskip("nibabel")
    axes = np.meshgrid(*[np.linspace(0, 6, n) for n in shape], indexing="ij")
    values = (100 * (np.sin(axes[0] * axes[1]) + np.cos(axes[2]))).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(values, np.diag([*sizes, 1.0])), path)
    return path


def test_of_one_file_all_is_learnt_from_and_a_folder_may_hold_splits(tmp_path):
    path = saved(tmp_path / "a.nii.gz")
    assert [len(split_volumes(VolumeData(path=str(path)), split)) for split in ("train", "val", "test")] == [1, 0, 0]
    assert len(split_volumes(VolumeData(path=str(tmp_path)), "train")) == 1
    (tmp_path / "scans" / "train").mkdir(parents=True)
    (tmp_path / "scans" / "test").mkdir()
    saved(tmp_path / "scans" / "train" / "b.nii")
    saved(tmp_path / "scans" / "test" / "c.nii")
    counts = [len(split_volumes(VolumeData(path=str(tmp_path / "scans")), s)) for s in ("train", "val", "test")]
    assert counts == [1, 0, 1]
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no volume"):
        split_volumes(VolumeData(path=str(tmp_path / "empty")), "train")


def test_the_template_is_found_without_importing_its_package(monkeypatch):
    import sys

    from gridless.data import volume_splits

    monkeypatch.setattr(volume_splits, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match="pip install nilearn, or give --data FILE"):
        volume_splits.template()
    assert "nilearn" not in sys.modules


def test_a_user_with_one_thick_scan_trains_answers_and_compares(tmp_path, capsys):
    from gridless.cli import main

    path = saved(tmp_path / "thick.nii.gz")
    small = ["--model.signal.window", "8", "8", "6", "--model.signal.overlap", "2", "--model.signal.tile", "none"]
    small += ["--model.tokenizer.stem.width", "8", "--model.tokenizer.stem.blocks", "1", "--train.steps", "2"]
    main(["train", "volumes", "--data", str(path), "-o", str(tmp_path / "run"), "--task.scale", "2", *small])
    main(["predict", str(tmp_path / "run"), str(path), "--spacing", "1", "1", "1", "-o", str(tmp_path / "iso.nii.gz")])
    assert "24 × 24 × 30 voxels" in capsys.readouterr().out
    sizes = gl.read(tmp_path / "iso.nii.gz").space.voxel_sizes
    np.testing.assert_allclose(sizes, 1)
