"""Where do a linear-time layer and attention cross?

    python benchmarks/lengths.py [--width 256 --longest 16384 --tokens 16384 --json FILE --picture FILE]

Forward and backward of one layer of each kind at the same width, under bf16 autocast: our bidirectional Mamba, softmax
attention (torch's fused kernel, 8 heads), and chunked SSD (Mamba-2, Dao & Gu 2024, arXiv 2405.21060, listing 1; run in
both directions, as ours). These are different layers, not the same recurrence. The batch shrinks as the length grows, so
that every call handles `--tokens` tokens (at least one sequence). Memory is what autograd keeps for the backward. The
crossover is where the times, interpolated in the logarithm of the length, are equal.
"""

import common  # first: it sets how OpenMP waits before torch is imported

# isort: split

from math import exp, log
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from gridless import config
from gridless.nn.attention import CrossAttention
from gridless.nn.mamba import BiMamba

LENGTHS = [128 * 2**i for i in range(8)]


class Attention(nn.Module):
    def __init__(self, width: int):
        super().__init__()
        self.attention = CrossAttention(width, width, 8, width // 8)

    def forward(self, x):
        return self.attention(x, self.attention.to_kv(x))


class Ssd(nn.Module):
    """One scalar decay per head and step: within a chunk a masked matrix product, between chunks a short recurrence."""

    def __init__(self, width: int, state: int = 64, head: int = 64, chunk: int = 64):
        super().__init__()
        self.inner, self.state, self.head, self.chunk = 2 * width, state, head, chunk
        self.heads = self.inner // head
        self.project = nn.Linear(width, 2 * (2 * self.inner + 2 * state + self.heads), bias=False)
        self.decay = nn.Parameter(torch.zeros(2, self.heads))
        self.out = nn.Linear(2 * self.inner, width, bias=False)

    def forward(self, x):
        both = self.project(x).chunk(2, -1)
        parts = [self.one(both[0], self.decay[0]), self.one(both[1].flip(1), self.decay[1]).flip(1)]
        return self.out(torch.cat(parts, -1))

    def one(self, projected, decay):
        b, n, _ = projected.shape
        z, x, B, C, dt = projected.split([self.inner, self.inner, self.state, self.state, self.heads], -1)
        dt = F.softplus(dt.float() - 2)
        chunks = (n // self.chunk, self.chunk)
        x = (x.unflatten(-1, (self.heads, self.head)) * dt[..., None]).unflatten(1, chunks).to(B.dtype)
        B, C = B.unflatten(1, chunks), C.unflatten(1, chunks)
        total = (-dt * decay.exp()).unflatten(1, chunks).cumsum(2)  # (b c l h)
        within = total[:, :, :, None] - total[:, :, None]
        mask = torch.ones(self.chunk, self.chunk, dtype=torch.bool).tril()[..., None]
        within = within.masked_fill(~mask, float("-inf")).exp().to(x.dtype)
        scores = torch.einsum("bcls,bcms->bclm", C, B)
        y = torch.einsum("bclm,bclmh,bcmhp->bclhp", scores, within, x)
        to_end = (total[:, :, -1:] - total).exp().to(x.dtype)
        states = torch.einsum("bcms,bcmh,bcmhp->bchps", B, to_end, x)
        carried, out = torch.zeros_like(states[:, 0]), []
        for c in range(chunks[0]):
            out.append(carried)
            carried = carried * total[:, c, -1].exp()[..., None, None].to(x.dtype) + states[:, c]
        y = y + torch.einsum("bcls,bchps,bclh->bclhp", C, torch.stack(out, 1), total.exp().to(x.dtype))
        return y.reshape(b, n, self.inner) * F.silu(z)


def forward_backward(layer, x):
    kept = 0

    def pack(tensor):
        nonlocal kept
        kept += tensor.nbytes
        return tensor

    x = x.detach().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t), torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    y.float().sum().backward()
    return kept


def crossover(lengths, slow_start, fast_start) -> float | None:
    """The length at which `slow_start` becomes faster, log-log interpolated; None if it does not within these lengths."""
    gaps = [log(a / b) for a, b in zip(slow_start, fast_start, strict=True)]
    for (n0, g0), (n1, g1) in zip(
        zip(lengths, gaps, strict=True), list(zip(lengths, gaps, strict=True))[1:], strict=False
    ):
        if g0 > 0 >= g1:
            return round(exp(log(n0) + (log(n1) - log(n0)) * g0 / (g0 - g1)))
    return None


def draw(path: Path, lengths, milliseconds, megabytes, crossings) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis, table, label in (
        (axes[0], milliseconds, "µs per token, forward + backward"),
        (axes[1], megabytes, "KiB per token kept for the backward"),
    ):
        for name, values in table.items():
            axis.plot(lengths, values, "o-", markersize=3.5, label=name)
        axis.set(xscale="log", xlabel="length of the sequence", ylabel=label)
        axis.set_xticks(lengths, [f"{n:,}" for n in lengths], rotation=40, fontsize=8)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    axes[0].set_yscale("log")
    axes[1].set_ylim(bottom=0)
    for style, (name, n) in zip((":", "--", "-."), crossings.items(), strict=False):
        if n:
            axes[0].axvline(n, color="grey", linestyle=style, linewidth=1, label=f"{name} from {n:,} on")
    axes[0].legend(fontsize=7, frameon=False)
    figure.savefig(path, dpi=140)


def main() -> None:
    parser = common.parser(__doc__)
    for name, default in (("width", 256), ("longest", LENGTHS[-1]), ("tokens", 16384), ("rounds", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--picture", type=Path, help="draw time and memory against length into this PNG")
    args = parser.parse_args()
    torch.manual_seed(0)
    layers = {"BiMamba": BiMamba(args.width, config.Ssm()), "SSD": Ssd(args.width), "attention": Attention(args.width)}
    lengths = [n for n in LENGTHS if n <= args.longest]
    rows = {name: {"us_per_token": [], "kib_per_token": []} for name in layers}
    for n in lengths:
        batch = max(1, args.tokens // n)
        x = torch.randn(batch, n, args.width)
        taken = common.in_turns({k: (lambda m=m, x=x: forward_backward(m, x)) for k, m in layers.items()}, args.rounds)
        for name, layer in layers.items():
            times = common.spread([1e6 * s / (batch * n) for s in taken[name]])
            rows[name]["us_per_token"].append(times)
            rows[name]["kib_per_token"].append(round(forward_backward(layer, x) / 1024 / (batch * n), 2))
        print(
            f"{n:>7} " + "  ".join(f"{k} {rows[k]['us_per_token'][-1]['median']:>8.1f} µs" for k in layers), flush=True
        )
    medians = {name: [t["median"] for t in row["us_per_token"]] for name, row in rows.items()}
    crossings = {
        f"{name} beats attention": crossover(lengths, medians[name], medians["attention"])
        for name in ("BiMamba", "SSD")
    }
    print(crossings, "\n")
    if args.picture:
        draw(args.picture, lengths, medians, {k: r["kib_per_token"] for k, r in rows.items()}, crossings)
    report = {"width": args.width, "tokens": args.tokens, "lengths": lengths, "layers": rows, "crossover": crossings}
    common.finish("lengths", report, args.json)


if __name__ == "__main__":
    main()
