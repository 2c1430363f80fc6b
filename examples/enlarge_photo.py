"""A photo as a field: a detail of it enlarged six times, asked alone, beside the pixels and bicubic interpolation.

python examples/enlarge_photo.py enlarged.png [--photo cat.jpg] [--scale 6] [--side 48]
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import gridless as gl
from gridless.data.pictures import resize_bicubic


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--photo", type=Path, help="else a photograph that scikit-image brings, made smaller")
    parser.add_argument("--scale", type=float, default=6.0)
    parser.add_argument("--side", type=int, default=48, help="of the detail, in pixels of the photo")
    args = parser.parse_args(argv)
    if args.photo is None:
        large = gl.data.photos("test")[0].values
        small = resize_bicubic(eight_bits(large), (large.shape[0] // 3, large.shape[1] // 3))
        seen = gl.Samples.from_grid(small.astype(np.float32) / 255)
    else:
        seen = gl.read(args.photo)
    model = gl.FieldModel.from_pretrained("photo")
    height, width = seen.grid_shape
    top, left = (height - args.side) // 2, (width - args.side) // 2
    asked = [round(args.scale * n) for n in (top, top + args.side, left, left + args.side)]
    detail = slice(*asked[:2]), slice(*asked[2:])  # of the enlarged photo; nothing else of it is computed
    names = {"photo": model.encode(seen), "bicubic": gl.bases.Interpolation("bicubic").encode(seen)}
    answers = {name: field.to_grid(scale=args.scale, part=detail).numpy() for name, field in names.items()}
    pixels = seen.on_grid()[0, top : top + args.side, left : left + args.side].numpy()
    size = answers["photo"].shape[:2]
    pictures = [Image.fromarray(eight_bits(p)) for p in (pixels, answers["bicubic"], answers["photo"])]
    pictures[0] = pictures[0].resize(size[::-1], Image.Resampling.NEAREST)
    sheet = Image.new("RGB", (3 * size[1] + 16, size[0]), "white")
    for i, picture in enumerate(pictures):
        sheet.paste(picture, (i * (size[1] + 8), 0))
    sheet.quantize(160).save(args.output, optimize=True)
    field = names["photo"]
    edge = field.gradient(gl.grid(4, 4))  # (16, 3, 2): how fast each colour changes, per height and per width
    print(f"{args.output}: pixels, bicubic, field; the steepest colour change is {edge.abs().max():.1f} per photo")


def eight_bits(values: np.ndarray) -> np.ndarray:
    return (values.clip(0, 1) * 255).round().astype(np.uint8)


if __name__ == "__main__":
    main()
