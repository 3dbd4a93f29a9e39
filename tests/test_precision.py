"""Probes ask for full precision of products, say which they ran in, and know what the others cost."""

import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial

import ahead
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from accelerator import emulated
from conftest import ROOT
from flax import linen as nn
from jax import lax

from bnjax import Batch, adapters, data, linen, models, objective, probes, train
from bnjax._host.precision import product_rounding
from bnjax.draw.style import describe_objective
from bnjax.probes import points
from bnjax.probes.curvature import hvp
from bnjax.types import ObjectiveInfo

PROBES = (
    "line",
    "plane",
    "points",
    "gradient",
    "barrier",
    "shift",
    "dependence",
    "blocks",
    "control",
    "rank",
    "gap",
    "cosines",
    "hvp",
    "eigenpairs",
    "trace",
    "density",
    "sharpness",
    "relative",
    "capture",
)


@pytest.fixture(scope="module")
def programs():
    """Give every probe on a user's net by options, and the net's parameters."""
    made = {}

    def make(**options):
        key = tuple(options.items())
        if key not in made:
            made[key] = ahead.make_programs(**options)
        return made[key]

    return make


def operands(program, params, platform):
    """List the precisions of the operands of each product in the text that is handed to a platform's compiler."""
    text = jax.jit(program).trace(params).lower(lowering_platforms=(platform,)).as_text()
    products = re.findall(r"stablehlo\.(?:dot_general|convolution|dot)\b.*", text)
    return [re.findall(r"DEFAULT|HIGHEST|HIGH", line) or ["DEFAULT"] for line in products]


def test_every_probe_is_here(programs):
    """What takes a loss, a function of points or a model to evaluate takes a precision, and is tested."""
    assert tuple(programs()[0]) == PROBES
    found = {hvp, *(f for f in vars(probes).values() if inspect.isfunction(f))}
    for module in (probes.directions, probes.curvature):
        found |= {f for f in vars(module).values() if getattr(f, "__module__", "") == module.__name__}
    found = {f for f in found if not f.__name__.startswith("_")}
    takes = {f for f in found if {"loss_fn", "measure", "model"} & {*inspect.signature(f).parameters}}
    asks = {f for f in found if "precision" in inspect.signature(f).parameters}
    assert takes - asks == {probes.restrict}
    assert len(asks) == len(PROBES)
    assert hvp in asks


def mostly_thorough(names, quick):
    """Leave all but a few for the thorough tier."""
    return [name if name in quick else pytest.param(name, marks=pytest.mark.thorough) for name in names]


@pytest.mark.parametrize("platform", mostly_thorough(("cuda", "tpu"), ["cuda"]))
@pytest.mark.parametrize("name", mostly_thorough(PROBES, ["line", "hvp", "capture"]))
def test_an_accelerator_is_asked_for_full_precision(name, platform, programs):
    """Every product of a probe, of the user's own layers too, in both passes; the argument or JAX's state changes that."""
    program, params = programs()[0][name], programs()[1]
    asked = operands(program, params, platform)
    assert asked
    assert {word for line in asked for word in line} == {"HIGHEST"}
    with jax.default_matmul_precision("tensorfloat32"):
        assert ["HIGH", "HIGH"] in operands(program, params, platform)
    explicit = programs(precision="default")[0][name]
    assert any("DEFAULT" in line for line in operands(explicit, params, platform))


def loss_fn(w):
    """Evaluate a loss with products."""
    return jnp.sum(jnp.tanh(w @ w.T) ** 2)


W, KEY = jnp.arange(6.0).reshape(2, 3) / 5, jax.random.key(0)
RESULTS = {
    "line": lambda **options: probes.scan_line(loss_fn, W, **options),
    "plane": lambda **options: probes.scan_plane(loss_fn, W, W, 1 - W, (0, 0.1), (0.1,), **options),
    "shift": lambda **options: probes.covariate_shift(
        lambda w: loss_fn(w["a"] + w["b"]), {"a": W, "b": W}, {"a": W, "b": W}, ("a", "b"), **options
    ),
    "dependence": lambda **options: probes.layer_dependence(
        lambda w: loss_fn(w["a"] + w["b"]), {"a": W, "b": W}, ("a", "b"), step_sizes=(0.1,), **options
    ),
    "sharpness": lambda **options: probes.batch_sharpness([loss_fn], W, **options),
    "relative": lambda **options: probes.relative_sharpness(loss_fn, W, key=KEY, num_directions=2, **options),
    "trace": lambda **options: probes.curvature.trace(loss_fn, W, key=KEY, num_probes=2, **options),
    "eigenpairs": lambda **options: probes.curvature.top_eigenpairs(loss_fn, W, key=KEY, **options),
    "density": lambda **options: probes.curvature.spectral_density(loss_fn, W, key=KEY, num_probes=2, **options),
}


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("name", mostly_thorough(RESULTS, ["line", "trace"]))
def test_a_result_says_in_which_precision(name, tmp_path):
    """The highest by default, what the caller has set, or what the argument says, which goes first; files keep it."""
    run = RESULTS[name]
    found = run()
    assert (found.objective.precision, found.objective.platform) == ("highest", "cpu")
    with jax.default_matmul_precision("bfloat16"):
        state, explicit = run(), run(precision="high")
    assert (state.objective.precision, explicit.objective.precision) == ("default", "high")
    assert jax.config.jax_default_matmul_precision is None
    explicit.save(tmp_path / "result")
    assert probes.load(tmp_path / "result").objective == explicit.objective
    # On a CPU no number changes.
    jax.tree.map(np.testing.assert_array_equal, jax.tree.leaves(found), jax.tree.leaves(state))


