"""The tab of readings: click them onto a map or give a table, change their values, take the answer on a template."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import gradio as gr
import numpy as np

from gridless.demo import maps
from gridless.demo.files import download, new_folder
from gridless.demo.orders import LATEST, QUEUED
from gridless.demo.readings import Readings, columns_of, empty, invented, map_shape, read_readings, typed
from gridless.demo.refusals import receiving, refusing
from gridless.demo.templates import Template, read_template, regular, write_answer

NOTHING = "none"
INVENTED = "These readings are invented."


@dataclass(frozen=True, eq=False)
class Visit:
    """What one visitor has: readings, the file that they came from if there is one, and which of them is chosen."""

    readings: Readings
    table: str | None = None
    chosen: int | None = None
    note: str = ""


def sensors_tab() -> tuple[Callable[..., Any], list[Any]]:
    """The tab; what is to be called when the page is opened, and what that fills in."""
    visit = gr.State(None)
    gr.Markdown(
        "Click on the map to put a reading there, or on a reading to choose it; then drag its value. Mean and spread are "
        "those of the shipped model `sensors`, which learned from random fields alone.",
        elem_classes="hint",
    )
    with gr.Row():
        mean = gr.Image(
            label="Mean: click to put or choose a reading", interactive=False, buttons=[], format="png", min_width=300,
            elem_id="sensors-mean", elem_classes="click", alt_text="Map of the mean, with the readings as dots",
        )  # fmt: skip
        spread = gr.Image(
            label="Spread", interactive=False, buttons=[], format="png", min_width=300, elem_id="sensors-spread",
            alt_text="Map of one standard deviation, with the readings as rings",
        )  # fmt: skip
    status = gr.Markdown(elem_classes="status", elem_id="sensors-status")
    with gr.Row():
        with gr.Column(min_width=280):
            chosen = gr.Dropdown([NOTHING], value=NOTHING, label="Chosen reading", elem_id="sensors-chosen")
            value = gr.Slider(0, 1, 0, label="Its value", interactive=False, buttons=[], elem_id="sensors-value")
            with gr.Row():
                remove = gr.Button("Remove it", size="sm", elem_id="sensors-remove", min_width=90)
                clear = gr.Button("Empty map", size="sm", elem_id="sensors-empty", min_width=90)
                again = gr.Button("Example", size="sm", elem_id="sensors-example", min_width=90)
            table = gr.Dataframe(
                headers=["y", "x", "value"], datatype=["number", "number", "number"], column_count=3, type="array",
                interactive=True, label="Readings: edit, or add a row", max_height=300, elem_id="sensors-table", buttons=[],
            )  # fmt: skip
        with gr.Column(min_width=280):
            csv = gr.File(
                label="Readings from a table (CSV, up to 2 MB and 400 rows)", file_types=[".csv"], type="filepath",
                height=110, elem_id="sensors-csv", elem_classes="drop",
            )  # fmt: skip
            with gr.Row():
                y, x, name = (
                    gr.Dropdown(
                        [], label=f"Column of {label}", min_width=80, elem_id=f"sensors-column-{label}", visible=False
                    )
                    for label in ("y", "x", "value")
                )
            template = gr.File(
                label="Template for the answer (NetCDF, up to 20 MB)", file_types=[".nc", ".nc4", ".cdf", ".netcdf"],
                type="filepath", elem_id="sensors-template", elem_classes="drop",
            )  # fmt: skip
            make = gr.Button("Download mean and spread (NetCDF)", variant="primary", elem_id="sensors-make")
    taken = download("sensors-taken")

    drawn = [visit, mean, spread, status]
    everything = [*drawn, chosen, value, table]
    mean.select(refusing(clicked), visit, everything, **QUEUED)
    value.input(refusing(revalued), [visit, chosen, value], [*drawn, table], **LATEST)
    chosen.input(refusing(choose), [visit, chosen], everything, **LATEST)
    table.input(refusing(edited), [visit, table], [*drawn, chosen, value], **LATEST)
    remove.click(refusing(removed), visit, everything, **QUEUED)
    clear.click(refusing(emptied), visit, everything, **QUEUED)
    again.click(refusing(example), None, everything, **QUEUED)
    csv.upload(receiving(given, 10), [visit, csv], [*everything, y, x, name, csv], **QUEUED)
    for column in (y, x, name):
        column.input(refusing(regiven), [visit, y, x, name], everything, **LATEST)
    template.upload(receiving(templated, 7), [visit, template, y, x, name], [*everything, template], **QUEUED)
    made = make.click(
        refusing(answered), visit, taken, concurrency_id="files", concurrency_limit=1, api_visibility="private",
        show_progress_on=make,
    )  # fmt: skip
    made.success(None, js="() => document.querySelector('#sensors-taken').click()")
    return refusing(first), [[visit], everything]


def draw(visit: Visit) -> tuple[Any, ...]:
    """The visit, both maps, and a line about them."""
    readings, answer = visit.readings, maps.answer(visit.readings)
    pictures = [maps.draw(readings, answer, what, visit.chosen) for what in ("mean", "spread")]
    return visit, *pictures, line_of(visit, answer)


def line_of(visit: Visit, answer: maps.Answer | None) -> str:
    readings, unit = visit.readings, visit.readings.quantity.unit
    parts = [visit.note] if visit.note else []
    if answer is None:
        parts.append((readings.wanting() or "").capitalize() + ".")
    else:
        numbers = [f"{n:.4g}" for part in (answer.mean, answer.spread) for n in (part.min(), part.max())]
        parts.append(
            f"{len(readings)} readings. Mean {numbers[0]} … {numbers[1]}, spread {numbers[2]} … {numbers[3]} {unit}".rstrip()
            + " (one standard deviation of the field)."
        )
    if readings.template is not None:
        parts.append(f"The map is that of the template and the readings: `{readings.template.name[:60]}`.")
    return " ".join(parts)


def everything(visit: Visit) -> tuple[Any, ...]:
    """What `draw` gives, and the controls of the chosen reading, and the table."""
    return *draw(visit), *controls(visit), table_of(visit.readings)


def controls(visit: Visit) -> tuple[Any, Any]:
    """The list of readings, and the slider of the chosen one's value."""
    rows = visit.readings.rows
    names = [NOTHING, *(f"{i}: {row[0]:.4g}, {row[1]:.4g}" for i, row in enumerate(rows, 1))]
    if visit.chosen is None:
        return gr.Dropdown(names, value=NOTHING), gr.Slider(interactive=False)
    values, here = rows[:, 2], float(rows[visit.chosen, 2])
    low, high = float(values.min()), float(values.max())
    room = 0.5 * (high - low) or max(abs(high), 1.0)
    step = float(10 ** np.floor(np.log10((high - low + 2 * room) / 200)))
    low, high = (
        float(f"{whole * step:.8g}") for whole in (np.floor((low - room) / step), np.ceil((high + room) / step))
    )
    return gr.Dropdown(names, value=names[visit.chosen + 1]), gr.Slider(low, high, here, step=step, interactive=True)


