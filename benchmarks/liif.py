"""LIIF (Chen, Liu, Wang 2021, arXiv 2012.09161), written here from the paper, as a peer that is trained like ours.

    python -m benchmarks.liif --data DIR --seconds 600 --lr 4e-4 --threads 1 -o runs/liif-4e-4

DIR holds `train` and `val`, folders of pictures. What is drawn is what `gridless train` draws from the same folder with the
same seed, window, batch and queries: the task is ours (`SuperResolution`), and so are the budget's steps, the schedule
(a short rise, then a cosine: the paper's halving of 1e-4 is one for 1,000 epochs), the clip and bf16. The rate is to be the
best of three. As published: EDSR-baseline, input in [-1, 1], 3 x 3 feature unfolding, local ensemble by area, cell decoding,
an MLP of 4 x 256, L1, Adam. Budgets count steps with what they draw, not the validation.

    pixels (B H W 3) in [0, 1] -> Edsr -> features (B 64 H W) -> unfolded (B H W 576) -> four nearest of each query
    -> MLP(feature, offset, cell) each -> mean by the area of the opposite corner -> (B Q 3) in [0, 1]

`first_layer_once`: the MLP's first layer is linear in the unfolded features, so its share of them is computed once per
sample, as a 3 x 3 convolution with the same weights: the same numbers to rounding, in less time, where there are more
questions than samples. The published way is to unfold; training takes the faster one, so that LIIF gets more steps.
"""

import argparse
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import gridless as gl
from gridless.bases.interpolation import Interpolation
from gridless.config import Data, Train, Uniform
from gridless.config.training import Optimizer
from gridless.data.signals import Signal
from gridless.files import append_json, parse_json, replacing, write_json
from gridless.nn.precision import bf16
from gridless.protocols import Batch
from gridless.scoring.evaluate import validation_scores
from gridless.training.loading import device, load_data
from gridless.training.optimiser import learning_rate
from gridless.training.plan import Plan, steps_within
from gridless.training.provenance import commit, hardware

QUERIES = 30_000  # answered at a time, as published
FEATURES, UNFOLDED, HIDDEN = 64, 64 * 9, 256
SCALES = (2.0, 3.0, 4.0)  # of the validation
LOG_EVERY, SAVE_SECONDS = 20, 60.0


