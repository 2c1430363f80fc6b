"""What the page of `gridless demo` shows, as functions of arrays and files; no browser, no gradio."""

import threading

import numpy as np
import pytest
import torch
from PIL import Image

import gridless as gl
from gridless.data.pictures import as_image, quantise
from gridless.demo import limits
from gridless.demo.limits import check_bytes, check_enlarged
from gridless.demo.models import shipped
from gridless.demo.shelf import Shelf

pytest.importorskip("matplotlib")
pytest.importorskip("pandas")
pytest.importorskip("xarray")

from gridless.demo import insides, maps, photos, readings, templates

COLUMNS = "station,Lat,LON,elevation,tmax\n"


def saved(folder, pixels, name="picture.png"):
    as_image(pixels).save(folder / name)
    return folder / name


@pytest.fixture(scope="module")
def noisy():
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (10, 16, 3), np.uint8))
    return np.asarray(coarse.resize((160, 100), Image.Resampling.BICUBIC))


# ------------------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("size", [(1, 1), (3, 700), (480, 640), (4000, 3000)])
@pytest.mark.parametrize("magnification", [1, 1.7, 3.7, 8, 64])
@pytest.mark.parametrize("place", [(0, 0), (0.5, 0.5), (1, 0.3)])
def test_a_view_shows_what_is_around_a_place(size, magnification, place):
    view = photos.view_of(size, place, magnification)
    for axis in (0, 1):
        (low, high), part, (begin, end) = view.window[axis], view.part[axis], view.seen[axis]
        each, shown = view.shape[axis] / (high - low), part.stop - part.start
        assert 0 <= low < high <= size[axis] and 0 <= part.start < part.stop <= view.shape[axis]
        assert shown <= photos.VIEW[axis] and abs(shown - min(size[axis] * each, photos.VIEW[axis])) <= 1
        assert abs(each - magnification) <= 0.5 / (high - low)
        assert begin - 1 / size[axis] <= place[axis] <= end + 1 / size[axis]
        room = min(photos.REACH, begin * size[axis]), min(photos.REACH, (1 - end) * size[axis])
        assert begin * size[axis] - low >= room[0] - 1e-6 and high - end * size[axis] >= room[1] - 1e-6


def test_the_window_does_not_move_within_an_octave():
    views = [photos.view_of((4000, 3000), (0.41, 0.63), m) for m in (4, 4.1, 5.5, 7.9)]
    assert len({view.window for view in views}) == 1


def test_a_window_answers_as_the_whole_picture_does(noisy, tmp_path):
    picture = photos.read_picture(saved(tmp_path, noisy))
    before, after, view = photos.before_after(picture, (0.1, 0.1), 16)
    assert view.window != ((0, 100), (0, 160))
    rows, columns = ((16 * view.window[a][0] + view.part[a].start, view.part[a]) for a in (0, 1))
    part = tuple(slice(first, first + p.stop - p.start) for first, p in (rows, columns))
    samples = gl.Samples.from_grid(torch.from_numpy(noisy.astype(np.float32) / 255))
    with torch.no_grad():
        whole = shipped("photo").encode(samples).to_image(scale=16, part=part)
    base = gl.bases.Interpolation("bicubic").encode(samples).to_image(scale=16, part=part)
    assert np.abs(quantise(base).astype(int) - before).max() <= 1
    assert np.abs(quantise(whole).astype(int) - after).max() <= 2
    assert np.abs(after.astype(int) - before).mean() > 0.05


def test_grey_stays_grey_and_what_is_transparent_is_shown_on_white(noisy, tmp_path):
    grey = photos.read_picture(saved(tmp_path, noisy[..., :1], "grey.png"))
    for picture in photos.before_after(grey, (0.5, 0.5), 8)[:2]:
        assert (picture[..., :1] == picture).all()
    veiled = np.concatenate([noisy, np.zeros_like(noisy[..., :1])], -1)
    assert (photos.read_picture(saved(tmp_path, veiled, "veiled.png")).values == 1).all()


def test_an_overview_has_a_frame_where_the_view_is(noisy, tmp_path):
    picture = photos.read_picture(saved(tmp_path, noisy))
    view = photos.view_of(picture.size, (0.5, 0.5), 8)
    changed = (photos.overview(picture, view) != noisy).any(-1)
    rows, columns = changed.any(1).nonzero()[0], changed.any(0).nonzero()[0]
    for found, (begin, end), n in ((rows, view.seen[0], 100), (columns, view.seen[1], 160)):
        assert abs(found[0] - begin * n) <= 3 and abs(found[-1] - end * n) <= 3


