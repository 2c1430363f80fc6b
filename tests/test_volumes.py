"""Volumes of scanners: read with their affine and header, answered at other voxels, written back. Against nibabel."""

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

import gridless as gl
from gridless.bases import Interpolation
from gridless.cli import main
from gridless.data.kinds import kind_of_inputs
from gridless.data.volume_writing import write_nifti
from gridless.data.volumes import read_frames

nibabel = pytest.importorskip("nibabel")
apply_affine = pytest.importorskip("nibabel.affines").apply_affine

TURNED = np.array([[0.0, -1.6, 1.2, 12.0], [-1.0, 0.0, 0.0, 40.0], [0.0, 1.2, 1.6, -7.0], [0, 0, 0, 1]])
"""Oblique, with flipped and swapped axes; voxels of 1 × 2 × 2 mm."""
SHAPE = (8, 7, 5)


def smooth(shape=SHAPE, seed=0):
    axes = np.meshgrid(*[np.linspace(0, 1, n) for n in shape], indexing="ij")
    rng = np.random.default_rng(seed)
    return sum(np.sin(2 * a + rng.uniform(0, 6)) for a in axes).astype(np.float32)


def written(path, values, affine=TURNED, kind=np.float32, code=1, **header):
    image = nibabel.Nifti1Image(values.astype(kind), affine)
    image.set_sform(affine, code)
    image.set_qform(affine, code)
    image.header.set_xyzt_units("mm", "sec")
    for name, value in header.items():
        image.header[name] = value
    nibabel.save(image, path)
    return path


def spline(path, **options):
    return Interpolation("bspline").encode(gl.read(path, **options))


def line_of(capsys, *words):
    with pytest.raises(SystemExit) as stopped:
        main([str(word) for word in words])
    error = capsys.readouterr().err.strip()
    assert stopped.value.code == 2 and error.startswith("gridless: ") and "\n" not in error
    return error


# --- reading ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.img"])
@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64])
def test_values_are_nibabels_on_the_files_grid(tmp_path, name, kind):
    values = np.round(50 * smooth() + 128)
    path = tmp_path / name
    maker = nibabel.Nifti1Pair if name.endswith("img") else nibabel.Nifti1Image
    nibabel.save(maker(values.astype(kind), TURNED), path)
    samples = gl.read(path)
    assert samples.shape == SHAPE and samples.channels == 1 and samples.values.dtype == torch.float32
    np.testing.assert_array_equal(samples.on_grid()[0, ..., 0], nibabel.load(path).get_fdata())
    np.testing.assert_allclose(samples.space.affine, TURNED, atol=1e-6)


def test_the_domain_counts_millimetres_along_the_array(tmp_path):
    domain = gl.read(written(tmp_path / "a.nii", smooth())).domain
    assert domain.names == ("i", "j", "k") and {axis.unit for axis in domain.axes} == {"mm"}
    np.testing.assert_allclose([axis.start for axis in domain.axes], [-0.5, -1, -1], atol=1e-6)
    np.testing.assert_allclose(domain.lengths, [8, 14, 10], atol=1e-5)


def test_world_coordinates_are_places_of_the_field(tmp_path):
    field = spline(written(tmp_path / "a.nii", smooth()))
    index = np.array([[0, 0, 0], [3, 2, 1], [7, 6, 4]])
    places = field.samples.space.places(apply_affine(TURNED, index))
    np.testing.assert_allclose(field(places)[:, 0], smooth()[tuple(index.T)], atol=1e-5)


def test_slope_and_intercept_are_applied(tmp_path):
    image = nibabel.Nifti1Image(np.arange(280, dtype=np.int16).reshape(SHAPE), TURNED)
    image.header.set_slope_inter(0.25, -3)
    nibabel.save(image, tmp_path / "a.nii")
    read = gl.read(tmp_path / "a.nii").on_grid()[0, ..., 0]
    np.testing.assert_allclose(read, np.arange(280).reshape(SHAPE) * 0.25 - 3)


