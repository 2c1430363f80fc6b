"""A picture larger than memory would like, written tile by tile.

    python benchmarks/large.py [--side 16384 --json FILE]

A tiled TIFF of side² from a photo of side / 64 per axis, by the writer of `gridless predict` and the bicubic base: what
is measured is the way of the tiles, not a network. A child process does it; reported are its time, how long it worked
(others may share the machine), its peak resident size beside that before, and what the picture alone would take.
"""

import common  # first: it sets how OpenMP waits before torch is imported

# isort: split

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import tifffile
import torch

import gridless as gl
from gridless.data.pictures import resize_bicubic
from gridless.data.tiles import write_tiles


def child(side: int, folder: Path) -> None:
    photo = gl.data.photos("test")[0].pixels[:256, :256]
    small = resize_bicubic(photo, (side // 64, side // 64))
    field = gl.bases.Interpolation("bicubic").encode(gl.Samples.from_grid(torch.from_numpy(small / np.float32(255))))

    def write(name: str, side: int) -> None:
        write_tiles(folder / name, (side, side, 3), lambda part: field.to_image(shape=(side, side), part=part).numpy())

    write("warm.tif", 600)
    before, start, work = common.resident(), time.perf_counter(), time.process_time()
    write("large.tif", side)
    print(time.perf_counter() - start, time.process_time() - work, before, common.peak())


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--side", type=int, default=16_384)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        child(args.side, args.child)
        return
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, __file__, "--side", str(args.side), "--child", folder]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        taken, work, before, after = map(float, done.stdout.split())
        with tifffile.TiffFile(Path(folder, "large.tif")) as file:
            page = file.pages[0]
            assert page.is_tiled and page.shape == (args.side, args.side, 3)
            tiles, megabytes = len(page.dataoffsets), Path(folder, "large.tif").stat().st_size / 1e6
    report = {
        "side": args.side, "seconds": round(taken, 1), "cpu_seconds": round(work, 1),
        "tiles": tiles, "file_megabytes": round(megabytes, 1),
        "rss_before_gib": round(before, 3), "rss_peak_gib": round(after, 3),
        "float_picture_gib": round(args.side**2 * 12 / 2**30, 3),
    }  # fmt: skip
    print(f"{args.side}² in {taken:.0f} s ({work:.0f} s of work), {tiles} tiles, {megabytes:.0f} MB; "
          f"peak {report['rss_peak_gib']} GiB, before "
          f"{report['rss_before_gib']}; as floats the picture has {report['float_picture_gib']} GiB\n")  # fmt: skip
    common.finish("large", report, args.json, ("torch", "numba", "tifffile"))


if __name__ == "__main__":
    main()
