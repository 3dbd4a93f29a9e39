"""The commands and code blocks of the README and of the guides of library, experiments and figures work."""

import ast
import inspect
import os
import re
import shlex
import signal
import sys
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT
from disturbed import at_chunk, send

from bnjax import norms, probes, sweep
from bnjax._host.digest import digest
from bnjax.draw import __main__ as draw_command
from bnjax.probes.results import registered
from bnjax.runs import read_metrics
from experiments import __main__ as command_line
from experiments._command.arguments import parse

FILES = {name: (ROOT / name / "README.md") for name in ("", "bnjax", "experiments", "figures")}
FILES |= {f"bnjax/guide/{page.stem}": page for page in sorted((ROOT / "bnjax" / "guide").glob("*.md"))}
TEXTS = {name: file.read_text() for name, file in FILES.items()}
LIBRARY = TEXTS["bnjax"]


def commands(name=""):
    """List the shell commands of a file, one per line of its sh blocks."""
    blocks = re.findall(r"```sh\n(.*?)```", TEXTS[name], flags=re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line and not line.startswith("#")]


def test_the_two_commands_are_there():
    """Quickstart and tests, each from nothing, in one line."""
    setup = "python3 -m venv .venv && . .venv/bin/activate && pip install -e '.[{}]' && {}"
    assert setup.format("experiments", "python -m experiments quickstart") in commands()
    assert setup.format("test", "pytest") in commands()


def test_installed_users_are_told_what_to_install():
    """Messages name an extra of the package, which a wheel has too, and not a folder that it has not."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    files = [*ROOT.glob("bnjax/**/*.py"), *ROOT.glob("experiments/_command/*.py")]
    told = [command for file in files for command in re.findall(r"pip install [^:,`]*", file.read_text())]
    assert len(told) >= 5
    for command in told:
        named = re.match(r"pip install 'bnjax\[(\w+)\]'", command)
        assert named, command
        assert named[1] in extras, command


def test_every_experiment_command_parses():
    """Experiments, presets and options that are shown exist."""
    shown = [match for text in TEXTS.values() for match in re.findall(r"python -m experiments (\w+)([^\n`&]*)", text)]
    assert {"quickstart", "landscape", "training_curves", "report"} <= {name for name, _ in shown}
    for name, rest in shown:
        if name in command_line.names() and "--help" not in rest:
            presets = __import__(f"experiments.{name}", fromlist=["PRESETS"]).PRESETS
            parse(name, "", presets, shlex.split(rest))
        assert name in (*command_line.COMMANDS, *command_line.names()), f"there is no experiment {name!r}"


def test_links_and_pictures_exist():
    """Every relative link of each file leads to a file, and every link to a heading of the same file to one."""
    for name, text in TEXTS.items():
        for target in re.findall(r"\]\(([^)#]+)\)", text):
            if "://" not in target:
                assert (FILES[name].parent / target).exists(), f"{FILES[name]}: {target}"
        headings = {
            re.sub(r"[^\w -]", "", line).replace(" ", "-").lower() for line in re.findall(r"^#+ (.*)", text, re.M)
        }
        assert set(re.findall(r"\]\(#([^)]+)\)", text)) <= headings


def test_the_readme_is_one_screen():
    """At most 200 lines and 8 kB, with a picture, and in the order in which people ask."""
    text = TEXTS[""]
    assert len(text.splitlines()) <= 200
    assert len(text.encode()) <= 8192
    order = (
        "](figures/landscape-evening.png)",
        "## Install",
        "scan_line",
        "batch_norm",
        "experiments all",
        "## Results",
    )
    places = [text.index(words) for words in (*order, "## Not done", "## Cite", "## Sources")]
    assert places == sorted(places)


def test_the_version_is_the_same_everywhere():
    """In the project's file, the citation and the change log."""
    version = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)[1]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^## CHANGELOG\n\n### (.*)$", LIBRARY, re.MULTILINE)[1] == version


def test_the_scan_prints_what_the_readme_says(capsys):
    """The numbers behind the first code block are those that it prints."""
    block = python_blocks()[0]
    exec(compile(block, "README.md", "exec"), {})
    said = re.search(r"It prints `(.*?)`", TEXTS[""])[1]
    printed = capsys.readouterr().out
    numbers = [[float(x) for x in re.findall(r"\d+\.\d+", text)] for text in (said, printed)]
    np.testing.assert_allclose(*numbers, atol=0.02)


