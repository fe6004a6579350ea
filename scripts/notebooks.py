"""Execute the notebooks of examples/ and keep their outputs: python scripts/notebooks.py [FILE…]."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples/notebooks").glob("*.ipynb"))


def executed(path: Path, folder: Path) -> Any:
    """Return the notebook at `path` with the outputs of a run in `folder`.

    Raises `SystemExit` where the extra is missing, `CellExecutionError` where a cell fails.
    """
    try:
        import ipykernel  # noqa: F401
        import nbformat
        from nbclient import NotebookClient
    except ModuleNotFoundError as error:
        raise SystemExit(
            f"{error.name} is not installed; notebooks need an extra: pip install '.[notebooks]'"
        ) from None
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    for cell in notebook.cells:  # when a cell ran is nobody's business, and a change at every run
        cell.metadata.pop("execution", None)
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


def main() -> None:
    """Execute what is named, or all, in place."""
    for path in [Path(name) for name in sys.argv[1:]] or NOTEBOOKS:
        notebook = executed(path, path.parent)
        import nbformat

        nbformat.write(notebook, path)
        print(path)


if __name__ == "__main__":
    main()
