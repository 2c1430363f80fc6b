"""docs/speed.md from the committed results of the other benchmarks.

python benchmarks/speed_page.py
"""

import json
from pathlib import Path
from textwrap import fill

ROOT = Path(__file__).parents[1]
NAMES = ("scan", "layer", "train_step", "decode", "blocks", "large", "nearest", "lengths")


def table(head: list[str], rows: list[list]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in lines)


def span(values: dict, digits: int = 1) -> str:
    return f"{values['median']:.{digits}f} ({values['min']:.{digits}f}–{values['max']:.{digits}f})"


def origin(result: dict) -> str:
    hardware = result["hardware"]
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    gpu = hardware["gpu"] or "not measured"
    return f"Commit {result['commit']}; {hardware['cpu']}, {hardware['threads']} threads; {versions}. GPU: {gpu}."


def scan_part(r: dict) -> str:
    rows = []
    for name, peer in r["peers"].items():
        if "not_measured" in peer:
            rows.append([name, *["not measured: " + peer["not_measured"]] * 4])
            continue
        forward, both = peer["forward"], peer["forward_backward"]
        rows.append([name, span(forward["ms"], 0), f"{forward['ratio']['median']:.1f}×",
                     span(both["ms"], 0), f"{both['ratio']['median']:.1f}×"])  # fmt: skip
    ours = [peer for peer in r["peers"].values() if "forward" in peer]
    rows.append(["gridless", *[cell for mode in ("forward", "forward_backward")
                               for cell in (span(ours[0][mode]["ours_ms"]), "")]])  # fmt: skip
    size = ", ".join(f"{name} {value}" for name, value in r["size"].items())
    return f"""## Selective scan

`python benchmarks/scan.py`: {size}, float32. Every peer computes the same recurrence; milliseconds are medians (range),
ours-is ratios the medians of neighbours in one run.

{table(["", "forward, ms", "ours is", "forward + backward, ms", "ours is"], rows)}

Its powers of two and multiply-adds alone take {r["arithmetic_bound_ms"]["median"]:.1f} ms on this machine; the forward
takes {r["forward_over_bound"]:.1f} times that. Largest error of the output and all gradients against float64:
{r["max_rel_error"]:.1e}. The first call compiles for {r["cold_call_seconds"]:.0f} s, from the disk cache
{r["warm_cache_call_seconds"]:.1f} s.

{origin(r)}"""


def layer_part(r: dict) -> str:
    rows = [
        [
            name,
            *[
                f"{r[d]['milliseconds'][name]['median']:.0f} ms, {r[d]['share'][name]:.0%}"
                for d in ("float32", "bfloat16")
            ],
        ]
        for name in r["float32"]["share"]
    ]
    between = "the part between, written out"
    rows.append([between, *[f"{r[d]['milliseconds'][between]['median']:.0f} ms" for d in ("float32", "bfloat16")]])
    rows.append(["whole layer", *[f"{span(r[d]['milliseconds']['layer'], 0)} ms" for d in ("float32", "bfloat16")]])
    rows.append(["share of the matmul peak",
                 *[f"{r[d]['share_of_matmul_peak']:.0%} of {r[d]['matmul_peak_gflops']:.0f} GFLOP/s"
                   for d in ("float32", "bfloat16")]])  # fmt: skip
    size = ", ".join(f"{name} {value}" for name, value in r["size"].items())
    return f"""## The bidirectional Mamba layer

`python benchmarks/layer.py`: {size}, forward + backward. Parts are timed alone, shares are of their sum,
times are the processor's. What lies between the projections is one operator; written out it is what other devices run.

{table(["part (both directions)", "float32", "bf16 autocast"], rows)}

{origin(r)}"""


def train_step_part(r: dict) -> str:
    rows = [
        [arm, span(row["images_per_second"]), f"{row['share_of_matmul_peak']:.0%}",
         "" if arm == "now" else f"{span(row['times_as_long'], 2)}×"]
        for arm, row in r["arms"].items()
    ]  # fmt: skip
    return f"""## A training step

`python benchmarks/train_step.py`: `mamba-ginr` base, {r["params"]:,} parameters, 512 tokens, 1,024 queries, batch
{r["batch"]}, bf16; {r["gflop"]:.0f} GFLOP a step, the measured matmul peak is {r["matmul_peak_gflops"]:.0f} GFLOP/s.
All of Mamba between its projections is one operator (`nn/scan/mixer.py`), which keeps less than half as much for the
backward as when it is written out. Times are the processor's, of one thread. The public parts are mambapy's scan and
`nn.Conv1d`. FLOPs are those of matrix products and scans; before this table the scans' were left out, and on two threads
the share was 26 %. Tried for the same step and left out, because each gains less than 3 % of it: memory that the process
keeps instead of giving it back, and an exponential by AVX-512's own scaling instruction.

{table(["", "images/s", "of the peak", "as long as now"], rows)}

{origin(r)}"""


def decode_part(r: dict) -> str:
    rate, memory = r["megapixels_per_second"], r["memory"]
    names = {"ours": "gridless, photo recipe", "liif": "LIIF, re-implemented"}
    rows = [[name, span(rate[key], 3)] for key, name in names.items()]
    words = (
        f"The photo recipe's model is {span(r['speedup'])} times as fast. What this leaves out: encoding is not timed; the "
        "sizes are 458 k against 1.57 M parameters; LIIF is our own implementation of the paper, not its published code. "
        f"And it says nothing of quality: {_quality(r['equal_seconds'])}"
    )
    return f"""## Answering a picture

`python benchmarks/decode.py`: {r["side"]}² from {r["side"] // 4}², float32, encoding excluded.

{table(["", "megapixels/s"], rows)}

{fill(words, 120)}

{memory["side"]:,}²: {memory["grown_gib"]:.2f} GiB more than after encoding, the output of {memory["output_gib"]:.2f} GiB
included. Block sizes change the answer by at most {r["max_difference_between_blocks"]:.0e}.

{origin(r)}"""


