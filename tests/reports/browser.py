"""Pages in a real browser: what loads, what is said on the console, what is too wide, small or pale."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape
from typing import NamedTuple

CHROMIUM = shutil.which("chromium")


class Frame(NamedTuple):
    """A window that a page is shown in: its width in pixels, "light" or "dark"."""

    width: int
    scheme: str


FRAMES = tuple(Frame(width, scheme) for width in (1280, 400) for scheme in ("light", "dark"))

# Frames of the widths that are tested, since a window has a smallest width; a frame's page sees the
# colour scheme of the frame as the reader's preference.
SHELL = """<!DOCTYPE html><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<body style="margin:0">{frames}<pre id="check"></pre><script>
const parsed = text => {{
  const n = text.match(/[\\d.]+/g).map(Number);
  const scale = text.startsWith("color(") ? 255 : 1;
  return [scale * n[0], scale * n[1], scale * n[2], n[3] ?? 1];
}};
const over = (a, b) => [0, 1, 2].map(i => a[3] * a[i] + (1 - a[3]) * b[i]).concat(1);
const light = c => c.slice(0, 3).map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const inspect = frame => {{
  const window = frame.contentWindow, page = frame.contentDocument, root = page.documentElement;
  for (const each of page.querySelectorAll("details")) each.open = true;
  const all = [...page.querySelectorAll("body *")], style = e => window.getComputedStyle(e);
  const ground = e => e ? over(parsed(style(e).backgroundColor), ground(e.parentElement))
    : [255, 255, 255, 1];
  const contrast = e => {{
    const below = ground(e), [a, b] = [light(over(parsed(style(e).color), below)), light(below)];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  }};
  const spoken = all.filter(e => e.checkVisibility() &&
    [...e.childNodes].some(n => n.nodeType == 3 && n.data.trim()));
  const pale = spoken.map(e => [contrast(e), e.tagName + " " + e.textContent.slice(0, 30)])
    .filter(p => p[0] < 4.5);
  const small = [...page.querySelectorAll("p, li, td, th, figcaption, pre")]
    .filter(e => parseFloat(style(e).fontSize) < 11).length;
  const wide = all.filter(e => !e.parentElement.closest(".scroll") &&
    e.getBoundingClientRect().right > root.clientWidth + 1).map(e => e.tagName);
  const scrolling = [...page.querySelectorAll(".scroll")].filter(e => e.scrollWidth > e.clientWidth + 1);
  return {{
    images: [...page.images].map(i => i.complete && i.naturalWidth > 0),
    shown: [...page.images].map(i => i.getBoundingClientRect().width),
    width: window.innerWidth, inside: root.clientWidth, scroll: root.scrollWidth,
    small, wide, pale, spoken: spoken.length, said: frame.said, scrolling: scrolling.length,
    dumb: scrolling.filter(e => e.tabIndex != 0 || !e.getAttribute("aria-label"))
      .map(e => e.outerHTML.slice(0, 90)),
    first: scrolling.length ? scrolling[0].getBoundingClientRect() : null,
    dark: window.matchMedia("(prefers-color-scheme: dark)").matches,
    background: style(page.body).backgroundColor,
  }};
}};
const frames = [...document.querySelectorAll("iframe")];
for (const each of frames) {{
  each.said = [];
  each.contentWindow.onerror = message => each.said.push(String(message));
}}
onload = () => document.getElementById("check").textContent = JSON.stringify(frames.map(inspect));
</script></body>"""
FRAME = (
    '<iframe style="display:block;border:0;width:{width}px;height:900px;color-scheme:{scheme}"'
    ' srcdoc="{page}"></iframe>'
)


def chromium(path, folder, *words):
    """What the browser prints of a page, and what was said on the console."""
    done = subprocess.run(
        [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={folder / 'profile'}", "--no-first-run", "--enable-logging=stderr",
            "--v=0", "--virtual-time-budget=5000", "--window-size=1400,1000", *words,
            path.resolve().as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, re.findall(r'CONSOLE[^"]*"(.*)", source', done.stderr)


def browse(path, folder):
    """The page after it has loaded, and what was said on the console."""
    return chromium(path, folder, "--dump-dom")


def shell(page, frames, folder):
    """A file that shows the page in these frames, one below the other."""
    shown = [FRAME.format(width=f.width, scheme=f.scheme, page=escape(page)) for f in frames]
    path = folder / "frames.html"
    path.write_text(SHELL.format(frames="".join(shown)), encoding="utf-8")
    return path


def check(page, frames, folder):
    """What is seen of the page in each frame, and what was said on the console."""
    dom, console = browse(shell(page, frames, folder), folder)
    (text,) = re.findall(r'<pre id="check">(.+?)</pre>', dom, re.DOTALL)
    return json.loads(unescape(text)), console


def assert_readable(page, folder, images, frames=FRAMES):
    """A page is whole, quiet, narrow and dark enough in every frame, in light and in dark."""
    seen, console = check(page, frames, folder)
    assert console == []
    for frame, each in zip(frames, seen, strict=True):
        assert each["images"] == [True] * images
        assert each["said"] == each["wide"] == each["dumb"] == [], frame
        assert each["pale"] == [], frame
        assert each["spoken"] > 50
        assert each["width"] == frame.width
        assert each["scroll"] <= each["inside"], frame  # tables scroll inside their own frame
        assert each["small"] == 0
        assert each["dark"] == (frame.scheme == "dark")
        assert (each["background"] == "rgb(255, 255, 255)") == (frame.scheme == "light")
    return seen
