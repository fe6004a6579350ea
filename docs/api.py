"""The reference: a page for every package, made from the docstrings of its public modules."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import typer
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.ext.autodoc import Options
from sphinx.ext.napoleon import Config, GoogleDocstring
from sphinx.util.nodes import make_refnode

import saddlepoint

ROOMS = (
    "threat",
    "model",
    "data",
    "zoo",
    "text",
    "attacks",
    "defences",
    "training",
    "evaluation",
    "testing",
    "studies",
    "reports",
    "lab",
    "reading",
    "cli",
)
"""The packages in the order of the architecture; what is not named here comes after them."""
FOLDER = Path("docs/api")
_COMMANDS = "saddlepoint.cli"
"""Its functions have the options of a command line for arguments; their help is what is read."""
_CODE = re.compile(r"(``.+?``|`[^`]+`)")
_SECTION = re.compile(r"\s*(Args|Attributes|Returns|Raises|Yields):\s*$")
_ITEM = re.compile(r"(\s+[\w*][\w*, ]*(?: \([^)]*\))?: )(.*)$")


def modules(package: ModuleType = saddlepoint) -> Iterator[str]:
    """Yield the names of a package and of all public modules in it."""
    yield package.__name__
    for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not any(part.startswith("_") for part in found.name.split(".")):
            yield found.name


def pages() -> dict[str, list[str]]:
    """Return the public modules by package, the package itself first, in the order of the rooms."""
    found: dict[str, list[str]] = {}
    for name in modules():
        package = hasattr(importlib.import_module(name), "__path__")
        found.setdefault(name if package else name.rpartition(".")[0], []).append(name)

    def place(package: str) -> tuple[int, str]:
        room = ([*package.split("."), ""])[1]
        return (ROOMS.index(room) if room in ROOMS else -1 if not room else len(ROOMS), package)

    return {package: found[package] for package in sorted(found, key=place)}


@cache
def public_names() -> dict[str, str]:
    """Return where each name that a room offers is documented, `PGD` and its full names; and those
    of what every room uses, such as `InputError`.
    """
    found: dict[str, str] = {}
    for package in pages():
        room = importlib.import_module(package)
        for name in getattr(room, "__all__", ()):
            thing = getattr(room, name)
            home = getattr(thing, "__module__", None)
            if not isinstance(home, str) or not home.startswith("saddlepoint"):
                home = next((m for m in modules() if name in members(m)), package)
            full = f"{home}.{getattr(thing, '__qualname__', name)}"
            found[f"{package}.{name}"] = full
            found.setdefault(name, full)
    for module in pages()["saddlepoint"]:
        for name in members(module):
            found.setdefault(name, f"{module}.{name}")
    return found


@cache
def members(module: str) -> list[str]:
    """Return what a module defines itself: its public functions and classes, and its data with a
    docstring, in their order.
    """
    source = Path(importlib.import_module(module).__file__ or "").read_text(encoding="utf-8")
    body = ast.parse(source).body
    found = []
    for statement, following in zip(body, [*body[1:], None], strict=True):
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            found.append(statement.name)
        elif isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            targets = getattr(statement, "targets", [getattr(statement, "target", None)])
            found += [each.id for each in targets if isinstance(each, ast.Name)]
    return [name for name in dict.fromkeys(found) if not name.startswith("_")]


def write_pages(app: Sphinx) -> None:
    """Write a page per package, and the list of them, where they differ from what is there."""
    folder = Path(app.srcdir) / FOLDER
    wanted = {"index.rst": _index(), "commands.rst": _commands()}
    for package, inside in pages().items():
        wanted[f"{package}.rst"] = _page(package, inside)
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        if old.name not in wanted:
            old.unlink()
    for name, text in wanted.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _title(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n\n"


def _index() -> str:
    text = _title("Reference", "=")
    text += (
        "Every public module, by room, from its docstrings. The examples are run by the tests.\n\n"
    )
    text += ".. toctree::\n   :maxdepth: 1\n\n"
    return text + "".join(f"   {page}\n" for page in ["commands", *pages()])


def _commands() -> str:
    """Return the help of every command."""
    program = typer.main.get_command(importlib.import_module(_COMMANDS).app)
    text = _title("Commands", "=") + "What ``--help`` says of each.\n\n"
    with click.Context(program, info_name="saddlepoint") as context:
        return text + "".join(_helps(program, context))


def _helps(command: click.Command, context: click.Context) -> Iterator[str]:
    name = context.command_path
    if not isinstance(command, click.Group):
        said = command.get_help(context).replace("\n", "\n   ")
        yield f"{_title(name, '-')}.. code-block:: text\n\n   {said}\n\n"
        return
    for each in command.list_commands(context):
        inner = command.get_command(context, each)
        if inner is not None:
            yield from _helps(inner, click.Context(inner, info_name=each, parent=context))


def _page(package: str, inside: list[str]) -> str:
    text = _title(package, "=")
    offered = list(getattr(importlib.import_module(package), "__all__", ()))
    text += _module(package)
    if offered:
        text += f"``from {package} import`` …\n\n"
        text += ".. hlist::\n   :columns: 3\n\n"
        for name in offered:
            text += f"   * :py:obj:`{name} <{public_names()[f'{package}.{name}']}>`\n"
        text += "\n"
    for module in inside[1:]:
        text += _title(module.removeprefix("saddlepoint."), "-") + _module(module)
    return text


def _module(name: str) -> str:
    inside = [] if name.startswith(_COMMANDS) else members(name)
    text = f".. automodule:: {name}\n"
    if not inside:
        return text + "   :no-members:\n\n"
    return text + f"   :members: {', '.join(inside)}\n\n"


def plain(app: Sphinx, what: str, name: str, obj: Any, options: Options, lines: list[str]) -> None:
    """Keep what our docstrings mean by `_`, `*` and `|` from being read as markup.

    Emphasis, code and doctests stay. Napoleon turns the sections into fields, but not those of
    data, where it would take what stands before a colon for a type.
    """
    section = ""
    lines[:] = list(_blocks(lines))
    literal = False
    for i, line in enumerate(lines):
        if line and not line[0].isspace():
            literal = line == "::"
        if literal:
            continue
        if found := _SECTION.match(line):
            section = found[1]
            # As napoleon's fields they would be links, to whatever has such a name elsewhere.
            lines[i] = f":{section}:" if section == "Attributes" else line
            continue
        if line.lstrip().startswith((">>>", "...")) or _in_doctest(lines, i):
            continue
        head = ""
        if section and line and not line[0].isspace():
            section = ""
        if section and (item := _ITEM.match(line)):
            head, line = item.groups()
            if section == "Attributes":
                head = re.sub(r"(\S.*):", r"* **\1**:", head)
        elif section == "Attributes" and line:
            head, line = "  ", line
        lines[i] = head + "".join(
            part if part.startswith("`") else _escaped(part) for part in _CODE.split(line)
        )
    if what in ("module", "class", "exception", "function", "method"):
        config = Config(napoleon_use_rtype=False)
        lines[:] = GoogleDocstring(lines, config, app, what, name, obj, options).lines()


def _blocks(lines: list[str]) -> Iterator[str]:
    """Yield lines with a `::` before what is set in columns, or apart as a formula is."""
    text = "\n".join(lines)
    section = False
    for block in re.split(r"\n{2,}", text):
        inside = block.split("\n")
        section = any(_SECTION.match(line) for line in inside) or (section and block[:1] == " ")
        doctest = inside[0].lstrip().startswith(">>>")
        columns = any(re.search(r"\S {2,}\S", line.partition(">>>")[0]) for line in inside)
        if not section and not doctest and (columns or block[:1] == " "):
            yield from ["::", "", *(f"    {line}" for line in inside), ""]
        else:
            yield from [*inside, ""]


def _in_doctest(lines: list[str], i: int) -> bool:
    """Whether a line is the output of the prompt above it."""
    while i >= 0 and lines[i].strip():
        if lines[i].lstrip().startswith(">>>"):
            return True
        i -= 1
    return False


def _escaped(text: str) -> str:
    text = re.sub(r"(?<=\w)_(?!\w)|_(?=\{)|\|", r"\\\g<0>", text.replace("\\", "\\\\"))
    # *word* is emphasis; every other star is one.
    return re.sub(r"\*(?!\w[^*]*\w?\*)(?<!\w\*)", r"\*", text)


def resolve_public(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element
) -> nodes.reference | None:
    """Link a name by which a room offers something to where it is documented."""
    full = public_names().get(node.get("reftarget", "").removesuffix("()"))
    objects = env.domains["py"].objects  # type: ignore[attr-defined]
    if full is None or full not in objects:
        return None
    found = objects[full]
    return make_refnode(app.builder, node["refdoc"], found.docname, found.node_id, content, full)


def link_code(app: Sphinx, tree: nodes.document) -> None:
    """Say in full what a name means in its module, and turn code on a page that is a public name,
    `PGD` or `evaluate`, into a link to it.
    """
    document = app.env.docname
    for link in tree.findall(pending_xref):
        module, name = link.get("py:module"), link["reftarget"].lstrip(".~")
        if link["refdomain"] == "py" and module and name.isidentifier():
            thing = getattr(importlib.import_module(module), name, None)
            home = getattr(thing, "__module__", None)
            if isinstance(home, str) and home.startswith("saddlepoint"):
                link["reftarget"] = f"{home}.{getattr(thing, '__qualname__', name)}"
                link["refspecific"] = False
    for literal in list(tree.findall(nodes.literal)):
        text = literal.astext()
        if text not in public_names() or isinstance(literal.parent, nodes.reference | pending_xref):
            continue
        if isinstance(literal.parent, nodes.title):
            continue
        link = pending_xref(
            "", literal.deepcopy(), refdomain="py", reftype="obj", reftarget=text,
            refexplicit=False, refwarn=False, refdoc=document,
        )  # fmt: skip
        literal.replace_self(link)


def link_folders(app: Sphinx, document: str, source: list[str]) -> None:
    """Let a link to a folder lead to its README; to a folder without one there is none."""
    here = (Path(app.srcdir) / document).parent

    def readme(match: re.Match[str]) -> str:
        text, folder, anchor = match.groups(default="")
        if (here / folder / "README.md").exists():
            return f"[{text}]({folder}README.md{anchor})"
        return text

    source[0] = re.sub(r"\[([^\]]+)\]\((?!\w+:)([^)#]*/)(#[^)]*)?\)", readme, source[0])


def setup(app: Sphinx) -> None:
    """Write the pages before the build, and make links while it goes on."""
    app.connect("source-read", link_folders)
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", plain)
    app.connect("missing-reference", resolve_public)
    app.connect("doctree-read", link_code)
