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
# What experiments import once their command line is parsed.
DEFERRED = tuple(f"experiments._{part}" for part in ("training", "theory", "probes", "numbers", "figures"))
HEAVY = {"matplotlib", "tyro", "experiments"}
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


def part(module):
    """Name the part of bnjax that a module belongs to."""
    return module.split(".")[1]


def rank(name):
    """Return the number of a part's layer."""
    return next(i for i, layer in enumerate(LAYERS) if name in layer)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    """Parts of bnjax import only what stands before them, and probes nothing but its first layer."""
    own = path.relative_to(ROOT / "bnjax").parts[0].removesuffix(".py")
    inner = {part(name) for name in imports(path) if name.startswith("bnjax.")} - {own}
    outer = {name.split(".")[0] for name in imports(path)}
    assert not outer & HEAVY
    if own in PROBES:
        assert inner <= LAYERS[0]
    elif own != "__init__":
        assert all(rank(name) < rank(own) for name in inner), f"{own} imports {inner}"


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