def test_inside_compiled_code_the_state_counts_where_it_is_traced():
    """A probe in a user's program runs in full precision, and the program around it as the user has set."""
    seen = []

    def noted(w):
        seen.append(jax.config.jax_default_matmul_precision)
        return loss_fn(w)

    scan = jax.jit(lambda w: (noted(w), probes.scan_line(noted, w, (1 + 0 * w), (0.1,)))[1])(W)
    assert seen[0] is None
    assert set(seen[1:]) == {"highest"}
    assert scan.objective.precision == "highest"


def test_an_unknown_precision_is_an_error(as_a_user):
    """One line names what there is."""
    for value in ("full", 3):
        with pytest.raises(
            ValueError, match=r"^precision must be default, high, highest or another .*, got '?\w+'?\.$"
        ):
            probes.scan_line(loss_fn, W, precision=value)


class Net(nn.Module):
    """A net whose products are those of an accelerator."""

    bits: int
    norm: type | None

    @nn.compact
    def __call__(self, x, *, train):
        """Compute logits."""
        dense, x = partial(nn.Dense, dot_general=emulated(lax.dot_general, self.bits)), x.reshape(len(x), -1)
        for _ in range(3):
            x = dense(32)(x)
            x = nn.relu(x if self.norm is None else self.norm(use_running_average=not train)(x))
        return dense(10)(x)


@pytest.fixture(scope="module", params=[pytest.param(None, marks=pytest.mark.thorough), linen.BatchNorm])
def make_net_loss(request):
    """Return a function that makes the loss of a trained net on an accelerator with some bits, and its parameters."""
    split = data.load("digits").train
    batch = data.take_batch(split, jnp.arange(128))
    trainer = train.Trainer(
        adapters.from_linen(Net(23, request.param)), train.make_optimizer("sgd", 0.1), batch_size=128
    )
    state = train.init_state(trainer, jax.random.key(0), batch.inputs[:1])
    state, _ = train.run_steps(trainer, state, split, num_steps=100)

    def make(bits):
        model = adapters.from_linen(Net(bits, request.param))
        return objective.make_loss_fn(model, state.batch_stats, batch), state.params

    return make


ACCELERATORS = {"gpu": 10, "tpu": 7}


@pytest.mark.slow
@pytest.mark.parametrize("platform", mostly_thorough(ACCELERATORS, ["gpu"]))
def test_by_default_probes_are_right_on_an_accelerator(platform, make_net_loss):
    """Small steps too give float32's numbers; in its own precision they do not, and `check` is not sure."""
    sizes = np.array([0.0, 1e-5, 3e-5, 1e-4])
    exact = probes.scan_line(*make_net_loss(23), step_sizes=sizes)
    ours, rounded = (
        probes.scan_line(*make_net_loss(ACCELERATORS[platform]), step_sizes=sizes, precision=precision)
        for precision in (None, "default")
    )
    np.testing.assert_allclose(ours.gradient_distance[1:], exact.gradient_distance[1:], rtol=0.02)
    np.testing.assert_allclose(ours.effective_smoothness, exact.effective_smoothness, rtol=0.02)
    np.testing.assert_allclose(ours.loss, exact.loss, rtol=1e-6)
    errors = np.abs(rounded.gradient_distance[1:] / exact.gradient_distance[1:] - 1)
    assert errors.max() > 0.2
    assert np.abs(rounded.loss / exact.loss - 1).max() > 1e-5
    assert ours.check().agrees
    there = rounded._replace(objective=replace(rounded.objective, platform=platform)).check()
    assert there.agrees
    assert not there.is_decided


@pytest.mark.slow
@pytest.mark.parametrize("platform", mostly_thorough(ACCELERATORS, ["gpu"]))
def test_check_decides_where_changes_are_larger_than_rounding(platform, make_net_loss):
    """On the grid of the paper the scan agrees, its uncertainty and tolerance being those of the operands."""
    sizes = np.linspace(0, 0.4, 9)
    scan = probes.scan_line(*make_net_loss(ACCELERATORS[platform]), step_sizes=sizes, precision="default")
    scan = scan._replace(objective=replace(scan.objective, platform=platform))
    assert scan.check().agrees
    exact = scan._replace(objective=replace(scan.objective, precision="highest"))
    assert scan.check().uncertainty > exact.check().uncertainty
    assert (
        exact.check().tolerance
        < scan.check().tolerance
        == pytest.approx(2.0 ** (-ACCELERATORS[platform] / 2) * abs(float(scan.start_loss)))
    )


