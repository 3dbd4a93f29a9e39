"""The architecture: who imports whom, and that each quantity has one definition."""

import ast
import importlib
import itertools
from dataclasses import replace
from graphlib import TopologicalSorter

import pytest
from committed import RUN, read
from conftest import ROOT

from experiments._command import catalogue
from experiments._evidence.quantities import TEST_ACCURACY
from experiments._evidence.quantity import Quantity
from experiments._evidence.verdict import judge

# Each part of bnjax may import those in the rows before it, and itself.
LAYERS = [
    {"types", "_host"},
    {"adapters"},
    {"norms", "losses", "ops", "convert", "probes", "theory"},
    {"linen", "nnx", "draw"},
    {"models", "objective", "data"},
    {"train", "runs"},
    {"sweep"},
]
# So it is with experiments, whose subjects stand between figures and the command line.
EXPERIMENT_LAYERS = [
    {"_nets", "_config"},
    {"_presets", "_evidence"},
    {"_figures", "_training"},
    {"SUBJECT"},
    {"_command"},
    {"benchmarks"},
    {"_report"},
    {"__main__"},
]
# What gets functions and parameters imports no model, layer or data set.
BARE = {"probes", "theory"}
# What is imported before a command line is parsed.
LIGHT = [
    "__init__.py",
    "__main__.py",
    "_nets.py",
    "_presets.py",
    "_evidence/__init__.py",
    "_evidence/keep.py",
]
LIGHT += ["*/__init__.py", "_command/*.py", "_config/*.py"]
HEAVY = {"jax", "bnjax", "flax", "numpy", "matplotlib"}
LIGHT_OF_BNJAX = {"bnjax.models.shapes", "bnjax._host.output"}
DEFERRED = ("experiments._figures.", "experiments._training.experiment", "experiments._training.train")
BNJAX = sorted((ROOT / "bnjax").rglob("*.py"))
EXPERIMENTS = sorted((ROOT / "experiments").rglob("*.py"))
FILES = [*BNJAX, *EXPERIMENTS]


def module_of(path):
    """Return the name under which a file is imported."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}


def imports(path, top_level=False):
    """List the modules that a file imports: anywhere, also inside functions, or at its top level."""
    tree = ast.parse(path.read_text())
    for node in tree.body if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


def ours(path):
    """List the files of the project that a file imports, besides itself and the packages that it stands in."""
    return {name for name in imports(path) if name in MODULES} - {module_of(path)}


def part(module):
    """Name the part of a package that a module belongs to."""
    return [*module.split("."), "__init__"][1]


def rank(layers, name):
    """Return the number of a part's layer; a package without an underscore is a subject."""
    known = set().union(*layers)
    return next(i for i, layer in enumerate(layers) if (name if name in known else "SUBJECT") in layer)


def cycle(graph):
    """Return a circle in a graph, if there is one."""
    try:
        TopologicalSorter(graph).prepare()
    except ValueError as error:
        return error.args[1]
    return None


@pytest.mark.parametrize("path", BNJAX, ids=lambda path: module_of(path))
def test_imports_of_bnjax_go_one_way(path):
    """Parts of bnjax import only what stands before them; probes and theories import the first row alone."""
    own = part(module_of(path))
    inner = {part(name) for name in imports(path) if name.startswith("bnjax.")} - {own}
    outer = {name.split(".")[0] for name in imports(path)}
    assert not outer & {"tyro", "experiments"}
    if own in BARE:
        assert inner <= LAYERS[0]
    elif own not in ("__init__", "draw"):
        assert all(rank(LAYERS, name) < rank(LAYERS, own) for name in inner), f"{own} imports {inner}"