def table_of(readings: Readings) -> Any:
    """Headers are the visitor's own words, cut where they are long."""
    names = [str(name)[:40] for name in (*readings.domain.names, readings.quantity.name or "value")]
    return gr.Dataframe([[float(f"{n:.8g}") for n in row] for row in readings.rows] or [[None] * 3], headers=names)


def example() -> tuple[Any, ...]:
    return everything(Visit(invented(), note=INVENTED))


def first(visit: Visit | None) -> Any:
    """The example, for a visitor who has nothing yet."""
    return example() if visit is None else [gr.skip()] * 7


def emptied(visit: Visit) -> tuple[Any, ...]:
    return everything(Visit(empty(visit.readings.template)))


def clicked(visit: Visit, at: gr.SelectData) -> tuple[Any, ...]:
    """A reading that is near is chosen; else one is put there, with the value that the field has there."""
    readings = visit.readings
    place = maps.frame_of(readings).place(*at.index)
    if place is None:
        return everything(visit)
    y, x = (float(f"{axis.start + axis.length * u:.5g}") for axis, u in zip(readings.domain.axes, place, strict=True))
    if (near := readings.near(y, x)) is not None:
        return everything(replace(visit, chosen=near))
    return everything(
        replace(visit, readings=readings.added(y, x, usual(readings, y, x)), chosen=len(readings), note="")
    )