def test_what_is_nan_was_not_measured(tmp_path):
    values = smooth()
    values[2:4, 3, 1] = np.nan
    samples = gl.read(written(tmp_path / "a.nii", values))
    np.testing.assert_array_equal(samples.mask_on_grid()[0], np.isfinite(values))


def test_whole_numbers_too_large_for_single_precision_stay_exact(tmp_path):
    values = np.full(SHAPE, (1 << 24) + 1, np.int32)
    values[0] = 0
    nibabel.save(nibabel.Nifti1Image(values, TURNED), tmp_path / "a.nii")
    assert float(gl.read(tmp_path / "a.nii").values.max()) == (1 << 24) + 1


def over_time(tmp_path, count=4, kind=np.float32):
    values = np.stack([smooth() + t for t in range(count)], -1)
    image = nibabel.Nifti1Image(values.astype(kind), TURNED)
    image.header.set_xyzt_units("mm", "sec")
    image.header.set_zooms((1, 2, 2, 2.5))
    nibabel.save(image, tmp_path / "bold.nii.gz")
    return tmp_path / "bold.nii.gz", values


def test_time_is_a_fourth_axis_with_its_step_or_a_batch_of_frames(tmp_path):
    path, values = over_time(tmp_path)
    samples, frames = gl.read(path), gl.read(path, frames=True)
    assert samples.shape == (*SHAPE, 4) and samples.domain.axes[3].unit == "s"
    assert samples.domain.axes[3].length == pytest.approx(10) and samples.domain.axes[3].start == pytest.approx(-1.25)
    assert frames.shape == SHAPE and len(frames) == 4
    np.testing.assert_allclose(frames.on_grid()[..., 0], np.moveaxis(values, -1, 0))
    field = Interpolation("bspline").encode(samples)
    halfway = field({"i": 3.0, "j": 4.0, "k": 2.0, "t": 3.75})
    assert float(halfway) == pytest.approx(values[3, 2, 1, 1:3].mean(), abs=1e-4)
    for one, frame in zip(read_frames(path), frames.values, strict=True):
        assert torch.equal(one.values[0], frame)


def test_a_fifth_dimension_are_channels(tmp_path):
    values = np.stack([smooth(), -smooth()], -1)[:, :, :, None]
    nibabel.save(nibabel.Nifti1Image(values, TURNED), tmp_path / "warp.nii")
    samples = gl.read(tmp_path / "warp.nii")
    assert samples.shape == SHAPE and samples.channels == 2
    Interpolation("bspline").encode(samples).to_nifti(tmp_path / "out.nii")
    np.testing.assert_allclose(nibabel.load(tmp_path / "out.nii").get_fdata(), values, atol=1e-6)


@pytest.mark.parametrize("kind", ["RGB", "complex64"])
def test_colours_and_complex_numbers_are_refused_in_a_line(tmp_path, kind):
    dtype = np.dtype([(c, "u1") for c in "RGB"]) if kind == "RGB" else np.dtype(kind)
    nibabel.save(nibabel.Nifti1Image(np.zeros(SHAPE, dtype), TURNED), tmp_path / "a.nii")
    with pytest.raises(ValueError, match=f"holds {kind} values, expected one number per voxel; [^\n]*$"):
        gl.read(tmp_path / "a.nii")


def test_damaged_files_are_refused_in_a_line(tmp_path):
    whole = written(tmp_path / "a.nii.gz", smooth((30, 30, 30))).read_bytes()
    (tmp_path / "half.nii.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.nii").write_bytes(b"no volume at all")
    for name, reason in (("half.nii.gz", "is damaged"), ("text.nii", "cannot be read as a volume")):
        with pytest.raises(ValueError, match=f"{name} {reason}[^\n]*$"):
            gl.read(tmp_path / name)
    with pytest.raises(FileNotFoundError):
        gl.read(tmp_path / "nothing.nii")


def test_frames_are_of_volumes(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((4, 4, 1), np.float32))
    with pytest.raises(ValueError, match="no volume over time"):
        gl.read(tmp_path / "a.npy", frames=True)