@pytest.mark.parametrize("path", BNJAX, ids=lambda path: module_of(path))
def test_pictures_are_drawn_in_one_folder(path):
    """Only `bnjax.draw` imports matplotlib, and only inside functions; nothing in bnjax imports it."""
    names = set(imports(path))
    if part(module_of(path)) == "draw":
        inner = {part(name) for name in names if name.startswith("bnjax.")} - {"draw"}
        assert inner <= LAYERS[0] | {"probes"}
        assert not {name.split(".")[0] for name in imports(path, top_level=True)} & {"matplotlib"}
    else:
        assert not {name.split(".")[0] for name in names} & {"matplotlib"}
        assert part(module_of(path)) == "__init__" or not [name for name in names if name.startswith("bnjax.draw")]


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: module_of(path))
def test_imports_of_experiments_go_one_way(path):
    """A subject imports bnjax and what subjects share, never another subject; what they share imports no subject."""
    own = part(module_of(path))
    inner = {part(name) for name in imports(path) if name.startswith("experiments.")} - {own}
    ranks = {name: rank(EXPERIMENT_LAYERS, name) for name in inner}
    assert all(place < rank(EXPERIMENT_LAYERS, own) for place in ranks.values()) or own == "__init__", f"{own}: {ranks}"


@pytest.mark.parametrize("package", ["bnjax", "experiments"])
def test_no_circles(package):
    """Neither files nor packages import each other in a circle, not even inside functions."""
    files = {module_of(path): ours(path) for path in FILES if path.is_relative_to(ROOT / package)}
    # A package that re-exports its files stands after them; what they import of it is another of its files.
    assert cycle(files) is None
    parts: dict[str, set] = {}
    for name, imported in files.items():
        inner = {part(other) for other in imported if other.startswith(f"{package}.")}
        parts.setdefault(part(name), set()).update(inner - {part(name)})
    assert cycle(parts) is None


def test_circles_are_found():
    """Also through several files."""
    assert cycle({"a": {"b"}, "b": {"c"}, "c": set()}) is None
    assert set(cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})) == {"a", "b", "c"}


@pytest.mark.parametrize("pattern", LIGHT)
def test_the_command_line_answers_before_jax_is_there(pattern):
    """What is imported to parse a command line imports nothing heavy."""
    for path in (ROOT / "experiments").glob(pattern):
        if path.parent.name not in ("benchmarks", "_figures", "_report", "probes"):
            names = list(imports(path, top_level=True))
            assert not {name.split(".")[0] for name in names if name not in LIGHT_OF_BNJAX} & HEAVY, path
            assert not [name for name in names if name.startswith(DEFERRED)], path