def usual(readings: Readings, y: float, x: float) -> float:
    """What the field says at a place, to three digits; where it says nothing yet, the mean of what there is, or 1."""
    if readings.wanting() is not None:
        return float(f"{readings.rows[:, 2].mean():.3g}") if len(readings) else 1.0
    at = {name: np.array([n]) for name, n in zip(readings.domain.names, (y, x), strict=True)}
    return float(f"{float(readings.field()(at)):.3g}")


def revalued(visit: Visit, name: str, value: float) -> Any:
    """The chosen reading has another value. The name is that of the reading whose value the slider holds: where another was
    chosen since, the drag is too late and changes nothing."""
    if visit.chosen is None or index_of(name) != visit.chosen:
        return [gr.skip()] * 5
    visit = replace(visit, readings=visit.readings.revalued(visit.chosen, value))
    return *draw(visit), table_of(visit.readings)


def choose(visit: Visit, name: str) -> tuple[Any, ...]:
    return everything(replace(visit, chosen=index_of(name)))


def index_of(name: str) -> int | None:
    """Which reading the list calls so."""
    return None if name == NOTHING else int(name.split(":")[0]) - 1


def removed(visit: Visit) -> tuple[Any, ...]:
    if visit.chosen is None:
        raise ValueError("no reading is chosen; click on one, or take it from the list")
    return everything(replace(visit, readings=visit.readings.without(visit.chosen), chosen=None))


def edited(visit: Visit, rows: list[list[object]]) -> tuple[Any, ...]:
    """The table as it stands now."""
    numbers, unfinished = typed(rows)
    note = f"{unfinished} row{'s' if unfinished > 1 else ''} not complete and left out." if unfinished else ""
    visit = replace(visit, readings=visit.readings.with_rows(numbers), chosen=None, note=note)
    return *draw(visit), *controls(visit)


def given(visit: Visit, path: str) -> tuple[Any, ...]:
    """The readings of a CSV, in columns that are guessed by their names."""
    names, guess = columns_of(path)
    columns = [gr.Dropdown(names, value=name, visible=True, interactive=True) for name in guess]
    return *everything(of_table(path, *guess, visit.readings.template)), *columns


def regiven(visit: Visit, y: str, x: str, value: str) -> tuple[Any, ...]:
    """The same CSV, other columns."""
    if visit.table is None:
        raise ValueError("no table yet; drop a CSV")
    return everything(of_table(visit.table, y, x, value, visit.readings.template))


def of_table(path: str, y: str, x: str, value: str, template: Template | None) -> Visit:
    readings, without = read_readings(path, y, x, value, template)
    some = f"{without:,} rows have" if without > 1 else "1 row has"
    return Visit(readings, path, note=f"{some} no {value[:40]}, left out." if without else "")


def templated(visit: Visit, path: str, y: str, x: str, value: str) -> tuple[Any, ...]:
    """The map becomes that of the template; a CSV's readings stay, others do not lie on it and go."""
    template = read_template(path)
    if visit.table is None:
        return everything(Visit(empty(template)))
    return everything(of_table(visit.table, y, x, value, template))


def answered(visit: Visit) -> str:
    """The file of the answer: on the template, or on the cells of the map."""
    readings = visit.readings
    grid = regular(readings.domain, map_shape(readings.domain)) if readings.template is None else readings.template.grid
    return str(write_answer(readings.field(), grid, new_folder() / "gridless-answer.nc"))