def test_the_file_is_what_the_command_writes(noisy, tmp_path):
    from gridless.runs.predict import predict_file
    from gridless.runs.predict_options import PredictOptions

    path, shares = saved(tmp_path, noisy[:40, :50]), []
    (tmp_path / "out").mkdir()
    target = photos.enlarge(photos.read_picture(path), 2.3, tmp_path / "out", shares.append)
    predict_file(shipped("photo"), path, tmp_path / "command.png", PredictOptions(scale=2.3))
    assert target.name == "picture-x2.3.png" and target.read_bytes() == (tmp_path / "command.png").read_bytes()
    assert shares[-1] == pytest.approx(1)


def test_pictures_that_are_none_or_too_large_are_refused(noisy, tmp_path, monkeypatch):
    (tmp_path / "text.png").write_text("no picture", encoding="utf-8")
    with pytest.raises(ValueError, match="is not an image"):
        photos.read_picture(tmp_path / "text.png")
    with pytest.raises(ValueError, match="drop it again"):
        photos.read_picture(tmp_path / "gone.png")
    picture = photos.read_picture(saved(tmp_path, noisy))
    with pytest.raises(ValueError, match="magnification 65"):
        photos.view_of(picture.size, (0.5, 0.5), 65)
    with pytest.raises(ValueError, match="outside of the picture"):
        photos.view_of(picture.size, (0.5, 1.5), 2)
    with pytest.raises(ValueError, match="factor 9, expected 1 … 8"):
        photos.enlarge(picture, 9, tmp_path)
    with pytest.raises(
        ValueError, match="2,000,000 pixels, this page enlarges .*`gridless predict photo a.jpg --scale 2"
    ):
        check_enlarged("a.jpg", (1000, 2000), (2000, 4000), 2)
    with pytest.raises(ValueError, match="choose a smaller factor"):
        check_enlarged("a.jpg", (1000, 1000), (8000, 8000), 8)
    with pytest.raises(ValueError, match="picture.png has .* MB, this page takes up to 1e-05"):
        check_bytes(picture.path, 10)
    monkeypatch.setattr(photos, "PICTURE_PIXELS", 100)
    with pytest.raises(ValueError, match="the limit is 100"):
        photos.read_picture(saved(tmp_path, noisy, "large.png"))


# ------------------------------------------------------------------------------------------------------------- readings


def test_readings_are_put_moved_and_taken_away():
    three = readings.empty().added(0.2, 0.3, 1.0).added(0.8, 0.4, 2.0).added(0.5, 0.9, 4.0)
    assert maps.answer(readings.empty()) is None and "3 more" in readings.empty().wanting()
    answer = maps.answer(three)
    assert answer.mean.shape == answer.spread.shape == readings.map_shape(three.domain)
    assert (answer.spread > 0).all() and 0 < answer.mean.min() < answer.mean.max() < 5
    moved = maps.answer(three.revalued(2, 8.0))
    assert moved.mean.max() > answer.mean.max()
    assert three.near(0.21, 0.31) == 0 and three.near(0.5, 0.5) is None
    assert len(three.without(0)) == 2 and "all readings are equal" in three.revalued(0, 4).revalued(1, 4).wanting()
    with pytest.raises(ValueError, match="y must lie within"):
        three.added(1.5, 0.5, 1)
    with pytest.raises(ValueError, match="401 readings, this page takes up to 400"):
        three.with_rows(np.full((401, 3), 0.5))


def test_a_table_is_guessed_and_read(tmp_path):
    path = tmp_path / "stations.csv"
    path.write_text(COLUMNS + "a,40,5,100,11\nb,45,9,200,14\n=1+2,50,15,300,\nd,48,7,50,9\n", encoding="utf-8")
    names, guess = readings.columns_of(path)
    assert names == ["Lat", "LON", "elevation", "tmax"] and guess == ("Lat", "LON", "tmax")
    given, without = readings.read_readings(path, *guess)
    assert without == 1 and given.rows == pytest.approx(np.array([[40, 5, 11], [45, 9, 14], [48, 7, 9]]))
    assert given.quantity.name == "tmax" and given.domain.sphere == (0, 1)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a,b\n1,2\n", "has 2 columns of numbers"),
        ("lat,lon,v\n=1+1,=A1,=cmd\n", "has 0 columns of numbers .none."),
        ("lat,lon,v\n1,2,inf\n2,3,4\n", "infinite"),
        ("lat,lon,v\n1,,3\n2,3,4\n", "no coordinate"),
        ("lat,lon,v\n" + "1,2,3\n" * 401, "401 readings, this page takes up to 400"),
        ("x" * 2_000_001, "2.0 MB, this page takes up to 2"),
        (",".join(f"c{i}" for i in range(201)) + "\n", "201 columns"),
        ("", "cannot be read as a table"),
    ],
)
def test_tables_that_hold_no_readings_are_refused_in_one_line(tmp_path, text, why):
    path = tmp_path / "hostile.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=why) as refused:
        names, guess = readings.columns_of(path)
        readings.read_readings(path, *guess)
    assert "\n" not in str(refused.value)


