"""Tables of the site in a real browser: one that is wider than a narrow window shows that it scrolls."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image
from reports.browser import CHROMIUM, Frame, chromium, shell

from scripts import ROOT

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

PAGE = """<!DOCTYPE html><meta charset="utf-8"><style>
:root {{ --color-background-primary: #fff; --color-foreground-primary: #000; }}
@media (prefers-color-scheme: dark) {{
  :root {{ --color-background-primary: #131416; --color-foreground-primary: #cfd0d0; }} }}
body {{ margin: 0; background: var(--color-background-primary); }}
{css}</style>
<div class="content"><div class="table-wrapper container" style="height:200px">
<table><tr><td style="min-width:{width}px">…</td></tr></table></div></div>"""


def test_a_table_of_the_site_has_a_shadow_where_there_is_more(tmp_path):
    css = (ROOT / "docs/_static/tables.css").read_text(encoding="utf-8")
    edges = {}
    for width in (100, 1000):
        page = PAGE.format(css=css, width=width)
        path = shell(page, [Frame(400, "light"), Frame(400, "dark")], tmp_path)
        seen = tmp_path / "seen.png"
        chromium(path, tmp_path, f"--screenshot={seen}", "--window-size=500,1900")
        picture = np.asarray(Image.open(seen).convert("L")).astype(float)
        for scheme, y in (("light", 0), ("dark", 900)):
            rows = picture[y + 60 : y + 150]
            edges[width, scheme] = np.median(rows[:, 396:399]) - np.median(rows[:, 330:340])
    assert edges[100, "light"] == edges[100, "dark"] == 0
    assert edges[1000, "light"] < -20
    assert edges[1000, "dark"] > 20