def middles(tree):
    """List the medians and quantiles of other packages that some code names, called or not, under whatever name."""
    ours = ("experiments._evidence.value", "experiments._evidence.curve")
    reduced = {"median", "nanmedian", "quantile", "nanquantile", "percentile", "nanpercentile", "quantiles"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module not in ours:
            yield from (name.name for name in node.names if name.name in reduced)
        packages = ("np", "numpy", "statistics")
        if isinstance(node, ast.Attribute) and node.attr in reduced and ast.unparse(node.value) in packages:
            yield ast.unparse(node)


def accuracies(tree):
    """List the accuracies that some code reads out of what a run recorded, by an index or by `get`."""
    recorded = ("'accuracy'", "'recalibrated_accuracy'")
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and ast.unparse(node.slice) in recorded:
            yield ast.unparse(node)
        is_get = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "get"
        if is_get and ast.unparse(node.args[0]) in recorded:
            yield ast.unparse(node)


# Quantiles over the units of a net, which this file records, are none over seeds.
RECORDED = {"experiments.theory_bounds.runs": ["np.quantile"]}


# What takes training steps, and who may name it: the function itself, its form for many runs, the one loop, and a probe that
# looks one step ahead. Benchmarks, which time single programs, are left out.
STEPPING = {
    "run_steps": {"bnjax.train", "bnjax.train.steps", "bnjax.sweep.steps", "bnjax.sweep.loop", "bnjax.sweep"},
    "train_step": {"bnjax.train", "bnjax.train.steps", "experiments._training.probes.probe"},
    "apply_updates": {"bnjax.train.steps"},
}


def names(source):
    """List the names, attributes and imported names that a source uses."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: module_of(path))
def test_there_is_one_training_loop(path):
    """Nothing takes training steps but the loop of `bnjax.sweep`, and what that is made of."""
    if part(module_of(path)) != "benchmarks":
        for name in STEPPING.keys() & {*names(path.read_text())}:
            assert module_of(path) in STEPPING[name], f"{name} is for the loop in bnjax/sweep/loop.py"


def test_a_second_loop_is_found():
    """Under whatever name the module is imported."""
    assert "run_steps" in names("from bnjax import train as t\nwhile True: state = t.run_steps(state)")
    assert "train_step" in names("from bnjax.train import train_step as step")


OUTSIDE_EVIDENCE = [
    path
    for path in EXPERIMENTS
    if part(module_of(path)) not in ("_evidence", "_training", "benchmarks") and path.name != "layer_checks.py"
]


@pytest.mark.parametrize("path", OUTSIDE_EVIDENCE, ids=lambda path: module_of(path))
def test_medians_over_seeds_and_accuracies_are_defined_once(path):
    """Nothing takes a median, or reads an accuracy out of a run, except `_evidence`."""
    tree = ast.parse(path.read_text())
    assert list(middles(tree)) == RECORDED.get(module_of(path), [])
    assert list(accuracies(tree)) == []


EVASIONS = [
    "np.median(x)",
    "numpy.median(x)",
    "f = np.median",
    "map(np.nanmedian, x)",
    "np.quantile(x, 0.5)",
    "statistics.median(x)",
    "from statistics import median",
    "from numpy import median as m",
]


@pytest.mark.parametrize("code", EVASIONS)
def test_medians_are_found(code):
    """However they are called."""
    assert list(middles(ast.parse(code)))
    assert not list(middles(ast.parse("from experiments._evidence.value import median\nTEST_ACCURACY.median(1, 2)")))


@pytest.mark.parametrize("code", ["run['test']['accuracy']", "test.get('accuracy')", "test['recalibrated_accuracy']"])
def test_accuracies_are_found(code):
    """However they are read."""
    assert list(accuracies(ast.parse(code)))


@pytest.fixture(scope="module")
def definitions():
    """List the quantities that the experiments define: in their modules, and as claims and tables are computed."""
    modules = [catalogue.part(name, which) for name in catalogue.names() for which in ("claims", "table", "figure")]
    modules += [importlib.import_module(f"experiments._evidence.{name}") for name in ("quantities", "drift")]
    found = [value for module in modules if module for value in vars(module).values() if isinstance(value, Quantity)]
    init = Quantity.__init__

    def noted(quantity, *args, **kwargs):
        init(quantity, *args, **kwargs)
        found.append(quantity)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Quantity, "__init__", noted)
        for name in RUN:
            data = read(name)
            for claim in catalogue.claims_of(name):
                judge(claim, data)
            table = catalogue.part(name, "table")
            table.summarise(data)
            getattr(table, "findings", table.summarise)(data)
    return list({(made_of(quantity), quantity.words): quantity for quantity in found}.values())


def made_of(quantity):
    """Describe what a quantity is computed from, whoever defined it."""
    return quantity.kind, _described(quantity.value)


def _described(value):
    """Describe a name, a function by its code and what it is closed over, or anything else by how it is printed."""
    if not hasattr(value, "__code__"):
        return str(value)
    code, cells = value.__code__, tuple(_described(cell.cell_contents) for cell in value.__closure__ or ())
    constants = tuple(constant for constant in code.co_consts if not hasattr(constant, "co_code"))
    return code.co_code, constants, code.co_names, cells


def second_definitions(quantities):
    """List pairs of quantities that are made of the same under other words, or of something else under the same words."""
    found = []
    for one, other in itertools.combinations(quantities, 2):
        is_same, has_same_words = made_of(one) == made_of(other), one.words == other.words
        # The words of drift leave out the layer, which the row or panel names that they stand in.
        are_layers = one.kind == other.kind == "drift" and made_of(one)[1][0] == made_of(other)[1][0]
        if is_same != has_same_words and not (has_same_words and are_layers):
            found.append((one.words, other.words))
    return found


def test_each_quantity_is_defined_once(definitions):
    """No two quantities are made of the same recorded numbers, and no two have the same words."""
    assert len(definitions) > 60
    assert second_definitions(definitions) == []
    again, other = replace(TEST_ACCURACY, words="accuracy in tests"), replace(TEST_ACCURACY, value="loss")
    assert ("test accuracy", "accuracy in tests") in second_definitions([*definitions, again])
    assert ("test accuracy", "test accuracy") in second_definitions([*definitions, other])