def test_what_is_typed_becomes_numbers():
    rows, unfinished = readings.typed([[1, "2.5", 3.0], ["", None, " "], [4, "", 5], [float("nan"), None, ""]])
    assert rows.tolist() == [[1, 2.5, 3]] and unfinished == 1
    with pytest.raises(ValueError, match="row 2: expected three numbers, got '1', '=1.1', '2'"):
        readings.typed([[1, 2, 3], [1, "=1+1", 2]])
    with pytest.raises(ValueError, match="row 1: inf is no reading"):
        readings.typed([[1, 2, "inf"]])


def test_a_click_on_a_map_is_a_place_of_it():
    given = readings.invented()
    frame = maps.frame_of(given)
    up, across = frame.place(frame.left + 0.25 * (frame.right - frame.left), frame.top)
    assert (up, across) == pytest.approx((1, 0.25)) and frame.place(2, 2) is None
    y, x = given.rows[3, :2] / [60, 100]
    column = round(frame.left + x * (frame.right - frame.left))
    row = round(frame.bottom - y * (frame.bottom - frame.top))
    ringed = maps.draw(given, None, "spread", 3)
    changed = (ringed != maps.draw(given, None, "spread")).any(-1)
    found = np.argwhere(changed)
    assert np.abs(found.mean(0) - [row, column]).max() < 2


def test_maps_say_what_names_a_visitor_has_given():
    domain = gl.Domain.around({"$\\frac": np.array([0.0, 1.0]), "x" * 300: np.array([0.0, 1.0])})
    given = readings.Readings(np.array([[0, 0, 1.0], [1, 1, 2], [0.5, 0, 3]]), readings._named(domain, "a$b$", "%"))
    assert maps.draw(given, maps.answer(given)).std() > 0


def netcdf(folder, name="grid.nc", sizes=(6, 8), **variables):
    import xarray as xr

    coords = {"lat": np.linspace(40, 50, sizes[0]), "lon": np.linspace(0, 20, sizes[1])}
    dataset = xr.Dataset({k: (("lat", "lon"), v) for k, v in variables.items()}, coords=coords)
    dataset.lat.attrs["units"], dataset.lon.attrs["units"] = "degrees_north", "degrees_east"
    dataset.to_netcdf(folder / name, engine="h5netcdf")
    return folder / name


def test_an_answer_lies_on_the_template(tmp_path):
    import xarray as xr

    template = templates.read_template(netcdf(tmp_path, tmax=np.zeros((6, 8))))
    assert (template.y, template.x, template.quantity) == ("lat", "lon", "tmax")
    empty = readings.empty(template)
    assert empty.domain.sphere == (0, 1) and empty.quantity.name == "tmax"
    given = empty.with_rows(np.array([[41, 2, 5.0], [45, 10, 7], [49, 18, 6]]))
    path = templates.write_answer(given.field(), template.grid, tmp_path / "answer.nc")
    with xr.open_dataset(path, engine="h5netcdf") as answer:
        assert answer.tmax.dims == ("lat", "lon") and (answer.tmax_standard_error > 0).all()
        assert (answer.lat == template.grid.lat).all()
    grid = templates.regular(given.domain, (5, 7))
    with xr.open_dataset(templates.write_answer(given.field(), grid, path), engine="h5netcdf") as answer:
        assert answer.tmax.shape == (5, 7) and np.isfinite(answer.tmax).all()


def test_templates_that_are_none_or_too_large_are_refused(tmp_path, monkeypatch):
    import h5py

    (tmp_path / "text.nc").write_text("no dataset", encoding="utf-8")
    for name, why in (("text.nc", "text.nc"), ("other.csv", "is no NetCDF")):
        (tmp_path / name).touch()
        with pytest.raises(ValueError, match=why):
            templates.read_template(tmp_path / name)
    with h5py.File(tmp_path / "bomb.nc", "w") as file:
        file.create_dataset("lat", (10**12,), "f8", chunks=(10**6,), compression="gzip")
    with pytest.raises(ValueError, match="announces .* values"):
        templates.read_template(tmp_path / "bomb.nc")
    with h5py.File(tmp_path / "flat.nc", "w") as file:
        file["v"] = np.zeros(3)
    with pytest.raises(ValueError, match="no two axes of places"):
        templates.read_template(tmp_path / "flat.nc")
    monkeypatch.setattr(templates, "TEMPLATE_CELLS", 40)
    with pytest.raises(ValueError, match="6 × 8 places, this page answers up to 40"):
        templates.read_template(netcdf(tmp_path))


