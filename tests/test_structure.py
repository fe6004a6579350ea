"""What holds for the package as a whole: the order of imports, late torch, examples, file sizes."""

from __future__ import annotations

import ast
import doctest
import functools
import graphlib
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import saddlepoint

SOURCE = Path(saddlepoint.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

# From left to right; a module imports from its own room and from those with a smaller number.
# `configuration` and `run_folders` belong to everybody; so do `streams` and `checks`.
ORDER = {
    "errors": 0, "scalars": 0, "files": 1, "reading": 1, "configuration": 1, "streams": 1, "checks": 1,
    "progress": 1, "answers": 1, "counts": 1, "numerics": 1, "tables": 1,
    "document": 2, "locks": 2, "run_folders": 2, "option_values": 2, "plugins": 2,
    "threat": 3, "model": 3, "data": 3,
    "zoo": 4, "text": 5, "attacks": 6, "objectives": 7, "defences": 8, "training": 9, "evaluation": 10,
    "studies": 11, "testing": 11, "reports": 12, "lab": 13, "demo": 13, "cli": 14, "__main__": 15,
}  # fmt: skip


def room(path):
    first = path.relative_to(SOURCE).parts[0].removesuffix(".py")
    return None if first == "__init__" else first


@functools.cache
def tree(path):
    """The syntax of a file, which many tests look through: no test may change it."""
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def nodes(path):
    """All nodes of a file, in the order of `ast.walk`."""
    return tuple(ast.walk(tree(path)))


@pytest.fixture(autouse=True, scope="module")
def _trees_are_forgotten():
    """A million nodes would slow the collection of garbage of all tests that come after these."""
    yield
    tree.cache_clear()
    nodes.cache_clear()


def named(path):
    """How a file is called in a failure: from the package on."""
    return str(path.relative_to(SOURCE))


def imported(path):
    """The rooms of saddlepoint that a file imports, wherever in it, type checking included."""
    found = set()
    for node in nodes(path):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: a relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "saddlepoint" and len(parts) > 1:
                found.add(parts[1])
    return found - {"__version__"}


def test_every_room_has_its_place():
    assert {room(path) for path in FILES} - {None} <= set(ORDER)


def test_imports_go_one_way():
    wrong = []
    for path in FILES:
        here = room(path)
        # The package itself imports nothing.
        least = -1 if here is None else ORDER[here]
        wrong += [
            f"{named(path)} imports {other}, which is to its right"
            for other in imported(path) - {here}
            if ORDER[other] > least
        ]
    assert wrong == []


def test_rooms_that_share_a_number_do_not_import_each_other_in_a_circle():
    edges = {}
    for path in FILES:
        here = room(path)
        if here is not None:
            edges.setdefault(here, set()).update(imported(path) - {here})

    def reaches(start, goal, seen):
        return any(
            each == goal or (each not in seen and reaches(each, goal, seen | {each}))
            for each in edges.get(start, ())
        )

    assert [each for each in edges if reaches(each, each, {each})] == []


def modules(path, known):
    """The files that a file imports, at the top, in functions, and for types alone."""
    for node in nodes(path):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            while name and name not in known:  # a name in a module
                name = name.rpartition(".")[0]
            if name:
                yield name


def test_no_two_modules_import_each_other_in_a_circle():
    parts = {path: path.relative_to(SOURCE.parent).with_suffix("").parts for path in FILES}
    known = {".".join(p for p in parts[path] if p != "__init__"): path for path in FILES}
    edges = {name: set(modules(path, known)) - {name} for name, path in known.items()}
    graphlib.TopologicalSorter(edges).prepare()  # which raises CycleError, with the circle


def test_nobody_imports_the_command_line():
    for path in FILES:
        if room(path) not in ("cli", "__main__"):
            assert "cli" not in imported(path), path


LATE = """
import sys
{}
heavy = [name for name in ("torch", "numpy", "scipy", "matplotlib", "pyarrow") if name in sys.modules]
print("loaded:", heavy)
"""


@pytest.mark.parametrize(
    "code",
    [
        "import saddlepoint",
        "from saddlepoint.cli import run; assert run(['--help']) == 0",
        "from saddlepoint.cli import run; assert run(['train', '--help']) == 0",
        "from saddlepoint.cli import run; assert run(['evaluate', '--help']) == 0",
        "from saddlepoint.cli import run; assert run(['--version']) == 0",
    ],
)
def test_torch_is_imported_only_when_it_is_needed(code):
    done = subprocess.run(
        [sys.executable, "-c", LATE.format(code)], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "loaded: []"


def test_the_installed_command_shows_its_help():
    command = Path(sys.executable).with_name("saddlepoint")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    assert "Usage: saddlepoint" in done.stdout
    assert all(name in done.stdout for name in ("train", "attack", "evaluate", "demo"))


def test_files_are_short_and_finished():
    wrong = []
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        if (lines := len(text.splitlines())) >= 300:
            wrong.append(f"{named(path)} has {lines} lines")
        words = [w for w in ("NotImplementedError", "TODO", "FIXME", "XXX") if w in text]
        wrong += [f"{named(path)} has the word {word}" for word in words]
        if room(path) not in ("cli", "__main__"):
            calls = [node for node in nodes(path) if isinstance(node, ast.Call)]
            names = [node.func.id for node in calls if isinstance(node.func, ast.Name)]
            if "print" in names:
                wrong.append(f"{named(path)} prints")
    assert wrong == []


def packages():
    names = [m.name for m in pkgutil.iter_modules([str(SOURCE)], "saddlepoint.") if m.ispkg]
    return [name for name in names if name != "saddlepoint.cli"]


def public():
    for package in packages():
        module = importlib.import_module(package)
        for name in module.__all__:
            value = getattr(module, name)
            alias = getattr(value, "__module__", "typing") == "typing"
            if not alias and (inspect.isclass(value) or inspect.isfunction(value)):
                yield f"{package}.{name}", value
    rooms = (
        "errors",
        "files",
        "configuration",
        "streams",
        "checks",
        "answers",
        "counts",
        "document",
        "locks",
        "option_values",
        "tables",
    )
    for name in (*rooms, "run_folders", "demo"):
        module = importlib.import_module(f"saddlepoint.{name}")
        for key, value in vars(module).items():
            mine = getattr(value, "__module__", None) == module.__name__
            if mine and callable(value) and not key.startswith("_"):
                yield f"{name}.{key}", value


def test_every_public_name_has_an_example_that_runs():
    parser, without, checked = doctest.DocTestParser(), [], 0
    for name, value in public():
        checked += 1
        parsed = parser.get_examples(inspect.getdoc(value) or "")
        skipped = any(example.options.get(doctest.SKIP) for example in parsed)
        # `--doctest-modules` runs the examples of every module under src, this one's among them.
        if not parsed or skipped or not value.__module__.startswith("saddlepoint."):
            without.append(name)
    assert without == []
    assert checked > 300


def test_rooms_are_found_by_name_and_others_are_not():
    assert saddlepoint.threat.__name__ == "saddlepoint.threat"
    assert {"threat", "evaluation", "lab", "__version__"} <= set(dir(saddlepoint))
    with pytest.raises(AttributeError, match="no attribute 'thread'"):
        saddlepoint.thread  # noqa: B018


ATTACKS = SOURCE / "attacks"


def attack_room(path):
    """The folder of a file inside `attacks`, or its own name at the top."""
    parts = path.relative_to(ATTACKS).parts
    return parts[-2] if len(parts) > 1 else parts[0].removesuffix(".py")


def attack_files():
    return [path for path in sorted(ATTACKS.rglob("*.py")) if path.name != "__init__.py"]


def attacks_imported(path):
    """The modules below `saddlepoint.attacks` that a file imports, as paths."""
    found = set()
    for node in nodes(path):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "saddlepoint.attacks."
        ):
            found.add(SOURCE.joinpath(*node.module.split(".")[1:]).with_suffix(".py"))
    return found


def defines_an_attack(path):
    """Say whether a file has a class of one of the two kinds."""
    bases = {"FixedBudget", "MinimumNorm", "Wrapper"}
    classes = [node for node in tree(path).body if isinstance(node, ast.ClassDef)]
    return any(isinstance(b, ast.Name) and b.id in bases for each in classes for b in each.bases)


def test_only_wrappers_import_attacks():
    wrong = []
    for path in attack_files():
        here, imports = attack_room(path), attacks_imported(path)
        if here not in ("wrappers", "registry"):
            wrong += [(named(path), named(other)) for other in imports if defines_an_attack(other)]
        if here == "geometry":
            wrong += [
                (named(path), named(other)) for other in imports if attack_room(other) != here
            ]
    assert wrong == []


def test_the_attacks_have_few_rooms_on_few_levels():
    below = {}
    for path in attack_files():
        here = attack_room(path)
        below.setdefault(here, set()).update(attack_room(o) for o in attacks_imported(path))
        below[here].discard(here)

    def level(room):
        return 1 + max((level(other) for other in below[room]), default=0)

    assert len(below) <= 8
    assert max(level(room) for room in below) <= 6


OWNED = {
    "attacks/core/tracker.py": {"images", "distance", "margin"},
    "model/ledger.py": {"forwards", "backwards"},
}


def test_state_is_written_by_its_owner():
    """Tensors of a tracker and counters of a guard: nobody else assigns to them or into them."""
    wrong = [line for path in FILES for line in foreign_writes(path)]
    assert wrong == []


def foreign_writes(path):
    """The lines of a file that write to what another file owns."""
    name = named(path)
    foreign = set().union(*(names for owner, names in OWNED.items() if owner != name))
    for node in nodes(path):
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets if isinstance(node, ast.Assign | ast.AugAssign) else ():
            for each in target.elts if isinstance(target, ast.Tuple) else [target]:
                inner = each.value if isinstance(each, ast.Subscript) else each
                if not isinstance(inner, ast.Attribute) or inner.attr not in foreign:
                    continue
                if not (isinstance(inner.value, ast.Name) and inner.value.id == "self"):
                    yield f"{name}:{node.lineno} writes .{inner.attr} of something else"


def test_random_streams_have_names():
    """Whoever splits off a stream, or makes keys of one, says which by its name in the table."""
    for path in FILES:
        for node in nodes(path):
            if not isinstance(node, ast.Call) or path.name == "streams.py":
                continue
            called = ast.unparse(node.func)
            stream = node.args[2:3] if called == "Keys" else []
            if called.endswith("keys.split"):
                stream = node.args
            assert all("Stream." in ast.unparse(each) for each in stream), f"{path}:{node.lineno}"


def test_an_attack_says_what_it_is_and_a_wrapper_takes_one_first():
    from saddlepoint.attacks import registry
    from saddlepoint.attacks.wrappers.wrapper import Wrapper

    for info in registry.ATTACKS.values():
        assert info.paper
        assert info.cost
        assert info.norms
    wrappers = Wrapper.__subclasses__()
    assert len(wrappers) >= 6
    for each in wrappers:
        assert next(iter(inspect.signature(each).parameters)) == "attack"
        assert not hasattr(importlib.import_module("saddlepoint.attacks"), each.__name__.lower())


def test_no_override_is_forced():
    for path in FILES:
        assert "type: ignore[override]" not in path.read_text(encoding="utf-8"), path
