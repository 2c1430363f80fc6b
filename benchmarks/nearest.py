"""What does it cost to read only the nearest latents?

    python benchmarks/nearest.py [--seconds 60 --json FILE]

`mamba-ginr` small is trained on 32 x 32 crops of the training photos to give them back (no base, no local read-out: the
latents are all there is), once reading all 64 latents and once for each number of nearest ones, for the same seconds.
Scored is the reconstruction of 64 fixed crops of the validation photos; also what happens to the first model if it is
asked to read fewer latents than it was trained with. Rates are points answered per second, in turns.
"""

import common  # first: it sets how OpenMP waits before torch is imported

# isort: split
from dataclasses import replace

import numpy as np
import torch

import gridless as gl
from gridless.config import Optimizer, Train
from gridless.config.merging import build, dump, merge
from gridless.data.sources import signals

COUNTS = (None, 16, 4)


def model(nearest: int | None) -> gl.FieldModel:
    torch.manual_seed(0)
    diff = {"decoder": {"attention": {"nearest": nearest}}}
    return gl.FieldModel(build(gl.config.Model, merge(dump(gl.preset("mamba-ginr", "small")), diff)))


def psnr(trained: gl.FieldModel, crops: torch.Tensor) -> float:
    with torch.no_grad():
        answer = trained.eval().encode(gl.Samples.from_grid(crops)).to_image(1)
    return float((-10 * (answer - crops).square().mean((1, 2, 3)).log10()).mean())


def main() -> None:
    parser = common.parser(__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    args = parser.parse_args()
    task = gl.Reconstruction()
    held_out = task.draw(
        signals(gl.data.photos("val")), np.random.default_rng(0), window=(32, 32), batch=64, queries=None
    )
    crops = held_out.samples.on_grid()
    rows, whole = {}, None
    for count in COUNTS:
        trained = model(count)
        train = Train(seconds=args.seconds, batch=16, queries=256, precision="bf16", optimizer=Optimizer(lr=1e-3))
        facts = gl.fit(trained, gl.data.photos("train"), task, train=train, quiet=True)
        whole = whole or trained
        rows[str(count or "all")] = {"steps": facts["steps"], "psnr": round(psnr(trained, crops), 2)}
    fields = {}
    for count in COUNTS:
        asked = gl.FieldModel(replace(model(count).config))
        asked.load_state_dict(whole.state_dict())
        rows[str(count or "all")]["psnr_trained_with_all"] = round(psnr(asked, crops), 2)
        fields[str(count or "all")] = asked.eval().encode(gl.Samples.from_grid(crops[:1]))
    taken = common.in_turns({n: (lambda f=f: f.to_image(shape=(512, 512))) for n, f in fields.items()}, 5)
    print("latents read   steps   PSNR, dB   trained with all   points/s")
    for name, row in rows.items():
        row["points_per_second"] = common.spread([512**2 / s for s in taken[name]], 0)
        rate = row["points_per_second"]["median"]
        print(f"{name:>12} {row['steps']:>7} {row['psnr']:>10.2f} {row['psnr_trained_with_all']:>18.2f} {rate:>10,.0f}")
    print()
    common.finish("nearest", {"seconds": args.seconds, "latents": 64, "rows": rows}, args.json)


if __name__ == "__main__":
    main()
