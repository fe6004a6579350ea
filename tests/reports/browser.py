"""A page in a real browser: what loads, what is said on the console, what is too wide or too small."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape, unescape

CHROMIUM = shutil.which("chromium")

# The page is shown in a frame of the width that is tested, since a window has a smallest width.
FRAME = """<!DOCTYPE html><body style="margin:0"><iframe id="f" style="border:0;width:{width}px;height:900px"
srcdoc="{page}"></iframe><pre id="check"></pre><script>
const frame = document.getElementById("f"), said = [];
frame.contentWindow.onerror = message => said.push(String(message));
frame.onload = () => {{
  const page = frame.contentDocument, root = page.documentElement;
  const small = [...page.querySelectorAll("p, li, td, th, figcaption, pre")]
    .filter(e => parseFloat(frame.contentWindow.getComputedStyle(e).fontSize) < 11).length;
  const wide = [...page.querySelectorAll("body *")].filter(e => !e.closest(".scroll, pre") &&
    e.getBoundingClientRect().right > root.clientWidth + 1).map(e => e.tagName);
  document.getElementById("check").textContent = JSON.stringify({{
    images: [...page.images].map(i => i.complete && i.naturalWidth > 0),
    shown: [...page.images].map(i => i.getBoundingClientRect().width),
    width: frame.contentWindow.innerWidth, inside: root.clientWidth, scroll: root.scrollWidth,
    small, wide, said,
    background: frame.contentWindow.getComputedStyle(page.body).backgroundColor,
  }});
}};
</script></body>"""


def browse(path, folder):
    """The page after it has loaded, and what was said on the console."""
    done = subprocess.run(
        [
            CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            f"--user-data-dir={folder / 'profile'}", "--no-first-run", "--enable-logging=stderr",
            "--v=0", "--virtual-time-budget=5000", "--window-size=1400,1000", "--dump-dom",
            path.resolve().as_uri(),
        ],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout, re.findall(r'CONSOLE[^"]*"(.*)", source', done.stderr)


def check(page, width, folder):
    path = folder / f"frame-{width}.html"
    path.write_text(FRAME.format(width=width, page=escape(page)), encoding="utf-8")
    dom, console = browse(path, folder)
    (text,) = re.findall(r'<pre id="check">(.+?)</pre>', dom, re.DOTALL)
    return json.loads(unescape(text)), console