# --- writing ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("affine", [TURNED, np.diag([-1.0, 1, 3, 1])], ids=["oblique", "flipped"])
@pytest.mark.parametrize("spacing", [(1, 1, 1), (2, 1, 0.7), (3, 3, 3)])
def test_the_outer_faces_stay_where_they_were(tmp_path, affine, spacing):
    spline(written(tmp_path / "a.nii", smooth(), affine)).to_nifti(tmp_path / "b.nii.gz", spacing=spacing)
    out = nibabel.load(tmp_path / "b.nii.gz")
    for old, new in ((np.full(3, -0.5), np.full(3, -0.5)), (np.array(SHAPE) - 0.5, np.array(out.shape) - 0.5)):
        np.testing.assert_allclose(apply_affine(out.affine, new), apply_affine(affine, old), atol=1e-4)
    box = np.array(SHAPE) * nibabel.affines.voxel_sizes(affine)
    np.testing.assert_allclose(out.header.get_zooms(), box / np.maximum(1, np.round(box / spacing)), rtol=1e-5)


def test_at_its_own_voxels_a_file_comes_back_in_its_own_type_and_header(tmp_path):
    values = np.round(3000 * smooth())
    path = written(tmp_path / "a.nii", values, kind=np.int16, code=4, descrip=b"a scan", cal_max=77)
    image = nibabel.load(path)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"kept"))
    nibabel.save(image, tmp_path / "commented.nii")
    spline(tmp_path / "commented.nii").to_nifti(tmp_path / "b.nii")
    out = nibabel.load(tmp_path / "b.nii")
    np.testing.assert_array_equal(out.get_fdata(), values)
    assert out.get_data_dtype() == np.int16 and out.header["descrip"] == b"a scan" and out.header["cal_max"] == 77
    assert [int(out.header[code]) for code in ("qform_code", "sform_code")] == [4, 4]
    assert out.header.get_xyzt_units() == ("mm", "sec") and out.header.extensions[0].get_content().startswith(b"kept")
    np.testing.assert_allclose(out.affine, image.affine, atol=1e-5)


def test_two_spaces_of_a_file_move_each_for_itself(tmp_path):
    image = nibabel.Nifti1Image(smooth(), TURNED)
    image.set_qform(np.diag([1.0, 2, 2, 1]), 1)
    image.set_sform(TURNED, 4)
    nibabel.save(image, tmp_path / "a.nii")
    spline(tmp_path / "a.nii").to_nifti(tmp_path / "b.nii", spacing=(1, 1, 1))
    header = nibabel.load(tmp_path / "b.nii").header
    np.testing.assert_allclose(header.get_qform()[:3, 3], [0, -0.5, -0.5], atol=1e-5)
    np.testing.assert_allclose(header.get_sform()[:3, 3], apply_affine(TURNED, [0, -0.25, -0.25]), atol=1e-5)


def test_scaled_whole_numbers_are_rounded_and_clipped_in_their_own_scale(tmp_path):
    stored = np.zeros((6, 6, 12), np.uint8)
    stored[..., 5:7] = 255  # a spline overshoots on both sides
    image = nibabel.Nifti1Image(stored, np.diag([1.0, 1, 1, 1]))
    image.header.set_slope_inter(0.5, 10)
    nibabel.save(image, tmp_path / "a.nii")
    field = spline(tmp_path / "a.nii")
    field.to_nifti(tmp_path / "b.nii", spacing=(1, 1, 0.5))
    out, exact = nibabel.load(tmp_path / "b.nii"), field.to_grid(shape=(6, 6, 24))[..., 0]
    assert out.get_data_dtype() == np.uint8 and float(exact.min()) < 10 - 1 and float(exact.max()) > 137.5 + 1
    assert (out.dataobj.slope, out.dataobj.inter) == (0.5, 10)
    np.testing.assert_allclose(out.get_fdata(), exact.clamp(10, 137.5), atol=0.25 + 1e-4)


