"""docs/images/systems/NAME.svg: a system as boxes, drawn from its preset, so that no figure says what the config does not.

On the left what happens once for a field, on the right what happens for every question.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import singledispatch
from html import escape

from gridless import config

BOX, GAP, STEP, EDGE, TOP = 276, 52, 22, 14, 46  # widths and distances in pixels
TITLE, LINE, LONGEST = 21, 17, 43  # heights of a box's lines; letters that fit
INK, SOFT, PAPER = "#1f2933", "#52606d", "#ffffff"
COLOURS = {"data": ("#f1f4f8", "#9fb3c8"), "encode": ("#e3edf9", "#4a86c5"), "ask": ("#fdeee3", "#d9822b")}


@dataclass(frozen=True)
class Box:
    """A part: what it is called, what it does, and whether the questions read the field here."""

    title: str
    lines: tuple[str, ...] = ()
    kind: str = "encode"
    reads: bool = False

    @property
    def height(self) -> int:
        return TITLE + LINE * len(self.lines) + 12


def number(value: float) -> str:
    return f"{value:g}"


def times(count: int) -> str:
    return "" if count == 1 else f" × {count}"


def band(band: config.Band, nyquist: float) -> str:
    return f"{number(band.low)} … {number(nyquist if band.high is None else band.high)}"


def reading(attention: config.Attention) -> tuple[str, ...]:
    """How questions read the latents."""
    how = [f"{attention.heads} heads of {attention.head_width}"]
    how += ["near latents preferred"] if attention.bias.kind != "none" else []
    return ", ".join(how), *(["what is read turns with the offset"] if attention.rotation else [])


@singledispatch
def tokenizer_boxes(tokenizer: object) -> tuple[Box, ...]:
    raise TypeError(f"no boxes are drawn for {type(tokenizer).__name__}")


@tokenizer_boxes.register
def _(tokenizer: config.Patches) -> tuple[Box, ...]:
    stem = tokenizer.stem
    boxes = [] if stem is None else [Box("Convolutions", (f"{stem.blocks} residual blocks of width {stem.width}",))]
    if tokenizer.size > 1 or stem is None:
        what = "pixel" if tokenizer.size == 1 else f"patch of {tokenizer.size} × {tokenizer.size}"
        boxes.append(Box("Tokens", (f"each {what}, linear", "and Fourier features of its place")))
    return tuple(boxes)


@tokenizer_boxes.register
def _(tokenizer: config.Points) -> tuple[Box, ...]:
    if tokenizer.base:
        return (Box("Tokens", ("each reading's value, and what the base", "says there without that reading")),)
    place = f"{tokenizer.fourier.count} random frequencies of its place"
    lines = ("each reading's value", place, *(["and their product"] if tokenizer.product else []))
    return (Box("Tokens", lines),)


@singledispatch
def encoder_boxes(encoder: object) -> tuple[Box, ...]:
    raise TypeError(f"no boxes are drawn for {type(encoder).__name__}")


@encoder_boxes.register
def _(encoder: config.MambaEncoder) -> tuple[Box, ...]:
    if not encoder.depth:
        return ()
    tokens = encoder.tokens
    start = "which start with their patch" if tokens.content else "learned"
    merged = "averaged" if encoder.ssm.merge == "average" else "joined by a linear layer"
    return (
        Box(
            f"Bidirectional Mamba{times(encoder.depth)}",
            (f"{tokens.count} position tokens among the patches,", start, f"both directions {merged}"),
        ),
    )


@encoder_boxes.register
def _(encoder: config.TransformerEncoder) -> tuple[Box, ...]:
    tokens = encoder.tokens
    lines = [f"{encoder.heads} heads of {encoder.head_width}"]
    if tokens.count:
        start = "start with their patch" if tokens.content else "random at first"
        lines += [f"{tokens.count} learned tokens behind the patches,", start]
    return (Box(f"Transformer{times(encoder.depth)}", tuple(lines)),)


@encoder_boxes.register
def _(encoder: config.PerceiverEncoder) -> tuple[Box, ...]:
    boxes = []
    if isinstance(context := encoder.context, config.GroupContext):
        lines = (f"in groups of {context.size}, other ones in every layer",)
        boxes.append(Box(f"Tokens read one another{times(context.depth)}", lines))
    widths = " → ".join(map(str, encoder.widths))
    lines = (f"{encoder.count} latents of width {widths}", "read the tokens, then one another")
    boxes.append(Box("Perceiver" + (" cascade" if len(encoder.widths) > 1 else ""), lines))
    return tuple(boxes)


@encoder_boxes.register
def _(encoder: config.RelativeEncoder) -> tuple[Box, ...]:
    lines = (f"{encoder.heads} heads of {encoder.head_width}", "by differences of places alone")
    if encoder.count is None:
        return (Box(f"Attention among readings{times(encoder.depth)}", lines),)
    first = Box(f"{encoder.count} of the readings read all", (*lines, "strewn evenly, drawn anew in training"))
    return first, Box(f"and then one another{times(encoder.depth - 1)}", lines)


@encoder_boxes.register
def _(encoder: config.NoEncoder) -> tuple[Box, ...]:
    return ()


def processor_boxes(processor: config.SelfAttention) -> tuple[Box, ...]:
    if not processor.depth:
        return ()
    lines = [f"{processor.heads} heads of {processor.head_width}, gated feed-forward"]
    lines += [f"one block, {processor.depth} times"] if processor.tied else []
    count = "" if processor.tied else times(processor.depth)
    return (Box(f"Latents read one another{count}", tuple(lines)),)


def latents(model: config.Model) -> Box:
    """What a field keeps."""
    match model.encoder:
        case config.NoEncoder():
            return Box("Features at the samples", (), "data")
        case config.PerceiverEncoder(count=count, widths=widths):
            return Box(f"{count} latents of width {widths[-1]}", (), "data")
        case config.RelativeEncoder(count=int(count)):
            return Box(f"{count} latents of width {model.width}", ("where their readings lie",), "data")
        case config.RelativeEncoder() | config.TransformerEncoder(tokens=config.PositionTokens(count=0)):
            return Box("A latent for each reading", (f"of width {model.width}",), "data")
        case config.MambaEncoder(depth=0):
            return Box("Readings", (f"tokens of width {model.width}",), "data")
        case encoder:
            return Box(f"{encoder.tokens.count} latents of width {model.width}", (), "data")  # pyright: ignore[reportAttributeAccessIssue]


@singledispatch
def decoder_boxes(decoder: object, model: config.Model) -> tuple[Box, ...]:
    raise TypeError(f"no boxes are drawn for {type(decoder).__name__}")


@decoder_boxes.register
def _(decoder: config.Lainr, model: config.Model) -> tuple[Box, ...]:
    nyquist = model.signal.unit / 2
    blocks = (f"{decoder.block.depth} residual blocks behind each layer",) if decoder.block.depth else ()
    linear = ("m reaches the output by a linear layer too",) if decoder.linear else ()
    return (
        Box("Query", (f"sines of {band(decoder.query, nyquist)} cycles, linear, ReLU",), "ask"),
        Box("Modulation m: cross-attention", reading(decoder.attention), "ask", reads=True),
        Box(
            f"{len(decoder.bands)} bands, one after another",
            (f"sines of {'; '.join(band(b, nyquist) for b in decoder.bands)} cycles",
             f"+ m, ReLU, width {decoder.hidden}", *blocks, *linear),
            "ask",
        ),
    )  # fmt: skip


@decoder_boxes.register
def _(decoder: config.Scent, model: config.Model) -> tuple[Box, ...]:
    fourier, calibration = decoder.fourier, decoder.calibration
    boxes = [
        Box("Query", (f"{fourier.count} random frequencies, linear",), "ask"),
        Box("Cross-attention", reading(decoder.attention), "ask", reads=True),
    ]
    if decoder.depth:
        boxes.append(Box(f"Gated feed-forward{times(decoder.depth)}", (f"width {decoder.hidden}",), "ask"))
    if calibration is not None:
        lines = (f"attention to features of {calibration.size} fixed places",)
        boxes.append(Box("Calibration", lines, "ask"))
    if decoder.skip:
        boxes.append(Box("+ the query's features, linear", (), "ask"))
    return tuple(boxes)


@decoder_boxes.register
def _(decoder: config.Composer, model: config.Model) -> tuple[Box, ...]:
    written = ", ".join(str(i + 1) for i in decoder.generated)
    how = "columns scaled by the latents" if decoder.rule == "columns" else "a shared factor times one of the latents'"
    layers = f"layer {written}" if len(decoder.generated) == 1 else f"layers {written}"
    return (
        Box("Fourier features", (f"{band(decoder.band, model.signal.unit / 2)} cycles on each axis",), "ask"),
        Box(f"MLP of {decoder.depth} layers", (f"width {decoder.hidden}; {layers} written:", how), "ask", reads=True),
    )


@decoder_boxes.register
def _(decoder: config.Mlp, model: config.Model) -> tuple[Box, ...]:
    return (
        Box("Fourier features", (f"{band(decoder.band, model.signal.unit / 2)} cycles on each axis",), "ask"),
        Box(
            f"MLP of {decoder.depth} layers", ("reads the mean of the latents", f"width {decoder.hidden}"), "ask", True
        ),
    )


@decoder_boxes.register
def _(decoder: config.Direct, model: config.Model) -> tuple[Box, ...]:
    around = 2**model.signal.axes
    lines = (f"{decoder.hidden} waves of the offset to the", f"{around} samples around, blended smoothly")
    return (Box("Local read-out", lines, "ask", reads=True),)


@decoder_boxes.register
def _(decoder: config.RelativeDecoder, model: config.Model) -> tuple[Box, ...]:
    lines = (f"{decoder.heads} heads of {decoder.head_width}", "by differences of places alone")
    informed = isinstance(model.tokenizer, config.Points) and model.tokenizer.base
    start = "what the base says there" if informed else "one learned vector for all places"
    few = isinstance(model.encoder, config.RelativeEncoder) and model.encoder.count is not None
    what = "latents" if few else "readings"
    return (
        Box("Query", (start,), "ask"),
        Box(f"Attention to the {what}{times(decoder.depth)}", lines, "ask", reads=True),
    )


@decoder_boxes.register
def _(decoder: config.Joint, model: config.Model) -> tuple[Box, ...]:
    state = decoder.mixer.state if isinstance(decoder.mixer, config.SharedState) else None
    mixer = "Self-attention" if state is None else f"Shared state of {state} numbers"
    cross = f"{decoder.heads} heads" + ("" if decoder.residual else ", no residual")
    return (
        Box("Queries", ("noisy answers z, features of their places",), "ask"),
        Box(f"{mixer}{times(decoder.depth)}", ("over readings and queries, one sequence",), "ask", reads=True),
        Box("Cross-attention to the readings", (cross,), "ask"),
    )


def head_boxes(model: config.Model) -> tuple[Box, ...]:
    match model.head:
        case config.GaussianHead():
            head = Box("Head", ("a value and how sure it is",), "ask")
        case config.FlowHead(steps=steps):
            head = Box("Head", ("a velocity of z; followed from noise to", f"an answer in {steps} steps"), "ask")
        case _:
            head = Box("Head", ("linear",), "ask")
    match model.base:
        case config.NoBase() if model.signal.mean is not None:
            return (head,)
        case config.NoBase():
            return head, Box("× scale + level of the samples", (), "ask")
        case config.Kriging(waves=waves) if waves:
            lines = ("kriging, around plane waves where", f"readings hold some ({waves} at most)")
            return head, Box("+ base", lines, "ask")
        case base:
            return head, Box("+ base", (base.kind,), "ask")


def columns(model: config.Model) -> tuple[list[Box], list[Box]]:
    """What is done once for a field, and for every question."""
    points = isinstance(model.tokenizer, config.Points)
    films = model.film is not None
    seen = ("readings of a film, and the asked moment",) if films else ("(B N C)",)
    once = [
        Box("Readings at points" if points else "Samples on a grid", seen, "data"),
        *tokenizer_boxes(model.tokenizer), *encoder_boxes(model.encoder), *processor_boxes(model.processor),
    ]  # fmt: skip
    if not isinstance(model.encoder, config.MambaEncoder) or model.encoder.depth:
        once.append(latents(model))
    asked = [Box("Coordinates", ("(B Q d)",), "data"), *decoder_boxes(model.decoder, model), *head_boxes(model)]
    return once, [*asked, Box("Answer", ("(B Q C)",), "data")]


def box_svg(box: Box, x: int, y: int) -> str:
    fill, stroke = COLOURS[box.kind]
    middle = x + BOX // 2
    lines = [f'<rect x="{x}" y="{y}" width="{BOX}" height="{box.height}" rx="8" fill="{fill}" stroke="{stroke}"/>']
    for number, text in enumerate((box.title, *box.lines)):
        if len(text) > LONGEST:
            raise ValueError(f"a line of a box holds {LONGEST} letters, got {len(text)}: {text!r}; break it in two")
        size, weight, ink = (14.5, 600, INK) if number == 0 else (12.5, 400, SOFT)
        place = y + 22 + (0 if number == 0 else LINE * number + 1)
        style = f'font-size="{size}" font-weight="{weight}" fill="{ink}"'
        lines.append(f'<text x="{middle}" y="{place}" {style}>{escape(text)}</text>')
    return "\n".join(lines)


def arrow(points: Iterable[tuple[float, float]]) -> str:
    path = " ".join(f"{x:g},{y:g}" for x, y in points)
    return f'<polyline points="{path}" fill="none" stroke="{SOFT}" stroke-width="1.5" marker-end="url(#tip)"/>'


def spread(boxes: list[Box], height: int) -> list[int]:
    """Where the boxes of a column begin, from the top edge to the bottom one."""
    free = height - sum(box.height for box in boxes)
    step = free / (len(boxes) - 1)
    return [round(sum(b.height for b in boxes[:i]) + i * step) for i in range(len(boxes))]


def column_height(boxes: list[Box]) -> int:
    return sum(box.height for box in boxes) + STEP * (len(boxes) - 1)


def diagram(model: config.Model, name: str) -> str:
    """The system as an SVG of its own, without fonts or anything else from elsewhere."""
    once, asked = columns(model)
    left, right = EDGE, EDGE + BOX + GAP
    inside = max(map(column_height, (once, asked)))
    width, height = 2 * (EDGE + BOX) + GAP, TOP + inside + EDGE
    parts = [
        f'<text x="{x + BOX // 2}" y="28" font-size="13" fill="{SOFT}">{text}</text>'
        for x, text in ((left, "once for a field"), (right, "for every question"))
    ]
    tops = {}
    for x, boxes in ((left, once), (right, asked)):
        starts = [TOP + y for y in spread(boxes, min(inside, column_height(boxes) + 14 * (len(boxes) - 1)))]
        tops[x] = starts
        for box, y, follows in zip(boxes, starts, [*starts[1:], None], strict=True):
            parts.append(box_svg(box, x, y))
            if follows is not None:
                middle = x + BOX // 2
                parts.append(arrow([(middle, y + box.height), (middle, follows - 2)]))
    reader = next(i for i, box in enumerate(asked) if box.reads)
    start = tops[left][-1] + once[-1].height / 2
    end = tops[right][reader] + asked[reader].height / 2
    between = left + BOX + GAP / 2
    parts.append(arrow([(left + BOX, start), (between, start), (between, end), (right - 2, end)]))
    tip = f'<marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="{SOFT}"/></marker>'  # noqa: E501
    body = "\n".join(parts)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" \
role="img" aria-label="{name}" text-anchor="middle" font-family="system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif">
<defs>{tip}</defs>
<rect width="{width}" height="{height}" rx="10" fill="{PAPER}"/>
{body}
</svg>
"""
