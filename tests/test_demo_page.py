"""The page of `gridless demo` in a headless Chromium: what visitors do, what they may not, and what leaves the machine."""

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gridless.data.pictures import as_image

CHROMIUM = shutil.which("chromium")
pytest.importorskip("gradio", reason="the page needs gradio: pip install 'gridless[demo]'")
playwright = pytest.importorskip("playwright.sync_api", reason="the page's tests need playwright")
if CHROMIUM is None:
    pytest.skip("the page's tests need chromium on the path", allow_module_level=True)
pytestmark = pytest.mark.slow
TABS = (
    ("Photo", "#photo-shown", "pixels"),
    ("Sensors", "#sensors-status", "readings"),
    ("Inside", "#inside-text", "reads"),
)
PATIENCE = 180_000  # milliseconds, on a busy machine


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Where the page is, and the folder that holds its temporary ones."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("demo")
    environment = {**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "GRADIO_SHARE": "True"}
    command = [sys.executable, "-m", "gridless", "demo", "--port", str(port)]
    with open(folder / "log.txt", "w", encoding="utf-8") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(900):
            said = (folder / "log.txt").read_text(encoding="utf-8")
            if "Ctrl-C" in said or process.poll() is not None:
                break
            time.sleep(0.1)
        assert f"gridless: http://127.0.0.1:{port}" in said, said
        yield f"http://127.0.0.1:{port}/", folder
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(300)
    assert process.returncode == 0
    said = (folder / "log.txt").read_text(encoding="utf-8")
    assert "Traceback" not in said and "public" not in said and len(said.splitlines()) == 1, said
    left = {path.name for path in folder.iterdir()}
    assert left - {"log.txt"} <= {name for name in left if name.startswith("torchinductor")}, left


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


class Visitor:
    """One who looks at the page; `away` collects requests that leave this machine."""

    def __init__(self, browser, url: str, width: int = 1400, height: int = 900):
        self.context = browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True)
        self.page, self.away, self.complaints = self.context.new_page(), [], []
        self.page.set_default_timeout(PATIENCE)
        here = (url, "data:", "blob:")
        self.page.on("request", lambda asked: None if asked.url.startswith(here) else self.away.append(asked.url))
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.goto(url)
        self.wait("#photo-shown", "pixels")

    def wait(self, selector: str, text: str) -> str:
        """Until the part says this; all that it says."""
        self.page.wait_for_function(
            "([s, t]) => document.querySelector(s)?.innerText.includes(t)", arg=[selector, text]
        )
        return self.page.locator(selector).inner_text()

    def give(self, selector: str, path: Path) -> None:
        self.page.locator(f"{selector} input[type=file]").set_input_files(str(path))

    def drag(self, selector: str, value: float) -> None:
        self.page.locator(f"{selector} input[type=range]").fill(str(value))

    def click(self, selector: str, across: float, down: float) -> None:
        picture = self.page.locator(f"{selector} img")
        picture.scroll_into_view_if_needed()
        box = picture.bounding_box()
        picture.click(position={"x": across * box["width"], "y": down * box["height"]})

    def tab(self, name: str, selector: str, text: str) -> None:
        self.page.get_by_role("tab", name=name).click()
        self.wait(selector, text)

    def refused(self, text: str) -> str:
        """The line that says why, which is closed again."""
        line = self.page.get_by_test_id("toast-text").filter(has_text=text).first
        line.wait_for()
        said = line.inner_text()
        self.page.get_by_test_id("toast-close").first.click()
        return said


@pytest.fixture
def visitor(server, browser):
    visitor = Visitor(browser, server[0])
    yield visitor
    assert visitor.away == [] and visitor.complaints == []
    visitor.context.close()


def saved(folder: Path, name: str, height: int = 32, width: int = 48) -> Path:
    y, x = np.mgrid[:height, :width]
    pixels = np.stack([5 * x % 256, 8 * y % 256, 3 * (x + y) % 256], -1).astype(np.uint8)
    as_image(pixels).save(folder / name)
    return folder / name