# -------------------------------------------------------------------------------------------------------------- insides


def test_a_derivative_is_that_of_the_answer():
    given = readings.invented()
    places = dict(zip(given.domain.names, given.rows.T[:2], strict=True))
    at = torch.tensor([[0.4, 0.6]], dtype=torch.float64)

    def answer(values):
        samples = gl.Samples.from_points(places, torch.from_numpy(values), domain=given.domain)
        with torch.no_grad():
            return float(shipped("sensors").encode(samples)(at))

    samples = gl.Samples.from_points(places, torch.from_numpy(given.rows[:, 2:].copy()), domain=given.domain)
    by = insides.derivative(shipped("sensors"), samples, at)
    most, step = int(by.argmax()), np.zeros((24, 1))
    step[most] = 1e-3
    values = given.rows[:, 2:]
    assert by[most] == pytest.approx(abs(answer(values + step) - answer(values - step)) / 2e-3, rel=0.02)


@pytest.mark.parametrize("name", ["cifar10-mamba-ginr", "photo", "sensors", "volume"])
def test_every_view_of_every_model_says_something(name, noisy, monkeypatch):
    monkeypatch.setitem(insides.SIDE, "photo", 24)
    monkeypatch.setattr(insides, "WHOLE", 48)
    picture = np.ascontiguousarray(noisy[:, :100])
    assert insides.canvas(name, picture).dtype == np.uint8
    drawn = {view: insides.look(name, view, picture, (0.3, 0.6)) for view in insides.VIEWS}
    assert all(inside.text for inside in drawn.values()) and drawn["reads"].picture.startswith(b"\x89PNG")
    assert (drawn["tokens"].picture is not None) == (name == "cifar10-mamba-ginr")
    assert (drawn["spectra"].picture is not None) == (name in insides.SIDE)


def test_a_place_of_a_picture_reads_near_samples():
    rng = np.random.default_rng(0)
    samples = gl.Samples.from_grid(torch.from_numpy(rng.random((24, 24, 3), np.float32)))
    by = insides.derivative(shipped("photo"), samples, torch.tensor([[0.25, 0.75]])).reshape(24, 24)
    row, column = np.unravel_index(by.argmax(), by.shape)
    assert abs(row - 5.5) <= 1 and abs(column - 17.5) <= 1


# ---------------------------------------------------------------------------------------------------------------- shelf


def test_a_shelf_is_bounded_by_count_and_bytes():
    shelf, made = Shelf(3, 100), []

    def get(key, size):
        return shelf.get(key, lambda: made.append(key) or key, lambda value: size)

    for key in "abca":
        assert get(key, 30) == key
    assert made == ["a", "b", "c"]
    get("d", 30)
    assert shelf.keys() == ["c", "a", "d"] and shelf.nbytes == 90
    get("e", 95)
    assert shelf.keys() == ["e"] and shelf.nbytes == 95
    get("f", 1000)
    assert shelf.keys() == ["f"] and shelf.nbytes == 1000


def test_threads_share_a_shelf():
    shelf = Shelf(4, 1000)
    threads = [
        threading.Thread(target=lambda n=n: [shelf.get((n + i) % 7, lambda: 1, lambda v: 10) for i in range(300)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(shelf) == 4 and shelf.nbytes == 40


def test_a_model_is_loaded_once():
    assert shipped("photo") is shipped("photo")
    assert not any(weight.requires_grad for weight in shipped("photo").parameters())
    with pytest.raises(ValueError, match="no model 'other' ships"):
        shipped("other")


def test_limits_are_those_of_the_documentation():
    from pathlib import Path

    text = Path(__file__).parents[1].joinpath("docs", "demo.md").read_text(encoding="utf-8")
    for number in (
        f"{limits.UPLOAD_BYTES / 1e6:g} MB",
        f"{limits.PICTURE_PIXELS / 1e6:g} megapixels",
        f"{limits.FILE_PIXELS / 1e6:g} megapixels",
        f"{limits.ENLARGED_PIXELS / 1e6:g} megapixels",
        f"{limits.READINGS} readings",
        f"{limits.TEMPLATE_CELLS:,} places",
    ):
        assert number in text, number