class Edsr(nn.Module):
    """EDSR-baseline without its upsampler: 16 residual blocks of 64 channels, no norm, residuals not scaled (Lim et al.
    2017, arXiv 1707.02921). (B 3 H W) -> (B 64 H W)."""

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, FEATURES, 3, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(FEATURES, FEATURES, 3, padding=1), nn.ReLU(), nn.Conv2d(FEATURES, FEATURES, 3, padding=1)
            )
            for _ in range(16)
        )
        self.tail = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)

    def forward(self, x: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B 64 H W"]:
        first = x = self.head(x)
        for block in self.blocks:
            x = x + block(x)
        return first + self.tail(x)


class Liif(nn.Module):
    """`features`, once per picture, then `forward` for any queries; `encode` for who evaluates."""

    base = Interpolation("bicubic")  # not of the model: what its validation is compared with

    def __init__(self, first_layer_once: bool = False, bf16: bool = False):
        """`bf16`: of `encode` and what it returns; training has a precision of its own."""
        super().__init__()
        self.first_layer_once, self.bf16 = first_layer_once, bf16
        self.encoder = Edsr()
        sizes = [UNFOLDED + 2 + 2, HIDDEN, HIDDEN, HIDDEN, HIDDEN]
        hidden = [layer for a, b in zip(sizes, sizes[1:], strict=False) for layer in (nn.Linear(a, b), nn.ReLU())]
        self.mlp = nn.Sequential(*hidden, nn.Linear(HIDDEN, 3))

    @classmethod
    def load(cls, file: str | Path, first_layer_once: bool = False, bf16: bool = False) -> "Liif":
        """The trained model of a weights file, ready to answer."""
        model = cls(first_layer_once, bf16)
        model.load_state_dict(load_file(file))
        return model.to(memory_format=torch.channels_last).eval()

    def parameter_count(self) -> int:
        return sum(p.numel() for p in self.parameters())

    def features(self, pixels: Float[Tensor, "B H W 3"]) -> Float[Tensor, "B H W F"]:
        """What queries read: unfolded features (F = 576), or their share of the MLP's first layer (F = 256)."""
        features = self.encoder(pixels.movedim(-1, 1) * 2 - 1)
        if self.first_layer_once:
            first = self.mlp[0]
            kernel = first.weight[:, :UNFOLDED].unflatten(1, (FEATURES, 3, 3))  # unfold's order: channel, row, column
            return F.conv2d(features, kernel, first.bias, padding=1).movedim(1, -1).contiguous()
        return F.unfold(features, 3, padding=1).mT.contiguous().unflatten(1, features.shape[2:])

    def forward(
        self, features: Float[Tensor, "B H W F"], coords: Float[Tensor, "B Q 2"], cell: Float[Tensor, "B #Q 2"]
    ) -> Float[Tensor, "B Q 3"]:
        """Values at coordinates in [0, 1], for asked cells, both as shares of the picture."""
        height, width = features.shape[1:3]
        size = coords.new_tensor([height, width])
        table = features.flatten(1, 2)
        place = coords * size - 0.5  # in samples
        corner = place.floor()
        cell = (2 * cell * size).expand_as(place)
        field = torch.arange(len(table), device=table.device)[:, None]
        share = place - corner  # of the lower and right neighbours: the area between the question and the opposite one
        answer = 0
        for down in (0, 1):
            for right in (0, 1):
                index = torch.minimum((corner + corner.new_tensor([down, right])).clamp(min=0), size - 1)
                flat = (index[..., 0] * width + index[..., 1]).long()
                offset = 2 * (place - index)  # in half samples, as published
                weight = (share[..., :1] if down else 1 - share[..., :1]) * (
                    share[..., 1:] if right else 1 - share[..., 1:]
                )
                answer = answer + weight * self._decode(table[field, flat], torch.cat([offset, cell], -1))
        return answer / 2 + 0.5

    def _decode(self, read: Float[Tensor, "B Q F"], asked: Float[Tensor, "B Q 4"]) -> Float[Tensor, "B Q 3"]:
        if not self.first_layer_once:
            return self.mlp(torch.cat([read, asked.to(read.dtype)], -1))
        return self.mlp[1:](read + F.linear(asked, self.mlp[0].weight[:, UNFOLDED:]))

    def encode(self, samples: gl.Samples) -> "LiifField":
        pixels = samples.on_grid()
        with torch.no_grad(), torch.autocast(pixels.device.type, torch.bfloat16, enabled=self.bf16):
            return LiifField(self, self.features(pixels))


@dataclass(frozen=True, eq=False)
class LiifField:
    """A picture that LIIF has encoded, answered as `Field` is, little by little so that memory is bounded."""

    model: Liif
    encoded: Float[Tensor, "B H W F"]
    has_spread = joint = False

    @torch.no_grad()
    def to_grid(self, shape: tuple[int, int]) -> Float[Tensor, "*B h w 3"]:
        """All cell centres of a grid; without the batch's axis where there is one picture."""
        batch, count = len(self.encoded), shape[0] * shape[1]
        coords = gl.grid(*shape).to(self.encoded.device).expand(batch, -1, -1)
        cell = coords.new_tensor([[[1 / n for n in shape]]])
        with torch.autocast(coords.device.type, torch.bfloat16, enabled=self.model.bf16):
            parts = [self.model(self.encoded, coords[:, at : at + QUERIES], cell) for at in range(0, count, QUERIES)]
        answer = torch.cat(parts, 1).float().unflatten(1, shape)
        return answer if batch > 1 else answer[0]


# --- Training --------------------------------------------------------------------------------------------------------


class Training:
    """A budget of seconds in a folder: weights.safetensors, metrics.jsonl, run.json; goes on where it was interrupted."""

    def __init__(self, folder: Path, train: Train, window: int, task: gl.SuperResolution, data: str):
        self.folder, self.train, self.window, self.task = folder, train, window, task
        self.pictures = load_data(Data(kind="folder", path=data), "train")
        self.validation: list[Signal] = list(load_data(Data(kind="folder", path=data), "val", each=32))
        self.settings = {"train": asdict(train), "window": window, "task": asdict(task)}
        self.device = torch.device(device())
        self.model, self.optimizer = self._fresh()
        self.step, self.spent, self.plan = 0, 0.0, Plan(begin=0, end=1)

    def _fresh(self) -> tuple[Liif, torch.optim.Adam]:
        torch.manual_seed(self.train.seed)
        model = Liif(first_layer_once=True).to(self.device, memory_format=torch.channels_last)
        return model, torch.optim.Adam(model.parameters(), lr=self.train.optimizer.lr, fused=True)

    def draw(self, step: int) -> Batch:
        """What `gridless train` sees at this step."""
        rng = np.random.default_rng((self.train.seed, step, 0))
        sizes = {"window": (self.window,) * 2, "batch": self.train.batch, "queries": self.train.queries}
        return self.task.draw(self.pictures, rng, **sizes).to(self.device)

    def take_step(self, step: int, rate: float) -> tuple[float, float]:
        """The loss and the gradient's norm before it is clipped."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = self.draw(step)
        self.model.train()
        with bf16(self.device, self.train.precision == "bf16"):
            features = self.model.features(batch.samples.on_grid())
            answer = self.model(features, batch.coords, batch.cell.to(self.device))
        loss = (answer.float() - batch.target).abs().mean()
        self.optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.train.optimizer.clip)
        self.optimizer.step()
        return float(loss.detach()), float(norm)

    def run(self) -> None:
        """Trains to the end of the budget. Raises FloatingPointError if the loss is no number."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._resume():
            count = self.train.steps or steps_within(self.train.seconds, lambda s: self.take_step(s, 1e-6))
            self.model, self.optimizer = self._fresh()
            self.plan = Plan(begin=0, end=count)
        mark, saved, recent = time.perf_counter(), time.perf_counter(), []
        while self.step < self.plan.end:
            self.step += 1
            rate = learning_rate(self.plan.at(self.step), self.train)
            recent.append(self.take_step(self.step - 1, rate))
            last = self.step == self.plan.end
            validates = self.step % self.train.validate_every == 0 or last
            replans = self.train.steps is None and self.plan.is_milestone(self.step)
            if not (self.step % LOG_EVERY == 0 or validates or replans):
                continue
            self.spent += time.perf_counter() - mark
            losses, norms = np.array(recent).T
            recent = []
            record = {"step": self.step, "loss": float(losses.mean()), "lr": rate, "seconds": round(self.spent, 3)}
            self._log(record | {"gradient": float(norms.mean()), "largest_gradient": float(norms.max())})
            if not np.isfinite(record["loss"]):
                raise FloatingPointError(
                    f"the loss is {record['loss']} at step {self.step}; lower --lr or take --precision fp32"
                )
            if validates:
                self._log({"step": self.step} | validation_scores(self.model, self.validation, self.task))
            if replans:
                self.plan = self.plan.replanned(self.step, self.spent, self.train.seconds)
            if last or time.perf_counter() - saved > SAVE_SECONDS:
                self._save()
                saved = time.perf_counter()
            mark = time.perf_counter()
        with replacing(self.folder / "weights.safetensors") as part:
            save_file({name: t.contiguous() for name, t in self.model.state_dict().items()}, part)
        facts = {"steps": self.step, "train_seconds": round(self.spent, 1), "params": self.model.parameter_count()}
        write_json(self.folder / "run.json", self.settings | facts | {"commit": commit(), "hardware": hardware()})

    def _log(self, record: dict) -> None:
        append_json(self.folder / "metrics.jsonl", record)
        print(*(f"{name} {value:.5g}" for name, value in record.items()), file=sys.stderr, flush=True)

    def _save(self) -> None:
        state = {
            "settings": repr(self.settings),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "plan": asdict(self.plan),
            "step": self.step,
            "spent": self.spent,
        }
        with replacing(self.folder / "state.pt") as part:
            torch.save(state, part)

    def _resume(self) -> bool:
        """Whether an interrupted run stood here; what was logged after its last state is taken back."""
        file = self.folder / "state.pt"
        if not file.is_file():
            (self.folder / "metrics.jsonl").unlink(missing_ok=True)
            return False
        state = torch.load(file, weights_only=True, map_location=self.device)
        if state["settings"] != repr(self.settings):
            raise ValueError(f"{self.folder} holds a run of {state['settings']}; give another folder with -o")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.spent, self.plan = state["step"], state["spent"], Plan(**state["plan"])
        lines = (self.folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        with replacing(self.folder / "metrics.jsonl") as part:
            kept = [line for line in lines if parse_json(line)["step"] <= self.step]
            part.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        return True


def main(argv: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a folder with train and val, pictures inside")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the run's folder")
    parser.add_argument("--seconds", type=float, default=600, help="of training, drawing included")
    parser.add_argument("--steps", type=int, help="instead of --seconds")
    parser.add_argument("--lr", type=float, default=4e-4, help="peak of the schedule")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--window", type=int, default=32, help="samples of a crop along an axis (48 in the paper)")
    parser.add_argument("--queries", type=int, default=600, help="asked of each crop (2,304 in the paper)")
    parser.add_argument("--scale", type=float, nargs=2, default=(1.0, 4.0), metavar=("LOW", "HIGH"))
    parser.add_argument("--recolour", action="store_true", help="random colours, as the recipe photos has them")
    parser.add_argument("--clip", type=float, default=1.0, help="largest norm of a gradient")
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--validate-every", type=int, default=500, help="steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    args = parser.parse_args(argv)
    torch.set_num_threads(args.threads)
    train = Train(
        steps=args.steps, seconds=None if args.steps else args.seconds, batch=args.batch, queries=args.queries,
        loss="l1", optimizer=Optimizer(lr=args.lr, clip=args.clip), precision=args.precision,
        validate_every=args.validate_every, seed=args.seed,
    )  # fmt: skip
    task = gl.SuperResolution(
        scale=Uniform(low=args.scale[0], high=args.scale[1]), scales=SCALES, recolour=args.recolour
    )
    Training(args.output, train, args.window, task, args.data).run()


if __name__ == "__main__":
    main(sys.argv[1:])
