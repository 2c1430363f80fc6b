"""The questions of the page, each with its picture, how to read it, and the numbers behind it.

A question that does not apply to a model is left out with one sentence why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

import numpy as np
import torch

from gridless import config as c
from gridless.bases import Interpolation
from gridless.coords import grid
from gridless.data.pictures import quantise
from gridless.field import Field
from gridless.model import FieldModel
from gridless.protocols import Case
from gridless.reports.inside import plots
from gridless.reports.inside.answers import jitter_curve, radial_spectrum, tapered
from gridless.reports.inside.exhibits import WHOLE, Exhibits, telling_points
from gridless.reports.inside.reading import attention, modulations, pooled_latents, position_tokens, without_attention
from gridless.reports.inside.vectors import (
    Components,
    by_distance,
    centred_cosine,
    explained_by,
    linear_probe,
    nearest_vectors,
    principal_components,
    shared,
    tsne,
)
from gridless.samples import Samples

POINTS = 2000  # in a t-SNE
NEIGHBOURS = 24
SHARE = 0.95
STDS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
EXACT = 150  # dB; above, two numbers differ by rounding alone
LANCZOS = "truth, by Lanczos"


@dataclass(frozen=True, eq=False)
class Section:
    """One question: a picture with its caption and the numbers behind it, or the reason why there is none."""

    name: str
    title: str
    caption: Sequence[str] = ()
    finding: str = ""
    picture: bytes | None = None
    numbers: Mapping[str, Any] | None = None
    reason: str | None = None


def attention_section(model: FieldModel, exhibits: Exhibits) -> Section:
    name, title = "attention", "What a query reads"
    if reason := without_attention(model):
        return Section(name, title, reason=reason)
    case = exhibits.windows[0]
    truth, points = case.truth / 255, telling_points(case.truth / 255)
    coords = np.stack(list(points.values()))
    asked = attention(model, case.samples, coords)
    everywhere = grid(*[min(n, 32) for n in case.grid_shape], dtype=torch.float64).numpy()
    many = attention(model, case.samples, everywhere)
    count, (near, all_alike) = many.count().mean(), many.reach(everywhere)
    decoder = model.config.decoder
    bias = decoder.attention.bias.kind if isinstance(decoder, c.Lainr | c.Scent) else "none"
    tied = {
        "none": "No spatial bias ties a latent to its place, so that its position here is only where it started",
        "raster": "The model's spatial bias pulls queries to latents near in raster order",
        "euclid": "The model's spatial bias pulls queries to near latents, whose positions are learned",
    }[bias]
    caption = [
        f"The most detailed window of {case.name}, in grey. A white cross is a point that is asked; every disc is a "
        "latent at its position, and its area the attention weight with which the query reads it (in each panel the "
        "largest weight has the same size). Rows: the strongest edge, a flat place, the middle. Columns: the mean over "
        "heads, then each head" + (f" (the first {plots.HEADS})." if len(asked.weights) > plots.HEADS else "."),
        "How to read it: a few large discs near the cross mean that the query looks up what is stored for its "
        "surroundings; discs of one size mean that it reads an average of everything, which is the same for every query "
        f"and cannot carry detail. {tied}.",
    ]  # fmt: skip
    finding = (
        f"Over the whole window a query reads {count:.1f} of {asked.weights.shape[-1]} latents (exp of the entropy, mean "
        f"over heads) and what it reads lies {near.mean():.2f} of the window's width away, all latents alike "
        f"{all_alike.mean():.2f}."
    )
    numbers = {
        "image": case.name, "points": points, "weights": asked.weights, "positions": asked.positions,
        "latents_read": count, "distance_read": near.mean(), "distance_all": all_alike.mean(),
    }  # fmt: skip
    return Section(name, title, caption, finding, plots.attention_map(truth, points, asked), numbers)


def tokens_section(untrained: FieldModel, model: FieldModel) -> Section:
    name, title = "tokens", "Position tokens before and after"
    before, after = (position_tokens(m) for m in (untrained, model))
    if after is None or before is None or len(after[0]) < 2:
        return Section(name, title, reason="The encoder of this model has no learnable position tokens to compare.")
    similarity = {
        "before training": centred_cosine(before[0]),
        "after training": centred_cosine(after[0]),
    }
    distance = {
        label: by_distance(matrix, tokens[1])
        for (label, matrix), tokens in zip(similarity.items(), (before, after), strict=True)
    }
    moved = np.linalg.norm(after[0] - before[0], axis=1) / np.linalg.norm(before[0], axis=1).clip(1e-30)
    off = {label: np.abs(m[~np.eye(len(m), dtype=bool)]).mean() for label, m in similarity.items()}
    caption = [
        "The cosine of every two position tokens, as they enter the sequence, after their mean was taken off (what all "
        "tokens share would make all of them look alike). Before: the same seed, no step taken. Tokens are in the order "
        "of their start, row by row of an even grid over the window. Right: the mean cosine of two tokens against the "
        "distance of their positions.",
        "How to read it: stripes beside the diagonal and a falling curve mean that neighbours hold alike vectors, so that "
        "place is written into the tokens; two pictures that look the same mean that training left the tokens near "
        "their start, and that place comes from the sequence around them. Sinusoidal tokens have stripes from the start.",
    ]
    finding = (
        f"Mean |cosine| of two different tokens: {off['before training']:.3f} before, {off['after training']:.3f} after. "
        f"Training moved a token by {_percent(moved.mean())} of its length in the mean."
    )
    numbers = {
        "centred_cosine": similarity, "mean_absolute_cosine": off, "moved": moved,
        "by_distance": {label: {"distance": d, "cosine": m} for label, (d, m) in distance.items()},
    }  # fmt: skip
    return Section(name, title, caption, finding, plots.token_similarity(similarity, distance), numbers)


def modulation_sections(model: FieldModel, exhibits: Exhibits) -> list[Section]:
    """The space of modulations, and its first three components as a map."""
    names = ("modulations", "components"), ("The space of modulations", "Three components as a picture")
    if reason := without_attention(model):
        return [Section(name, title, reason=reason) for name, title in zip(*names, strict=True)]
    cases = exhibits.windows
    each = [modulations(model, case.samples, grid(*case.grid_shape, dtype=torch.float64).numpy()) for case in cases]
    vectors = np.concatenate(each)
    colours = np.concatenate([case.truth.reshape(-1, 3) / 255 for case in cases])
    components = principal_components(vectors)
    chosen = np.sort(np.random.default_rng(0).permutation(len(vectors))[:POINTS])
    layout = tsne(vectors[chosen])
    needed = components.reaching(SHARE)
    caption = [
        "A modulation is the vector that a query gets from the latents by cross-attention. "
        f"Each point is one of {len(chosen):,} pixels, drawn from the windows of all {len(cases)} pictures, in the pixel's "
        "true colour. Left: t-SNE, which keeps who is whose neighbour (distances between far groups mean nothing). "
        "Middle: the first two principal components. Right: how much of the variance so many components hold.",
        "How to read it: patches of one colour mean that the modulation knows what is at the pixel; colours mixed like "
        "sand mean that it knows something else, such as the place. Few components to 95 % mean that the latents say "
        "little that differs from query to query.",
    ]
    finding = (
        f"{needed} of {len(components.explained)} components hold {_percent(SHARE)} of the variance, the first alone "
        f"{_percent(components.explained[0])}."
    )
    drawn = Components(components.scores[chosen], components.explained)
    first = Section(
        names[0][0], names[1][0], caption, finding,
        plots.modulation_space(layout, drawn, colours[chosen], SHARE),
        {"explained": components.explained, "components_to_95": needed, "tsne": layout, "pca": drawn.scores[:, :2],
         "colours": colours[chosen]},
    )  # fmt: skip
    three = np.pad(components.scores[:, :3], ((0, 0), (0, max(0, 3 - components.scores.shape[1]))))
    low, high = np.quantile(three, [0.01, 0.99], axis=0)
    three = np.clip((three - low) / np.clip(high - low, 1e-30, None), 0, 1)
    ends = np.cumsum([len(v) for v in each])[:-1]
    maps = [m.reshape(*case.grid_shape, 3) for m, case in zip(np.split(three, ends), cases, strict=True)]
    caption = [
        "Above, the windows; below, the first three principal components of their pixels' modulations as red, green and "
        "blue (1 % to 99 % of each component's range; one basis for all windows, so that a colour means the same in each).",
        "How to read it: where the map repeats the shapes of the picture, the latents carry its content; where maps "
        "look alike whatever the picture, a query gets a code of its place and hardly anything about the picture, which "
        "then must come from elsewhere (the local read-out, the base).",
    ]
    colour, place = explained_by(vectors, colours), None
    finding = f"A linear map of the pixels' colours gives {_percent(colour)} of the modulations' variance."
    if len({case.shape for case in cases}) == 1 < len(cases):
        place = shared(np.stack(each))
        finding += f" {_percent(place)} of it is the same at one place of the window whatever the picture."
    pictures = {case.name: case.truth / 255 for case in cases}
    second = Section(
        names[0][1], names[1][1], caption, finding, plots.component_maps(pictures, maps),
        {"maps": {case.name: m for case, m in zip(cases, maps, strict=True)},
         "variance_from_colour": colour, "variance_of_place": place},
    )  # fmt: skip
    return [first, second]


def neighbours_section(model: FieldModel, exhibits: Exhibits) -> Section:
    name, title = "neighbours", "Nearest neighbours of a pixel"
    if reason := without_attention(model):
        return Section(name, title, reason=reason)
    case = exhibits.windows[0]
    truth, points, shape = case.truth / 255, telling_points(case.truth / 255), case.grid_shape
    coords, colours = grid(*shape, dtype=torch.float64).numpy(), (case.truth / 255).reshape(-1, 3)
    vectors = modulations(model, case.samples, coords)
    apart = 2 / np.asarray(case.samples.shape)  # two of the samples that the network sees
    nearest, maps, numbers = [], [], {}
    for point, at in points.items():
        query = int(np.abs(coords - at).sum(1).argmin())
        far = np.asarray((np.abs(coords - at) > apart).any(1))
        similarity, index = nearest_vectors(vectors, query, NEIGHBOURS, far)
        difference = np.abs(colours - colours[query]).mean(1)
        nearest.append(coords[index])
        maps.append(similarity.reshape(shape))
        numbers[point] = {
            "at": at, "nearest": coords[index], "similarity": similarity[index], "map": maps[-1],
            "colour_difference": difference[index].mean(), "colour_difference_all": difference[far].mean(),
        }  # fmt: skip
    caption = [
        f"{case.name} again. Above: the cross is a pixel, the dots are the {NEIGHBOURS} pixels whose modulations point most "
        "nearly the same way (cosine after the window's mean was taken off). Pixels within two input samples of the cross "
        "do not count, for there any smooth function is alike. Below: the similarity with every pixel of the window.",
        "How to read it: dots on like things (the same edge, the same colour) mean that the latents hold content; dots "
        "in a cloud around the cross mean that they hold place.",
    ]
    finding = "; ".join(
        f"{point}: the neighbours' colour differs by {n['colour_difference']:.3f}, all pixels' by "
        f"{n['colour_difference_all']:.3f}"
        for point, n in numbers.items()
    )
    picture = plots.similar_pixels(truth, points, nearest, maps)
    return Section(name, title, caption, f"Mean over channels, full range 1. {finding}.", picture, numbers)


def spectra_section(model: FieldModel, exhibits: Exhibits) -> Section:
    limit = 0.5 / exhibits.scale if exhibits.scale > 1 else 0.25
    bicubic = exhibits.scale > 1  # at ×1 it is the input itself
    curves, kept = {}, {}
    for case in exhibits.wholes:
        answers = {"truth": case.truth / 255, model.name: _eight_bits(model.encode(_samples(model, case)), case)}
        if bicubic:
            answers["bicubic"] = _eight_bits(Interpolation("bicubic").encode(case.samples), case)
        curves[case.name] = {k: radial_spectrum(tapered(v)) for k, v in answers.items()}
        whole = curves[case.name]["truth"].above(limit)
        kept[case.name] = {k: s.above(limit) / max(whole, 1e-30) for k, s in curves[case.name].items() if k != "truth"}
    marked = (
        f"the dashed line is the highest frequency that the input at 1/{exhibits.scale:g} of the size can hold"
        if bicubic
        else "the dashed line is half of the highest frequency; bicubic is not drawn, for at ×1 it is the input itself"
    )
    caption = [
        f"The power of the waves in a picture, by frequency, on the middle (at most {WHOLE} × {WHOLE} pixels, one window "
        "where a decoder answers no more) of each picture: |Fourier transform|² over the number of pixels, mean over "
        "channels and directions, of 8-bit pictures without their mean and faded out to the border. 0.5 cycles per "
        f"pixel is the finest a picture can show; {marked}.",
        "How to read it: an answer below the truth is too smooth at that frequency, one above it invents. Power says "
        "nothing about whether the waves are in the right place; that is what PSNR is for.",
    ]
    parts = [
        f"{_percent(float(np.mean([k[label] for k in kept.values()])))} ({label})"
        for label in next(iter(kept.values()))
    ]
    finding = f"Power above the dashed line, as a share of the truth's, mean over pictures: {', '.join(parts)}."
    numbers = {"limit": limit, "share_of_truth_above_limit": kept, "spectra": {
        image: {label: {"frequency": s.frequency, "power": s.power} for label, s in group.items()}
        for image, group in curves.items()}}  # fmt: skip
    return Section("spectra", "Spectra", caption, finding, plots.spectra(curves, limit), numbers)


def jitter_section(model: FieldModel, exhibits: Exhibits) -> Section:
    title = "Asked beside the pixels"
    measured: dict[str, list] = {}
    for case in exhibits.wholes:
        truth = Samples.from_grid(torch.from_numpy(case.truth.astype(np.float32) / 255))
        fields = {model.name: model.encode(_samples(model, case))}
        if exhibits.scale > 1:
            fields["bicubic"] = Interpolation("bicubic").encode(case.samples)
        if min(case.grid_shape) <= 2 * ceil(4 * max(STDS)):
            return Section("jitter", title, reason=f"{case.name} is too small to be asked away from its border.")
        for label, curve in jitter_curve(fields, truth, STDS).items():
            measured.setdefault(label, []).append(curve)
        exact = {LANCZOS: Interpolation("lanczos").encode(truth)}
        measured.setdefault(LANCZOS, []).append(jitter_curve(exact, truth, STDS)[LANCZOS])
    curves = {label: np.asarray(values) for label, values in measured.items()}
    curves = {label: np.where(values > EXACT, np.inf, values) for label, values in curves.items()}
    caption = [
        "The answer asked not at the pixels' centres but at random offsets from them, and scored against the truth at the "
        "place that was asked (left: PSNR; right: its change). Between its pixels the truth is known only by "
        "interpolation, here bicubic; what that leaves open shows in the dashed line: the same truth by Lanczos, "
        "scored against the bicubic one (infinite without jitter, left out). Strong: the mean over pictures; faint: each.",
        "How to read it: a level curve is a field that is as right between the pixels as on them; a fall means that the "
        "model learned the pixels' centres rather than the picture. A rise is no merit: the interpolated truth is "
        "smoother between pixels, and smooth is easier"
        + (" (bicubic shows by how much)" if exhibits.scale > 1 else "")
        + ". Scores near the dashed line cannot be told from the truth's own "
        "uncertainty."
        + (
            " This decoder's answers depend on one another; all points were asked at once."
            if model.decoder.joint
            else ""
        ),
    ]
    finding = "; ".join(
        f"{label}: {v.mean(0)[0]:.2f} dB at the centres, {v.mean(0)[-1]:.2f} dB at a std of {STDS[-1]:g} pixels"
        for label, v in curves.items() if label != LANCZOS
    ) + f"; the truth by Lanczos there {curves[LANCZOS].mean(0)[-1]:.2f} dB."  # fmt: skip
    numbers = {"std": STDS, "images": [case.name for case in exhibits.wholes], "psnr": curves}
    return Section("jitter", title, caption, finding, plots.jitter(STDS, curves), numbers)


def probe_section(
    model: FieldModel, windows: Sequence[Samples] | None, labels: Sequence | np.ndarray | None
) -> Section:
    """`windows`: one for each label."""
    name, title = "probe", "What kind of picture it is"
    if windows is None or labels is None:
        return Section(name, title, reason="A probe needs labels, and these pictures have none.")
    if not model.latents:
        return Section(name, title, reason=without_attention(model))
    result = linear_probe(pooled_latents(model, windows), labels)
    caption = [
        f"The mean over a window's latents as one vector per picture ({len(windows):,} test pictures, {result.classes} "
        "classes, which the model was never told). Above: how often a linear classifier of these vectors, fitted on "
        f"{result.train:,} of them, names the class of the other {result.test:,}. Below: the share of a vector's "
        f"{result.neighbours} nearest (centred cosine) that have its class. Lines: what the labels alone would give.",
        "How to read it: the farther a bar is beyond its line, the more of the kind of picture the latents hold.",
    ]
    finding = f"Accuracy {_percent(result.accuracy)}, purity {_percent(result.purity)}."
    return Section(name, title, caption, finding, plots.probe(result), asdict(result))


def _samples(model: FieldModel, case: Case) -> Samples:
    return case.samples.to(next(model.parameters()).device)


def _eight_bits(field: Field, case: Case) -> np.ndarray:
    return quantise(field.to_image(shape=case.shape)) / 255


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
