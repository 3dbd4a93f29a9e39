"""Convolutions of several points, each with a kernel of its own, in both forms that accelerators can be given."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from machine import Machine

from bnjax import adapters, data, ops, probes, sweep, train
from bnjax._host import groups
from bnjax._host.batched import FORMS, current_form, forms_on
from bnjax._host.trials import Group, Key
from bnjax.ops import batched, plain
from bnjax.ops.geometry import NHWC, Geometry
from bnjax.probes.chunks import run_chunks

NUM, BATCH, INPUTS, FEATURES = 3, 2, 4, 5
# Those of 8x8 pixels are one matrix product, larger ones are convolved one after another.
SHAPES = {
    "3x3": Geometry((6, 6), (3, 3), ((1, 1), (1, 1))),
    "uneven": Geometry((5, 7), (2, 3), ((0, 1), (2, 0))),
    "1x1": Geometry((4, 4), (1, 1), ((0, 0), (0, 0))),
    "smaller than the kernel": Geometry((2, 2), (3, 3), ((1, 1), (1, 1))),
    "8x8": Geometry((8, 8), (3, 3), ((1, 1), (1, 1))),
    "9x9": Geometry((9, 9), (3, 3), ((1, 1), (1, 1))),
    "9x9 to 7x7": Geometry((9, 9), (3, 3), ((0, 0), (0, 0))),
}


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch):
    """Forget what was measured before."""
    monkeypatch.setattr(groups, "_known", {})


def operands(kind, geometry, axes):
    """Draw what a convolution or a gradient of it takes, with a first axis where it is mapped."""
    images = {"x": (BATCH, *geometry.image, INPUTS), "dy": (BATCH, *geometry.output, FEATURES)}
    shapes = {"k": (*geometry.kernel, INPUTS, FEATURES), **images}
    names = {plain.conv: "x k", plain.input_gradient: "dy k", plain.kernel_gradient: "x dy"}[kind].split()
    keys = jax.random.split(jax.random.key(0), 2)
    mapped = [(() if axis is None else (NUM,)) + shapes[name] for name, axis in zip(names, axes, strict=True)]
    return [jax.random.normal(key, shape) for key, shape in zip(keys, mapped, strict=True)]


@pytest.mark.sampled("slow")
@pytest.mark.parametrize("axes", [(0, 0), (None, 0), (0, None)], ids=str)
@pytest.mark.parametrize("kind", [plain.conv, plain.input_gradient, plain.kernel_gradient])
@pytest.mark.parametrize("name", SHAPES)
def test_products_are_the_convolutions(name, kind, axes):
    """The convolution and both gradients, wherever the points differ."""
    geometry = SHAPES[name]._replace(precision="highest")
    arrays = operands(kind, geometry, axes)
    grouped, products = (
        jax.jit(partial(batched.in_form, form, kind, partial(kind, geometry=geometry), axes, geometry))(*arrays)
        for form in FORMS
    )
    np.testing.assert_allclose(products, grouped, rtol=1e-4, atol=1e-4)


def loss(kernel, images):
    """Compute a number of a net of one convolution."""
    return jnp.sum(ops.conv_general_dilated(images, kernel, (1, 1), "SAME", dimension_numbers=NHWC) ** 2)


def text_for_a_gpu(program, form, kernels, images):
    """Lower a jitted function of kernels and images, of which the first axes are given, for a GPU, in a form."""
    with ops.batched_kernels(form):
        traced = program.trace(jnp.ones((*kernels, 3, 3, INPUTS, FEATURES)), jnp.ones((*images, INPUTS)))
        return traced.lower(lowering_platforms=("cuda",)).as_text()


def num_groups(text):
    """List the numbers of groups of the convolutions in a program."""
    return [int(number) for number in re.findall(r"(?:feature|batch)_group_count = (\d+)", text)]


@pytest.mark.parametrize(("size", "num"), [(8, 0), (9, 3)])
def test_on_a_gpu_products_have_no_groups(size, num):
    """Small maps are matrix products alone; of larger ones the convolution and both gradients stand in loops."""
    program = jax.jit(jax.vmap(jax.grad(loss, (0, 1))))
    lower = partial(text_for_a_gpu, program, kernels=(NUM,), images=(NUM, BATCH, size, size))
    grouped, products = map(lower, FORMS)
    assert max(num_groups(grouped)) > 1
    assert {*num_groups(products)} == ({1} if num else set())
    assert products.count("stablehlo.while") == num
    assert ("dot_general" in products) == (size == 8)
    assert lower("grouped") == grouped


def test_images_that_points_share_need_no_loop():
    """They make one wide convolution in both forms: that of a scan's first layer, and its gradient."""
    program = jax.jit(jax.vmap(jax.grad(loss), (0, None)))
    grouped, products = (text_for_a_gpu(program, form, (NUM,), (BATCH, 9, 9)) for form in FORMS)
    assert products == grouped
    assert {*num_groups(products)} == {1}