def test_with_holes_whole_numbers_become_floats_so_that_nothing_is_made_up(tmp_path):
    path = written(tmp_path / "a.nii", np.round(30 * smooth()), kind=np.int16)
    samples = gl.read(path)
    mask = torch.ones(samples.values.shape[:2], dtype=torch.bool)
    mask.view(SHAPE)[:6] = False
    from dataclasses import replace

    Interpolation("bspline").encode(replace(samples, mask=mask)).to_nifti(tmp_path / "b.nii")
    out = nibabel.load(tmp_path / "b.nii")
    assert out.get_data_dtype() == np.float32 and np.isnan(out.get_fdata()[:3]).all()


def test_at_the_voxels_of_another_file(tmp_path):
    path = written(tmp_path / "a.nii", smooth((9, 9, 9)), np.diag([2.0, 2, 2, 1]))
    other = np.array([[0, 1.5, 0, 3.0], [-1.5, 0, 0, 14.0], [0, 0, 1.5, 2.0], [0, 0, 0, 1]])
    like = written(tmp_path / "b.nii", np.zeros((5, 6, 9)), other, code=2)
    field = spline(path)
    field.to_nifti(tmp_path / "c.nii", like=like)
    out = nibabel.load(tmp_path / "c.nii")
    np.testing.assert_allclose(out.affine, other, atol=1e-6)
    assert out.shape == (5, 6, 9) and int(out.header["sform_code"]) == 2
    world = apply_affine(other, np.indices(out.shape).reshape(3, -1).T)
    inside = ((world >= -1) & (world <= 17)).all(1)
    expected = np.full(len(world), np.nan, np.float32)
    expected[inside] = field(field.samples.space.places(world[inside]))[:, 0]
    assert inside.sum() > 0
    np.testing.assert_allclose(out.get_fdata().ravel(), expected, atol=1e-5)


def test_volumes_over_time_keep_their_step(tmp_path):
    path, values = over_time(tmp_path)
    for field in (spline(path), spline(path, frames=True)):
        field.to_nifti(tmp_path / "b.nii.gz", spacing=(1, 1, 1))
        out = nibabel.load(tmp_path / "b.nii.gz")
        assert out.shape == (8, 14, 10, 4) and out.header.get_zooms()[3] == 2.5
    write_nifti((Interpolation("bspline").encode(one) for one in read_frames(path)), tmp_path / "c.nii")
    np.testing.assert_allclose(nibabel.load(tmp_path / "c.nii").get_fdata(), values, atol=1e-6)


def test_the_spread_goes_to_a_second_file(tmp_path):
    field = gl.bases.Kriging().encode(gl.read(written(tmp_path / "a.nii", smooth((4, 4, 3)))))
    field.to_nifti(tmp_path / "b.nii", spacing=(1, 1, 1), spread=tmp_path / "std.nii")
    mean, std = (nibabel.load(tmp_path / name) for name in ("b.nii", "std.nii"))
    assert mean.shape == std.shape == (4, 8, 6) and std.get_fdata().min() >= 0
    points = gl.grid(4, 8, 6)
    np.testing.assert_allclose(
        std.get_fdata().ravel(), field.std(points, gl.cells(4, 8, 6))[:, 0], rtol=1e-3, atol=1e-6
    )
    with pytest.raises(ValueError, match="no spread"):
        spline(tmp_path / "a.nii").to_nifti(tmp_path / "c.nii", spread=tmp_path / "d.nii")


def test_what_cannot_be_written_is_refused(tmp_path):
    field = spline(written(tmp_path / "a.nii", smooth()))
    for wrong, message in (
        ({"spacing": (1, 1)}, "three positive numbers"),
        ({"spacing": (1, 1, 0)}, "three positive numbers"),
        ({"spacing": (1, 1, 1), "like": tmp_path / "a.nii"}, "leave one out"),
    ):
        with pytest.raises(ValueError, match=message):
            field.to_nifti(tmp_path / "b.nii", **wrong)
    with pytest.raises(ValueError, match=r"ends in \.nii"):
        field.to_nifti(tmp_path / "b.png")
    with pytest.raises(ValueError, match="no volume's file"):
        Interpolation("bspline").encode(gl.Samples.from_grid(np.ones((4, 4, 4, 1)), axes=3)).to_nifti(
            tmp_path / "b.nii"
        )
    assert sorted(os.listdir(tmp_path)) == ["a.nii"]


