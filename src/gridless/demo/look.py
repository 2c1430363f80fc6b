"""Colours, fonts and sizes of the page. Fonts are the machine's own: nothing is fetched from elsewhere."""

from gradio.themes import Base

CSS = """
.gradio-container {
  --font: system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  --font-mono: ui-monospace, Menlo, Consolas, monospace;
  max-width: 1180px !important; margin: 0 auto !important; padding: 20px 16px 48px !important;
}
.gradio-container, .gradio-container * { font-family: var(--font); }
.gradio-container code { font-family: var(--font-mono); }
#title h1 { font-size: 1.9rem; margin: 0; letter-spacing: -0.02em; }
#title p { margin: 2px 0 0; opacity: 0.75; }
.hint p { margin: 0; line-height: 1.5; opacity: 0.75; max-width: 100ch; }
#photo-shown, #sensors-status, #inside-text {
  border: 0; border-left: 3px solid var(--primary-500); border-radius: 0; padding: 2px 0 2px 12px !important;
  overflow: visible;
}
#photo-shown p, #sensors-status p, #inside-text p { margin: 0 0 6px; line-height: 1.5; }
label[data-testid="block-label"] {
  position: static; width: fit-content; border: 0; box-shadow: none; background: none; padding: 10px 12px 4px;
  font-size: 0.85rem;
}
label[data-testid="block-label"] > span { display: none; }
.drop button .wrap { min-height: 0; padding: 10px 0 14px; font-size: 0.9rem; line-height: 1.35; }
.drop .icon-wrap { display: none; }
[data-testid="status-tracker"]:has(.error) { display: none !important; }
.pixels img { image-rendering: pixelated; }
.click img { cursor: crosshair; }
footer { display: none !important; }
:focus-visible { outline: 2px solid var(--primary-500) !important; outline-offset: 2px; }
@media (max-width: 640px) {
  .gradio-container, .gradio-container > .main { padding: 6px !important; }
  #title h1 { font-size: 1.5rem; }
}
"""

SCRIPT = """
() => new MutationObserver(() =>
  document.querySelectorAll("[data-testid='imageslider-image']").forEach((image, i) => {
    if (!image.alt) image.alt = i % 2 ? "The field" : "Bicubic";
  })
).observe(document.body, { childList: true, subtree: true })
"""


def theme() -> Base:
    fonts = ["system-ui", "sans-serif"]
    return Base(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="slate",
        font=fonts,
        font_mono=["ui-monospace", "monospace"],
    ).set(
        body_background_fill="#f6f7f9",
        body_background_fill_dark="#0e1116",
        block_radius="12px",
        block_border_width="1px",
        block_shadow="none",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        slider_color="*primary_600",
    )