def test_a_picture_is_dropped_looked_at_and_taken(visitor, tmp_path):
    path, page = saved(tmp_path, "steps.png"), visitor.page
    data = list(path.read_bytes())
    transfer = page.evaluate_handle(
        "data => { const all = new DataTransfer(); all.items.add(new File([new Uint8Array(data)], 'steps.png',"
        " { type: 'image/png' })); return all; }",
        data,
    )
    page.locator("#photo-file button").dispatch_event("drop", {"dataTransfer": transfer})
    visitor.wait("#photo-shown", "48 × 32 pixels")
    visitor.drag("#photo-factor", 2.5)
    assert "48 × 32 of them, asked at 120 × 80 places" in visitor.wait("#photo-shown", "The file at ×2.5 has 120 × 80")
    visitor.drag("#photo-closer", 8)
    visitor.wait("#photo-shown", "Shown ×20: 32 × 22 of them, asked at 640 × 448")
    visitor.click("#photo-whole", 0.9, 0.9)
    page.wait_for_function("document.querySelector('#photo-across input[type=number]').value > 85")
    with page.expect_download() as taken:
        page.locator("#photo-make").click()
    assert taken.value.suggested_filename == "steps-x2.5.png"
    with Image.open(taken.value.path()) as answer:
        assert answer.size == (120, 80)
    assert page.locator("#photo-pair img").count() == 2


def test_readings_are_clicked_changed_read_and_answered(visitor, tmp_path):
    xarray = pytest.importorskip("xarray")
    page = visitor.page
    visitor.tab("Sensors", "#sensors-status", "24 readings")
    visitor.click("#sensors-mean", 0.5, 0.4)
    visitor.wait("#sensors-status", "25 readings")
    before = visitor.wait("#sensors-status", "Mean")
    visitor.drag("#sensors-value", float(page.locator("#sensors-value input[type=range]").get_attribute("max")))
    page.wait_for_function("t => document.querySelector('#sensors-status').innerText != t", arg=before)
    page.locator("#sensors-remove").click()
    visitor.wait("#sensors-status", "24 readings")
    page.locator("#sensors-empty").click()
    visitor.wait("#sensors-status", "0 of at least 3 readings")
    page.locator("#sensors-make").click()
    assert "click on the map" in visitor.refused("readings")
    template = xarray.Dataset(coords={"lat": np.linspace(40, 50, 11), "lon": np.linspace(0, 20, 21)})
    template.lat.attrs["units"], template.lon.attrs["units"] = "degrees_north", "degrees_east"
    template.to_netcdf(tmp_path / "grid.nc", engine="h5netcdf")
    table = tmp_path / "stations.csv"
    table.write_text("name,tmax,lon,lat\n=1+1,11,3,41\n@b,14,9,44\nc,9,15,48\nd,,1,49\ne,12,18,42\n", encoding="utf-8")
    visitor.give("#sensors-csv", table)
    visitor.wait("#sensors-status", "4 readings")
    visitor.wait("#sensors-status", "1 row has no tmax, left out")
    visitor.give("#sensors-template", tmp_path / "grid.nc")
    visitor.wait("#sensors-status", "grid.nc")
    with page.expect_download() as taken:
        page.locator("#sensors-make").click()
    with xarray.open_dataset(taken.value.path(), engine="h5netcdf") as answer:
        assert answer.tmax.shape == answer.tmax_standard_error.shape == (11, 21)
        assert np.isfinite(answer.tmax).all() and (answer.tmax_standard_error > 0).all()


def test_a_table_is_edited(visitor):
    page = visitor.page
    visitor.tab("Sensors", "#sensors-status", "24 readings")
    before = visitor.wait("#sensors-status", "Mean")
    cell = page.locator("#sensors-table [data-row='0'][data-col='2']").first
    cell.dblclick()
    page.keyboard.press("Control+A")
    page.keyboard.type("40")
    page.keyboard.press("Enter")
    page.wait_for_function("t => document.querySelector('#sensors-status').innerText != t", arg=before)
    visitor.wait("#sensors-status", "… 4")


def test_the_inside_is_looked_at(visitor):
    page = visitor.page
    visitor.tab("Inside", "#inside-text", "latents")
    before = visitor.wait("#inside-text", "This place reads")
    visitor.click("#inside-canvas", 0.2, 0.3)
    page.wait_for_function("t => document.querySelector('#inside-text').innerText != t", arg=before)
    page.get_by_role("radio", name="Position tokens").check()
    visitor.wait("#inside-text", "Training moved a token")
    page.get_by_role("radio", name="sensors", exact=True).check()
    visitor.wait("#inside-text", "no learnable position tokens")
    page.get_by_role("radio", name="What one place reads").check()
    visitor.wait("#inside-text", "each reading")