def test_a_field_of_a_volume_can_be_sent_to_a_worker_and_written_there(tmp_path):
    field = pickle.loads(pickle.dumps(spline(written(tmp_path / "a.nii", smooth()))))
    field.to("cpu").to_nifti(tmp_path / "b.nii")
    np.testing.assert_array_equal(nibabel.load(tmp_path / "b.nii").get_fdata(), smooth())


# --- from the command line --------------------------------------------------------------------------------------


def test_what_the_words_of_a_command_are_about(tmp_path):
    (tmp_path / "scans").mkdir()
    written(tmp_path / "scans" / "a.nii.gz", smooth())
    scans = str(tmp_path / "scans")
    for kind, words in (
        ("volumes", ["a.nii.gz", "-o", "b.nii"]),
        ("volumes", ["A.NII", "b.mgz", "-o", "out"]),
        ("volumes", [scans, "-o", "out"]),
        ("pictures", ["cat.jpg", "-o", scans]),
        ("pictures", [str(tmp_path), "cat.png", "-o", "out"]),
        ("pictures", ["photos", "-o", scans]),
        ("readings", ["a.csv", "--like", "b.nc", "-o", "c.nc"]),
    ):
        assert kind_of_inputs(words) == kind


def test_a_volume_from_the_command_line(tmp_path, capsys):
    path = written(tmp_path / "a.nii.gz", smooth())
    main(["predict", "bspline", str(path), "--spacing", "1", "1", "1", "-o", str(tmp_path / "b.nii.gz")])
    assert capsys.readouterr().out.strip() == f"{tmp_path / 'b.nii.gz'}: 8 × 14 × 10 voxels of 1 × 1 × 1"
    spline(path).to_nifti(tmp_path / "c.nii", spacing=(1, 1, 1))
    ours, theirs = (nibabel.load(tmp_path / name).get_fdata() for name in ("b.nii.gz", "c.nii"))
    np.testing.assert_array_equal(ours, theirs)
    main(["predict", "bspline", str(path), "-o", str(tmp_path / "d.nii.gz")])  # all axes at the finest
    assert nibabel.load(tmp_path / "d.nii.gz").shape == (8, 14, 10)


def test_folders_keep_their_names_and_one_failure_stops_no_other(tmp_path, capsys):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    written(tmp_path / "in" / "deep" / "a.nii", smooth())
    over_time(tmp_path / "in")
    (tmp_path / "in" / "broken.nii").write_bytes(b"?")
    with pytest.raises(SystemExit):
        main(["predict", "bspline", str(tmp_path / "in"), "--spacing", "2", "-o", str(tmp_path / "out")])
    assert "broken.nii" in capsys.readouterr().err
    made = sorted(str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.gz"))
    assert made == ["bold.nii.gz", str(Path("deep", "a.nii.gz"))]
    assert nibabel.load(tmp_path / "out" / "bold.nii.gz").shape == (4, 7, 5, 4)


def test_errors_are_one_line(tmp_path, capsys):
    path = written(tmp_path / "a.nii", smooth())
    out = tmp_path / "b.nii"
    assert "its voxels" not in line_of(capsys, "predict", "photo", path, "-o", out)
    assert "No such file" in line_of(capsys, "predict", "bspline", tmp_path / "none.nii", "-o", out)
    assert "one number or three" in line_of(capsys, "predict", "bspline", path, "--spacing", 1, 2, "-o", out)
    assert "is the input itself" in line_of(capsys, "predict", "bspline", path, "-o", path)
    assert "no place for the answer" in line_of(capsys, "predict", "bspline", path, "-o", tmp_path / "b.png")
    assert "leave one out" in line_of(capsys, "predict", "bspline", path, "--spacing", 1, "--like", path, "-o", out)
    assert not out.exists()
