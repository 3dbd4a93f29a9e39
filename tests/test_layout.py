"""The architecture: who imports whom."""

import ast

import pytest
from conftest import ROOT

# Each module may import those before it, and itself.
LAYERS = [
    {"types", "files", "progress", "digest", "arithmetic", "cores", "memory", "devices", "processes"},
    {"norms", "losses", "conv", "pool", "convert"},
    {"linen", "nnx"},
    {"adapters"},
    {"models"},
    {"objective", "data"},
    {"train"},
    {"checkpoint", "records"},
    {"sweep"},
]
PROBES = {"probes", "theory"}
# Draws what probes return; nothing in bnjax imports it.
DRAW = "draw"
# What experiments import once their command line is parsed.
DEFERRED = tuple(f"experiments._{part}" for part in ("training", "theory", "probes", "numbers", "figures"))
FOREIGN = {"tyro", "experiments"}
DRAWING = {"matplotlib", "mpl_toolkits"}
FILES = sorted((ROOT / "bnjax").rglob("*.py"))
EXPERIMENTS = sorted((ROOT / "experiments").glob("*.py"))
COMMAND = sorted((ROOT / "experiments" / "_command").glob("*.py"))


def imports(path, top_level=False):
    """List the modules that a file imports, anywhere or at its top level."""
    tree = ast.parse(path.read_text())
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "bnjax":
            yield from (f"bnjax.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "experiments":
            yield from (f"experiments.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module


def imports_at_start(node):
    """List the modules that are imported with a file: not those in functions, nor for the type checker alone."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield child.module
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            yield from imports_at_start(ast.Module(child.orelse, []))
        elif not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports_at_start(child)


def part(module):
    """Name the part of bnjax that a module belongs to."""
    return module.split(".")[1]


def rank(name):
    """Return the number of a part's layer."""
    return next(i for i, layer in enumerate(LAYERS) if name in layer)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    """Parts of bnjax import only what stands before them; probes the first layer alone, and drawings that and probes."""
    own = path.relative_to(ROOT / "bnjax").parts[0].removesuffix(".py")
    inner = {part(name) for name in imports(path) if name.startswith("bnjax.")} - {own}
    outer = {name.split(".")[0] for name in imports(path)}
    assert not outer & FOREIGN
    if own in PROBES:
        assert inner <= LAYERS[0]
    elif own == DRAW:
        assert inner <= LAYERS[0] | PROBES
    elif own != "__init__":
        assert all(rank(name) < rank(own) for name in inner), f"{own} imports {inner}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_matplotlib_is_imported_when_something_is_drawn(path):
    """Only bnjax.draw imports it, and only in functions."""
    at_all, at_start = imports(path), imports_at_start(ast.parse(path.read_text()))
    is_drawing = path.is_relative_to(ROOT / "bnjax" / DRAW)
    assert not {name.split(".")[0] for name in (at_start if is_drawing else at_all)} & DRAWING


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.name)
def test_experiments_stand_alone(path):
    """An experiment imports bnjax and what experiments share, never another one."""
    others = [name for name in imports(path) if name.startswith("experiments.")]
    assert all(name.split(".")[1].startswith("_") for name in others)


@pytest.mark.parametrize("path", [*EXPERIMENTS, *COMMAND], ids=lambda path: path.name)
def test_the_command_line_answers_before_jax_is_there(path):
    """What is imported to parse a command line imports nothing heavy."""
    heavy = {"jax", "bnjax", "flax", "numpy", "matplotlib"}
    assert not {name.split(".")[0] for name in imports(path, top_level=True)} & heavy
    assert not [name for name in imports(path, top_level=True) if name.startswith(DEFERRED)]