def _quality(pair: dict | str) -> str:
    """Both trained for equal seconds; a pair whose peer had no rate of its own is not shown."""
    if not isinstance(pair, dict) or "liif_rate" not in pair:
        return (
            "an earlier page gave a pair of PSNRs after 200 s of training each, which was not fair and is struck. LIIF had "
            "been given 1e-4, its published rate for 1,000 epochs: with that it is at 19.8 dB after 150 steps, with 1e-3 at "
            "22.6 dB. A pair stands here again when both have a rate tuned for their budget."
        )
    psnr, steps = pair["psnr_rgb_x4"], pair["steps"]
    return (
        f"after {pair['seconds']:.0f} s of training each on the same batches, LIIF at its best rate "
        f"({pair['liif_rate']:g}), PSNR at ×4 on the test photos is {psnr['ours']:.2f} dB (ours, {steps['ours']:,} steps) "
        f"and {psnr['liif']:.2f} dB (LIIF, {steps['liif']:,} steps); bicubic {psnr['bicubic']:.2f} dB "
        f"(commit {pair['commit']})."
    )


def blocks_part(r: dict) -> str:
    rows = [
        [f"{n:,}", *[span(rates[i], 3) for rates in r["megapixels_per_second"].values()]]
        for i, n in enumerate(r["points"])
    ]
    shared = {"encodings": "encodings", "first layers": "encodings and first layers"}
    left_out = [
        ["a grid's rows and columns share " + shared[what], name, span(gain, 3)]
        for name, row in r["grid_ceiling"].items() for what, gain in row.items()
    ]  # fmt: skip
    return f"""## Points at once

`python benchmarks/blocks.py`: megapixels/s of answering {r["side"]}² with so many points in the network at once, float32.
Blocks hold at most {r["most"]["cpu"]:,} on a CPU, fewer where memory is short.

{table(["points", *r["megapixels_per_second"]], rows)}

What was left out, and how many times as fast it could be at most: measured as if the part cost nothing, which no
replacement does.

{table(["left out", "of", "times as fast"], left_out)}

{origin(r)}"""


def large_part(r: dict) -> str:
    return f"""## A picture larger than memory

`python benchmarks/large.py`: {r["side"]:,}² from {r["side"] // 64}² by the bicubic base, as {r["tiles"]:,}
tiles of a TIFF of {r["file_megabytes"]:,.0f} MB: {r["cpu_seconds"]:,.0f} s of work, {r["seconds"]:,.0f} s in all.
Memory peaks at {r["rss_peak_gib"]:.2f} GiB,
{r["rss_peak_gib"] - r["rss_before_gib"]:.2f} above that of a small picture; in memory this one would have
{r["float_picture_gib"]:.2f} GiB.

{origin(r)}"""


def nearest_part(r: dict) -> str:
    rows = [
        [name, row["steps"], f"{row['psnr']:.2f}", f"{row['psnr_trained_with_all']:.2f}",
         f"{row['points_per_second']['median']:,.0f}"]
        for name, row in r["rows"].items()
    ]  # fmt: skip
    return f"""## Reading the nearest latents

`python benchmarks/nearest.py --seconds {r["seconds"]:g}`: `mamba-ginr` small gives back 32 × 32 crops of held-out
photos from its {r["latents"]} latents after {r["seconds"]:.0f} s of training with as many read, and if the model that was
trained with all is asked to read fewer.

{table(["latents read by a query", "steps", "PSNR, dB", "PSNR, trained with all", "points/s"], rows)}

{origin(r)}"""


def lengths_part(r: dict) -> str:
    rows = [
        [f"{n:,}", *[f"{layer['us_per_token'][i]['median']:.1f}" for layer in r["layers"].values()],
         *[f"{layer['kib_per_token'][i]:.1f}" for layer in r["layers"].values()]]
        for i, n in enumerate(r["lengths"])
    ]  # fmt: skip
    names = list(r["layers"])
    crossings = "; ".join(
        f"{name} from {n:,} tokens on" if n else f"{name}: not within these lengths"
        for name, n in r["crossover"].items()
    )
    head = ["length", *[f"{name}, µs" for name in names], *[f"{name}, KiB" for name in names]]
    return f"""## Length

`python benchmarks/lengths.py`: one layer of width {r["width"]}, forward + backward under bf16 autocast, per token: time, and
memory kept for the backward. These are different layers, not the same recurrence.

{table(head, rows)}

{crossings}.

![Time and memory per token against length](images/lengths.png)

{origin(r)}"""


def page() -> str:
    files = {name: ROOT / "results" / f"{name}.json" for name in NAMES}  # one that was not measured yet has no part
    parts = [
        globals()[f"{name}_part"](json.loads(path.read_text(encoding="utf-8")))
        for name, path in files.items()
        if path.exists()
    ]
    return (
        "# Speed and memory\n\nWritten by `python benchmarks/speed_page.py` from `results/*.json`; "
        "these machines are shared, so read the ratios.\n\n" + "\n\n".join(parts) + "\n"
    )


if __name__ == "__main__":
    (ROOT / "docs" / "speed.md").write_text(page(), encoding="utf-8")
