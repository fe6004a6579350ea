"""The files that docs/extending.md shows, and a wheel of them."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
BLOCK = re.compile(r"^```\w+\n# (\S+\.(?:py|yaml|toml))\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files() -> dict[str, str]:
    return dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))


def write(folder: Path, *names: str) -> None:
    for name, text in files().items():
        if not names or name in names:
            (folder / name).write_text(text, encoding="utf-8")


def wheel(
    folder: Path, name: str, version: str, points: dict[str, dict[str, str]], **code: str
) -> Path:
    """A wheel, made by hand: a build would need the network."""
    base = name.replace("-", "_")
    path = folder / f"{base}-{version}-py3-none-any.whl"
    info = f"{base}-{version}.dist-info"
    lines = []
    for group, entries in points.items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in entries.items())]
    with zipfile.ZipFile(path, "w") as archive:
        for module, text in code.items():
            archive.writestr(f"{module}.py", text)
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/entry_points.txt", "\n".join(lines) + "\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


def documented_wheel(folder: Path) -> Path:
    """The wheel of the package that the page shows."""
    found = files()
    project = tomllib.loads(found["pyproject.toml"])["project"]
    code = {name.removesuffix(".py"): text for name, text in found.items() if name.endswith(".py")}
    return wheel(folder, project["name"], project["version"], project["entry-points"], **code)


def install(wheels: list[Path], site: Path) -> Path:
    """Install wheels into a folder of their own, as pip does."""
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--target", str(site), *map(str, wheels)], check=True)
    return site