def test_groups_in_groups_have_none():
    """A scan in groups of runs that are trained in groups: the outer axis is batched in the same form."""
    program = jax.jit(jax.vmap(jax.vmap(jax.grad(loss))))
    assert {*num_groups(text_for_a_gpu(program, "products", (2, NUM), (2, NUM, BATCH, 9, 9)))} == {1}


def test_the_context_ends():
    """Also after an error, and it can be nested."""

    def fail():
        with ops.batched_kernels("products"):
            assert current_form() == "products"
            with ops.batched_kernels("grouped"):
                assert current_form() == "grouped"
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert current_form() == "grouped"


def test_an_unknown_form(as_a_user):
    """One line names the argument, the rule and the value."""
    with pytest.raises(ValueError, match=r"^form must be 'grouped' or 'products', got 'vmap'\.$"):
        ops.batched_kernels("vmap")


def test_a_cpu_has_one_form():
    """There convolutions with kernels of their own run one after another, so that there is nothing to compare."""
    assert forms_on(jax.devices()) == ("grouped",)
    scan = partial(probes.scan_line, jax.tree_util.Partial(jnp.sum), jnp.ones(3), step_sizes=np.linspace(0, 1, 64))
    scan(batching="measured", show_progress=False)
    (found,) = groups.measured_batching()
    assert found.kernels == "grouped"


def scan(machine, **options):
    """Scan 1,600 points on a machine, and return the groups that were tried, in their order."""
    trials = groups.trials_of(Key("points", "1 x device"), forms=FORMS)
    rows = np.arange(1600.0)[:, None]
    np.testing.assert_array_equal(run_chunks(machine.evaluate, rows, trials=trials, **options), rows[:, 0] ** 2)
    return machine.tried


@pytest.mark.parametrize(
    ("milliseconds", "kernels", "batching"),
    [
        (
            {"1": 9.0, "4": 4.0, "4 products": 3.0, "16 products": 2.0, "64 products": 2.1, "256 products": 2.2},
            "products",
            16,
        ),
        ({"1": 9.0, "4": 4.0, "4 products": 5.0, "16": 2.0, "64": 2.1, "256": 2.2}, "grouped", 16),
        ({"1": 1.0, "4": 4.0, "4 products": 3.0, "16 products": 2.0}, "grouped", 1),
        ({"1": 9.0, "4": np.inf, "4 products": 3.0, "16 products": np.inf, "16": np.inf}, "products", 4),
        (
            {"1": 9.0, "4": 4.0, "4 products": 3.0, "16 products": np.inf, "16": 2.0, "64": 3.0, "256": 4.0},
            "grouped",
            16,
        ),
        ({"1": 9.0, "4": np.inf, "4 products": np.inf}, "grouped", 1),
    ],
    ids=[
        "products",
        "grouped",
        "one by one",
        "memory for products alone",
        "memory for groups alone",
        "memory for one alone",
    ],
)
def test_the_faster_form_is_kept(milliseconds, kernels, batching, monkeypatch):
    """The first group of several is tried in both, larger ones in the faster one."""
    machine = Machine(milliseconds, monkeypatch)
    assert scan(machine) == [name for name, value in milliseconds.items() if np.isfinite(value)]
    (found,) = groups.measured_batching()
    assert (found.kernels, found.batching, found.is_settled) == (kernels, batching, True)
    best = {}
    for name, value in milliseconds.items():
        size = Group.read(name).size
        best[size] = min(value, best.get(size, np.inf))
    assert found.milliseconds == pytest.approx(best)
    assert machine.groups[-1] == Group(batching, kernels)


