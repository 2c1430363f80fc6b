"""Tables of readings."""

import gzip
import random
from functools import cache
from pathlib import Path

import damage
import numpy as np
from doors.door import Case, given

import gridless as gl

CELLS = (
    "", " ", "nan", "NaN", "inf", "-Infinity", "1e400", "-9999", "9.96921e+36", "1e19", "0x1F", "1,5", "12:30", "text", "ü",
    "2024-01-31", "2024-13-45", "0000-00-00", "2024-01-01T00:00Z", "99999-01-01", "1" * 400, "1e-320", "true", "\"", "'",
    "=cmd|' /C calc'!A0", "../../etc/passwd", "\x00", "\u202e", "91", "-91", "361", "1e10", "-1e300", "١٢", "½", "None",
)  # fmt: skip


@cache
def table() -> bytes:
    rng = np.random.default_rng(1)
    rows = zip(rng.uniform(40, 50, 14), rng.uniform(0, 10, 14), rng.normal(size=14), range(14), strict=True)
    lines = [f"{a:.3f},{b:.3f},{v:.3f},2024-01-0{1 + n % 2}T00:00" for a, b, v, n in rows]
    return "\n".join(["lat,lon,v,t", *lines, ""]).encode()


def _table(rng: random.Random) -> tuple[str, str]:
    data, suffix, chance = table(), ".csv", rng.random()
    if chance < 0.3:
        how, data = damage.damaged(data, rng)
    elif chance < 0.8:
        how, cells = "cells", [line.split(",") for line in data.decode().strip().split("\n")]
        for _ in range(rng.choice((1, 1, 2, 5, 20))):
            row = rng.choice(cells)
            row[rng.randrange(len(row))] = rng.choice(CELLS)
        data = "\n".join(map(",".join, cells)).encode("utf-8", "surrogatepass")
    elif chance < 0.9:
        how, text = "a strange table", data.decode()
        data = rng.choice(
            (
                text.encode("utf-16"), b"\xef\xbb\xbf" + data, text.encode().replace(b",", b";"), data.replace(b"\n", b"\r"),
                data.replace(b"lat", b"lat,lat"), data[: data.index(b"\n")], data * 50, b"\n" * 1000, b"," * 5000,
                data + b"1," * 20_000, data.replace(b"lon", b"lat"), data + b'"' + data, b"lat,lon,v,t\n" * 3,
                b"lat,lon,v,t\n1,2,3,4\n", data.replace(b"4", b"5").replace(b".", b""), text.encode("utf-32"),
                b"lat,lon,v,t\n" + b"45,5,1,2024-01-01\n" * 9,
                b"lat,lon,v,t\n" + b"90,5,1,2024-01-01\n90,6,2,2024-01-01\n" * 3,
            )
        )  # fmt: skip
    else:
        how, suffix = "packed", rng.choice((".csv.gz", ".csv.gz", ".csv"))
        data = rng.choice(
            (
                gzip.compress(data), damage.damaged(gzip.compress(data), rng)[1], damage.bomb(b"lat,lon,v\n", b"1,2,3\n"),
                damage.bomb(), damage.zipped(data), damage.canary(),
            )
        )  # fmt: skip
    if rng.random() < 0.05:
        how, suffix = f"{how}, as Parquet", ".parquet"
    return how, given(f"in{suffix}", data)


def predict_table(rng: random.Random) -> Case:
    how, name = _table(rng)
    model = rng.choice(("kriging", "kriging", "sensors"))
    match rng.randrange(4):
        case 0:
            Path("good.csv").write_bytes(table())
            argv = ("predict", model, "good.csv", "--value", "v", "--at", name, "-o", "out.csv")
            return Case(f"{how}, as places", argv, outputs=("out.csv",))
        case 1:
            argv = ("predict", model, name, "--value", "v", "--time", "t", "--grid", "2deg", "-o", "out.nc")
            return Case(f"{how}, with stamps", argv, outputs=("out.nc",))
        case 2:
            argv = ("predict", model, name, "--value", "v", "--coords", "lat", "lon", "--grid", "2", "-o", "out.png")
            return Case(f"{how}, to a map", argv, outputs=("out.png",))
    return Case(how, ("predict", model, name, "--value", "v", "--grid", "2deg", "-o", "out.nc"), outputs=("out.nc",))


def read_table(rng: random.Random) -> Case:
    how, name = _table(rng)
    time = rng.choice((None, "t"))
    return Case(how, call=lambda: gl.read_table(name, values="v", time=time), about="gl.read_table")
