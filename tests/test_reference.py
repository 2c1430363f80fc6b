"""The reference: every public name has a docstring, says the shape of what it takes, and stands on a page of docs/api."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

import gridless as gl

PAGES = Path(__file__).parents[1] / "docs" / "api"
MODULES = ("bases", "config", "data", "metrics", "plots")
"""Each as a whole on a page."""
SHAPED = re.compile(r"\b(Float|Bool|Int|Int64|Shaped)\[")
SHAPE_IN_WORDS = re.compile(r"\(([*#]?[A-Za-z]+ ?)+\)|any shape|grid", re.I)


def exported() -> dict[str, object]:
    """Of the package and its public modules: names -> classes and functions. `gl.config.own` is `gl.own`."""
    names = {f"gl.{name}": getattr(gl, name) for name in gl.__all__}
    for module in MODULES:
        home = getattr(gl, module)
        public = getattr(home, "__all__", None) or [
            name for name, value in vars(home).items()
            if not name.startswith("_") and getattr(value, "__module__", None) == home.__name__
        ]  # fmt: skip
        names |= {f"gl.{module}.{name}": getattr(home, name) for name in public}
    return {name: value for name, value in names.items() if inspect.isclass(value) or inspect.isfunction(value)}


def methods(kind: type) -> dict[str, object]:
    found = {n: getattr(v, "__func__", v) for n, v in vars(kind).items() if not n.startswith("_")}
    return {name: value for name, value in found.items() if inspect.isfunction(value)}


EXPORTED = exported()


def documented(thing: object) -> bool:
    text = inspect.getdoc(thing) or ""
    generated = inspect.isclass(thing) and text.startswith(thing.__name__ + "(")  # what a dataclass writes itself
    return bool(text) and not generated


@pytest.mark.parametrize("name", EXPORTED)
def test_a_public_name_has_a_docstring(name):
    thing = EXPORTED[name]
    assert documented(thing)
    if inspect.isclass(thing):
        silent = [method for method in methods(thing) if not documented(getattr(thing, method))]
        assert silent == []


def without_shape(function) -> list[str]:
    """Parameters that are tensors or arrays, of which neither the type nor the docstring says a shape."""
    if SHAPE_IN_WORDS.search(inspect.getdoc(function) or ""):
        return []
    annotations = {p.name: str(p.annotation) for p in inspect.signature(function).parameters.values()}
    arrays = {name: text for name, text in annotations.items() if re.search(r"\bTensor\b|\bndarray\b", text)}
    return [name for name, text in arrays.items() if not SHAPED.search(text)]


@pytest.mark.parametrize("name", EXPORTED)
def test_what_takes_arrays_says_their_shape(name):
    thing = EXPORTED[name]
    functions = methods(thing) if inspect.isclass(thing) else {name: thing}
    wrong = {k: names for k, function in functions.items() if (names := without_shape(function))}
    known = {"gl.Field": {"answer", "gradient"}, "gl.GridSignal": {"at_cells"}}  # as of the parameters beside them
    assert wrong.keys() <= known.get(name, set())


def test_the_metrics_say_the_shape_of_what_they_compare():
    names = [name for name in EXPORTED if name.startswith("gl.metrics.")]
    assert len(names) > 8 and [n for n in names if not SHAPE_IN_WORDS.search(inspect.getdoc(EXPORTED[n]) or "")] == []


def on_pages() -> list[object]:
    """What the pages show: modules, classes and functions. Fails for what does not exist."""
    pages = "\n".join(page.read_text(encoding="utf-8") for page in PAGES.glob("*.md"))
    things = []
    for path in re.findall(r"^::: ([\w.]+)", pages, re.M):
        try:
            things.append(import_module(path))
        except ModuleNotFoundError:
            module, name = path.rsplit(".", 1)
            things.append(getattr(import_module(module), name))
    return things


def test_every_public_name_stands_on_a_page():
    shown = on_pages()
    assert all(getattr(gl, module) in shown for module in MODULES)
    assert [name for name, thing in EXPORTED.items() if name.count(".") == 1 and thing not in shown] == []
