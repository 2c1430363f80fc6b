"""The pages of the systems say what the configs, the sources and the results say."""

from xml.etree import ElementTree

import pytest

import gridless as gl
from benchmarks import system_diagrams, system_pages

PAGES = sorted(system_pages.PAGES.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_is_what_its_sources_say(page):
    text = page.read_text(encoding="utf-8")
    assert text.count("<!-- end -->") == len(system_pages.MARK.findall(text)) > 0
    assert text == system_pages.filled(text)


def test_the_diagrams_are_those_of_the_presets():
    drawn = system_pages.drawings()
    assert {path: path.read_text(encoding="utf-8") for path in drawn} == drawn
    assert set(system_pages.IMAGES.glob("*.svg")) == set(drawn)
    for text in drawn.values():
        ElementTree.fromstring(text)


def test_every_preset_has_a_page_with_its_diagram_and_its_source():
    texts = "\n".join(page.read_text(encoding="utf-8") for page in PAGES if page.stem != "index")
    for name in system_pages.PRESETS:
        assert f"images/systems/{name}.svg" in texts and f"### [config/presets/{name}.toml]" in texts


def test_a_diagram_follows_its_config():
    deep = gl.preset("mamba-ginr", "tiny", encoder={"depth": 3, "tokens": {"count": 7}})
    drawn = system_diagrams.diagram(deep, "deep")
    assert "Bidirectional Mamba × 3" in drawn and "7 latents of width 32" in drawn
    with pytest.raises(TypeError, match="no boxes are drawn"):
        system_diagrams.encoder_boxes(object())