def bomb(path: Path) -> Path:
    """A PNG of a few bytes that announces ten thousand million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    )
    return path


def test_hostile_files_are_refused_in_one_line(visitor, server, tmp_path):
    folder, lines = server[1], []
    text = tmp_path / "<img src=x onerror=alert(1)>.png"
    text.write_text("this is no picture", encoding="utf-8")
    visitor.give("#photo-file", text)
    lines.append(visitor.refused("is not an image"))
    visitor.give("#photo-file", bomb(tmp_path / "bomb.png"))
    lines.append(visitor.refused("pixels"))
    visitor.tab("Sensors", "#sensors-status", "24 readings")
    for name, content, why in (
        ("formulas.csv", "lat,lon,v\n=1+1,=HYPERLINK(0),=cmd\n=2,=3,=4\n", "columns of numbers"),
        ("nothing.csv", "lat,lon,v\n1,2,inf\n3,4,\n5,6,7\n", "infinite"),
        ("many.csv", "lat,lon,v\n" + "1.5,2.5,3\n" * 3000, "up to 400"),
        ("binary.csv", "\x00\x01\x02", "columns of numbers"),
    ):
        (tmp_path / name).write_text(content, encoding="utf-8")
        visitor.give("#sensors-csv", tmp_path / name)
        lines.append(visitor.refused(why))
    (tmp_path / "no.nc").write_text("not a dataset", encoding="utf-8")
    visitor.give("#sensors-template", tmp_path / "no.nc")
    lines.append(visitor.refused("no.nc"))
    assert not [
        line for line in lines if "\n" in line or "Traceback" in line or str(folder) in line or "/tmp" in line
    ], lines
    assert visitor.page.locator("img[src=x]").count() == 0
    visitor.wait("#sensors-status", "24 readings")


def test_two_visitors_see_their_own(server, browser, tmp_path):
    both = [Visitor(browser, server[0]) for _ in range(2)]
    for visitor, size in zip(both, (40, 56), strict=True):
        visitor.give("#photo-file", saved(tmp_path, f"of-{size}.png", size, size))
    for visitor, factor in zip(both, (2, 3), strict=True):
        visitor.drag("#photo-factor", factor)
    for visitor, size, factor in zip(both, (40, 56), (2, 3), strict=True):
        visitor.wait("#photo-shown", f"{size} × {size} pixels")
        visitor.wait("#photo-shown", f"has {factor * size} × {factor * size}.")
        visitor.context.close()


@pytest.mark.parametrize("width", [390, 1400])
def test_every_tab_fits_and_every_control_has_a_name(server, browser, width):
    visitor = Visitor(browser, server[0], width)
    nameless = """() => [...document.querySelectorAll("input, button, select, textarea, [role=slider]")].filter(
        (part) => part.checkVisibility() && !(part.getAttribute("aria-label") || part.title || part.innerText.trim() ||
            part.querySelector("img[alt]:not([alt=''])") ||
            [...(part.labels ?? [])].some((label) => label.innerText.trim()))).map((part) => part.outerHTML)"""
    for name, selector, text in TABS:
        visitor.tab(name, selector, text)
        assert visitor.page.evaluate("document.documentElement.scrollWidth") <= width
        assert visitor.page.evaluate(nameless) == []
        assert visitor.page.evaluate("[...document.images].filter((i) => i.checkVisibility() && !i.alt).length") == 0
    assert visitor.away == []
    visitor.context.close()


def test_an_answer_to_an_older_question_is_never_shown_last(visitor, tmp_path):
    """A small picture is dropped while a new view of a large one is being made, and the factor dragged meanwhile."""
    for turn in range(2):
        visitor.give("#photo-file", saved(tmp_path, f"large{turn}.png", 900, 1300 + turn))
        visitor.wait("#photo-shown", f"{1300 + turn:,} × 900 pixels")
        visitor.drag("#photo-down", 20 + 30 * turn)
        visitor.give("#photo-file", saved(tmp_path, f"small{turn}.png", 40, 40 + turn))
        visitor.drag("#photo-factor", 2 + turn)
        last = f"The file at ×{2 + turn} has {(2 + turn) * (40 + turn)} × {(2 + turn) * 40}."
        visitor.wait("#photo-shown", last)
        visitor.page.wait_for_timeout(1500)
        assert last in visitor.page.locator("#photo-shown").inner_text()


def test_every_one_of_quick_clicks_counts(visitor):
    visitor.tab("Sensors", "#sensors-status", "24 readings")
    for across in (0.35, 0.5, 0.65):
        visitor.click("#sensors-mean", across, 0.4)
    visitor.wait("#sensors-status", "27 readings")