@pytest.mark.slow
def test_the_guide_shows_what_its_first_scan_prints(capsys):
    """Line for line, to within the rounding errors of another machine."""
    shown = {}
    exec(compile(python_blocks(["bnjax"])[0].rpartition("\n")[0].rpartition("\n")[0], "README.md", "exec"), shown)
    print(shown["scans"][0])
    texts = re.search(r"```text\n(.*?)\n```", LIBRARY)[1], capsys.readouterr().out.strip()
    said, printed = (re.split(r"-?\d+\.?\d*(?:e-?\d+)?", text) for text in texts)
    assert said == printed
    numbers = [[float(x) for x in re.findall(r"-?\d+\.?\d*(?:e-?\d+)?", text)] for text in texts]
    np.testing.assert_allclose(*numbers, rtol=0.02, atol=0.02)


def python_blocks(names=FILES):
    """List the Python blocks of some files."""
    return [block for name in names for block in re.findall(r"```python\n(.*?)```", TEXTS[name], flags=re.DOTALL)]


# The pages of probes train a net each; the library's page scans one after another.
THOROUGH = python_blocks([name for name in FILES if name.startswith("bnjax/guide/")])
SLOW = python_blocks(["bnjax"])


def tier(block):
    """Return the mark of a block."""
    return pytest.mark.thorough if block in THOROUGH else pytest.mark.slow if block in SLOW else ()


@pytest.mark.parametrize(
    "block",
    [pytest.param(block, marks=tier(block)) for block in python_blocks()],
    ids=lambda block: block.split("\n\n")[-1].split("\n")[0],
)
def test_python_blocks_run(block, capsys, tmp_path, monkeypatch):
    """Every Python block runs as it stands; what it saves is that of the committed figure, and can be drawn."""
    monkeypatch.chdir(tmp_path)
    exec(compile(block, "README.md", "exec"), {})
    for name in saved_by(block):
        assert_alike(probes.load(f"{name}.npz"), probes.load(ROOT / "figures" / f"scan_{name}.npz"))
        (page,) = (name for name, text in TEXTS.items() if block in text)
        assert f"]({os.path.relpath(ROOT, FILES[page].parent)}/figures/scan_{name}.png)" in TEXTS[page]
        draw_command.main([f"{name}.npz"])
        assert capsys.readouterr().out.endswith(f"{name}.png\n")
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def saved_by(block):
    """List the results that a block saves."""
    return re.findall(r'\.save\("(\w+)\.npz"\)', block)


def assert_alike(result, committed):
    """Fail where a result is not the committed one, except for the rounding errors of another machine."""
    assert type(result) is type(committed)
    assert getattr(result, "objective", None) == getattr(committed, "objective", None)
    if isinstance(result, probes.curvature.SpectralDensity):
        # Of many eigenvalues only a few are found; where, depends on rounding errors, but not where all of them end.
        nodes, weights = (np.asarray([getattr(r, name) for r in (result, committed)]) for name in ("nodes", "weights"))
        found = [nodes.max(axis=(1, 2)), (nodes * weights).sum(axis=2).mean(axis=1)]
        for actual, expected in found:
            np.testing.assert_allclose(actual, expected, rtol=0.01)
        assert result.dimension == committed.dimension
        return
    if not isinstance(result, probes.LineScan | probes.PlaneScan):
        # After some hundred steps of training, rounding errors have grown; gradients that hardly turn may turn otherwise.
        for actual, expected in zip(jax.tree.leaves(result), jax.tree.leaves(committed), strict=True):
            np.testing.assert_allclose(actual, expected, rtol=0.05, atol=0.05)
        return
    for name in ("step_sizes", "gradient_cosine") if isinstance(result, probes.LineScan) else ("xs", "ys"):
        np.testing.assert_allclose(getattr(result, name), getattr(committed, name), atol=0.01)
    for name in ("loss", "gradient_distance") if isinstance(result, probes.LineScan) else ("loss", "norm_x", "norm_y"):
        np.testing.assert_allclose(getattr(result, name), getattr(committed, name), rtol=0.01, atol=1e-5)