def test_a_resumed_scan_keeps_the_form(monkeypatch, tmp_path):
    """Its file says which; the machine of the second half, on which the other form is faster, does not try it."""
    times = {"1": 9.0, "4": 4.0, "4 products": 3.0, "16 products": 2.0, "64 products": 2.1, "256 products": 2.2}
    machine = Machine(times, monkeypatch)

    def stopping(rows, group_size):
        if len(machine.calls) == 13:  # twice each of six groups, and once the fastest
            raise KeyboardInterrupt
        return Machine.evaluate(machine, rows, group_size)

    machine.evaluate = stopping
    with pytest.raises(KeyboardInterrupt):
        scan(machine, resume=tmp_path / "scan.npz")
    (found,) = groups.measured_batching()
    assert (found.kernels, found.batching) == ("products", 16)
    groups._known.clear()
    other = Machine({**times, "4 products": 30.0, "16": 1.0}, monkeypatch)
    assert "16" not in scan(other, resume=tmp_path / "scan.npz")[1:]  # the first call compares two points with the file


def test_a_record_without_forms_keeps_its_choice(monkeypatch, tmp_path):
    """A scan whose file is from before there were two forms goes on in groups of the size that it had chosen."""
    times = {"1": 9.0, "4": 4.0, "16": 2.0, "64": 2.1, "256": 2.2}
    machine = Machine(times, monkeypatch)
    rows, file = np.arange(1600.0)[:, None], tmp_path / "scan.npz"

    def stopping(rows, group_size):
        if len(machine.calls) == 11:
            raise KeyboardInterrupt
        return machine.evaluate(rows, group_size)

    with pytest.raises(KeyboardInterrupt):
        run_chunks(stopping, rows, trials=groups.trials_of(Key("points", "1 x device")), resume=file)
    groups._known.clear()
    other = Machine({**times, "4 products": 0.1}, monkeypatch)
    assert scan(other, resume=file) == ["1", "16"]


@pytest.mark.slow
def test_threads_of_a_sweep_have_the_caller_s_form():
    """Contexts belong to threads; a probe that runs in one of a sweep's threads sees the form all the same."""
    seen = []

    def look(*_):
        seen.append(current_form())
        return {"nothing": 0}

    def make_trainer():
        return train.Trainer(adapters.from_linen(nn.Dense(2)), train.make_optimizer("sgd", 0.1), batch_size=4)

    split = data.from_arrays(jnp.ones((8, 3)), jnp.zeros(8, jnp.int32))
    options = {"num_steps": 2, "chunk_size": 2, "probes": {"look": sweep.HostProbe(look)}}
    with ops.batched_kernels("products"):
        sweep.train_grid(make_trainer, sweep.grid(seed=(0, 1)), data.Dataset(split, split), **options)
    assert {*seen} == {"products"}


def test_an_unknown_form_of_a_way():
    """It is refused before anything runs."""
    with pytest.raises(ValueError, match=r"^kernels must be 'grouped', 'products' or None, got 'product'\.$"):
        sweep.ways.resolve(sweep.Way("map", kernels="product"))


def test_a_sweep_keeps_the_faster_form(monkeypatch):
    """Before its first step, both forms of the first group are tried; the way that is returned has the faster one."""
    times = {"1": 9.0, "4": 4.0, "4 products": 3.0, "8 products": 1.0}
    machine = Machine(times, monkeypatch)

    def call(_program, _fixed, group_size, runs, _shared, way):
        with ops.batched_kernels(way.kernels):
            return machine.evaluate(runs[:, None], group_size)

    monkeypatch.setattr(sweep.ways, "_in_groups", call)
    monkeypatch.setattr(sweep.ways, "forms_on", lambda _devices: FORMS)
    way = sweep.ways.settle(jnp.sum, (), jnp.arange(8.0), None, sweep.Way("measured"))
    assert (way.batching, way.kernels) == (8, "products")
    assert machine.tried == [*times]


@pytest.mark.parametrize("text", ["four", "4 other", "", "4 products more"])
def test_what_is_no_group(text):
    """A record of something else is none."""
    with pytest.raises(ValueError, match=r"invalid literal for int|kernels must be one of grouped, products, got"):
        Group.read(text)