@pytest.mark.parametrize(
    ("precision", "platform", "bits"),
    [
        ("default", "gpu", 10),
        ("high", "gpu", 10),
        ("default", "tpu", 7),
        ("high", "tpu", 15),
        ("TF32_TF32_F32", "gpu", 10),
        ("BF16_BF16_F32_X3", "gpu", 7),
        ("ANY_F8_ANY_F8_F32", "gpu", 2),
        ("default", "metal", 7),
        ("highest", "tpu", None),
        ("F32_F32_F32", "gpu", None),
        ("default", "cpu", None),
        ("unknown", "gpu", None),
        ("default", "unknown", None),
    ],
)
def test_rounding_of_operands(precision, platform, bits):
    """It is the distance of the numbers that a platform rounds to, and 0 where it does not or nothing is known."""
    assert product_rounding(precision, platform) == (0 if bits is None else 2.0**-bits)


def test_a_scan_is_not_resumed_in_another_precision(tmp_path, monkeypatch):
    """On an accelerator the points would not belong together; on a CPU they are the same."""
    run = partial(probes.scan_line, loss_fn, W, batching="map", resume=tmp_path / "done.npz")
    run()
    run(precision="default")
    monkeypatch.setattr(points, "platform_of", lambda *_: "gpu")
    assert run().objective.platform == "gpu"
    with pytest.raises(ValueError, match="resume must be a file of the same scan"):
        run(precision="default")


@pytest.mark.slow
def test_convolutions_of_our_own_nets_are_asked_for_full_precision():
    """They are primitives, which are lowered outside of the probe; a training has the device's own precision."""
    model = models.make_model(models.VGGConfig(width=1 / 64, norm=linen.BatchNorm))
    x = jnp.ones((2, 8, 8, 3))
    params, stats = model.init(jax.random.key(0), x)
    loss_fn = objective.make_loss_fn(model, stats, Batch(x, jnp.arange(2)))

    def asked(program):
        text = jax.jit(program).trace(params).lower(lowering_platforms=("cuda",)).as_text()
        lines = [line for line in text.splitlines() if "stablehlo.convolution" in line]
        return {*re.findall(r"precision (\w+)>", "\n".join(lines))}

    assert asked(lambda w: probes.directions.gradient(loss_fn, w)) == {"HIGHEST"}
    assert asked(lambda w: probes.directions.gradient(loss_fn, w, precision="default")) == {"DEFAULT"}


@pytest.mark.thorough
@pytest.mark.skipif(not importlib.util.find_spec("jax_cuda12_plugin"), reason="needs pip install 'jax[cuda12]'")
def test_an_h100_runs_in_full_precision():
    """The compiled text calls cuDNN and cuBLAS in full precision by default, and in TF32 where asked to."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XLA_FLAGS": ""}
    run = subprocess.run([sys.executable, ROOT / "tests/ahead.py"], env=environment, capture_output=True, check=True)
    found = json.loads(run.stdout.splitlines()[-1])
    assert {precision for counts in found[""].values() for precision in counts} == {"highest"}
    assert all("default" in counts for counts in found["default"].values())


@pytest.mark.parametrize(
    ("platform", "precision", "words"),
    [
        ("gpu", "default", "running statistics, products in default precision on a GPU"),
        ("gpu", "highest", "running statistics"),
        ("cpu", "default", "running statistics"),
        ("unknown", "unknown", "running statistics"),
    ],
)
def test_a_figure_says_it_where_it_matters(platform, precision, words):
    """The foot of a figure names a precision that is not the full one."""
    assert describe_objective(ObjectiveInfo("running", precision=precision, platform=platform)) == words


@pytest.mark.slow
@pytest.mark.parametrize("precision", [None, "default", "highest"])
def test_training_has_a_precision_of_its_own(precision):
    """It is that of the trainer, whatever the caller's state is; on a CPU the numbers are the same."""
    split = data.load("digits").train
    model = models.make_model(models.MLPConfig(hidden=(8,)))

    def trainer_of(precision):
        return train.Trainer(model, train.make_optimizer("sgd", 0.1), 16, precision=precision)

    state = train.init_state(trainer_of(None), jax.random.key(0), jnp.zeros((1, 8, 8, 1)))
    step = jax.jit(
        lambda state, split: train.train_step(trainer_of(precision), state, data.take_batch(split, jnp.arange(16)))
    )
    with jax.default_matmul_precision("high"):
        lowered = step.trace(state, split).lower(lowering_platforms=("cuda",)).as_text()
    products = [line for line in lowered.splitlines() if "dot_general" in line]
    expected = {None: "HIGH", "default": "DEFAULT", "highest": "HIGHEST"}[precision]
    assert len(products) >= 4
    assert all(
        f"[{expected}, {expected}]" in line or (expected == "DEFAULT" and "HIGH" not in line) for line in products
    )
    one, other = (
        train.run_steps(trainer_of(name), jax.tree.map(jnp.copy, state), split, num_steps=3)
        for name in (None, precision)
    )
    np.testing.assert_array_equal(one[1].loss, other[1].loss)