def imported_by(block):
    """Name the packages that a block imports, and those that what it calls reads with."""
    for node in ast.walk(ast.parse(block)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module.split(".")[0]
    if 'load("digits"' in block:
        yield "sklearn"


def test_the_library_guide_names_what_its_blocks_need():
    """What an installation without extras does not bring is in the command at its top."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra, *more = re.search(r"`pip install -e '\.\[(\w+)\]' (.*?)`", LIBRARY).groups()
    required = [*project["dependencies"], *project["optional-dependencies"][extra], *more]
    installed = {re.match(r"[\w-]+", name)[0] for name in required}
    packages = {"bnjax", *installed} | ({"sklearn"} if "scikit-learn" in installed else set())
    blocks = python_blocks([name for name in FILES if name.startswith("bnjax")])
    imported = {package for block in blocks for package in imported_by(block)}
    assert {"sklearn", "matplotlib", "jax"} <= imported
    assert imported - sys.stdlib_module_names <= packages


def test_each_kind_of_probe_has_a_page():
    """Linked from the guide, with a formula, code that runs, a picture, and the source or the cost; each probe is on one."""
    pages = {name: text for name, text in TEXTS.items() if name.startswith("bnjax/guide/")}
    assert {f"bnjax/{link.removesuffix('.md')}" for link in re.findall(r"\]\((guide/\w+\.md)\)", LIBRARY)} == set(pages)
    for name, text in pages.items():
        parts = (
            r"^# ",
            r"^    \S.*[=‖∫λᵀ]",
            r"^```python$",
            r"^!\[.+\]\(.*\.png\)$",
            r"\*\*Read it\.\*\*",
            r"\*\*Cost\.\*\*",
        )
        assert all(re.search(part, text, re.MULTILINE) for part in parts), name
    results = set(registered().values())
    public = {**vars(probes), **vars(probes.curvature)}
    kinds = [
        name
        for name, value in public.items()
        if inspect.isfunction(value) and inspect.signature(value).return_annotation in results and "stack" not in name
    ]
    assert {"scan_line", "scan_plane", "barrier", "trace", "covariate_shift"} <= set(kinds)
    assert [name for name in kinds if not any(re.search(rf"\b{name}\b", text) for text in pages.values())] == []


def test_each_scan_is_as_short_as_promised():
    """Linen, nnx and a bare function: after imports, net and data, five lines scan and save; each has its picture."""
    section = LIBRARY[LIBRARY.index("## Scan your own model\n") : LIBRARY.index("## Use the batch norm")]
    blocks = [b for b in re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL) if saved_by(b)]
    assert [saved_by(block) for block in blocks] == [["line"], ["plane"], ["spectrum"]]
    for block in blocks:
        scan = block.split("\n\n")[-1]
        assert "probes." not in block.removesuffix(scan)
        assert len(scan.splitlines()) <= 5


@pytest.mark.thorough
def test_a_net_of_the_readers_own_is_stopped_and_resumed(tmp_path, monkeypatch):
    """Net, data and probe aside, five lines; stopped by a signal, the same lines end in the bits of runs left alone."""
    (block,) = (block for block in python_blocks() if "class Net" in block and "train_grid" in block)
    assert len(block.split("\n\n\n")[-1].splitlines()) <= 5
    found = []
    for name in ("whole", "stopped"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        if name == "stopped":
            with monkeypatch.context() as patch:
                at_chunk(patch, 4, send(signal.SIGTERM))
                with pytest.raises(sweep.Interrupted):
                    exec(compile(block, "README.md", "exec"), {})
            saved = [len(read_metrics(file)) for file in Path("my-runs").glob("run*/metrics.jsonl")]
            assert 0 < sum(saved) < 3 * 21
        shown = {}
        exec(compile(block, "README.md", "exec"), shown)
        found.append(shown["result"])
    whole = found[0]
    assert isinstance(whole.probes["landscape"], probes.LineScan)
    assert whole.probes["landscape"].loss.shape == (3, 10, 3)
    assert (whole.test_accuracy[:, -1] > 0.8).all()
    assert len({digest(each._replace(runs=[], diverged_at=[])) for each in found}) == 1


def test_the_block_for_several_devices_gives_the_gradient_of_the_whole_batch():
    """Value, statistics and gradient are those of one device, on as many as there are."""
    (block,) = (block for block in python_blocks() if "shard_map" in block)
    shown = {}
    exec(compile(block, "README.md", "exec"), shown)
    assert jax.device_count() == 8
    x = jnp.asarray(np.asarray(shown["x"]))

    def loss(scale):
        y, stats = norms.batch_norm(x, norms.init_batch_stats(3), scale, train=True)
        return jnp.mean(jnp.tanh(y)), stats

    expected = jax.value_and_grad(loss, has_aux=True)(jnp.ones(3))
    actual = ((shown["value"], shown["stats"]), shown["gradient"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), actual, expected)


def test_each_way_of_use_is_as_short_as_promised():
    """Five lines for linen, nnx, the plain function and a mask, ten for several devices, imports aside."""
    section = LIBRARY[LIBRARY.index("## Use the batch norm") : LIBRARY.index("## Notation")]
    blocks = re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
    lengths = [sum(bool(line) and " import " not in f" {line}" for line in block.splitlines()) for block in blocks]
    assert all(length <= limit for length, limit in zip(lengths, (5, 5, 5, 5, 10), strict=True)), lengths


def test_nothing_is_left_to_fill_in():
    """No text that people read holds a word that stands for a number to come."""
    files = [*FILES.values(), *ROOT.glob("bnjax/**/*.py"), *ROOT.glob("experiments/**/*.py")]
    for path in files:
        assert not re.search(r"\b(TODO|FIXME|XXX|TBD|FRACTION|MEASURED)\b", path.read_text()), path
