"""Compiled programs: equal models share them, they are bounded, and freed with the model that they belong to."""

import ast
import copy
import gc
import itertools
import pickle
import weakref
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import ROOT
from flax import linen as nn
from flax import nnx as flax_nnx

from bnjax import adapters, data, linen, models, nnx, norms, objective, probes, sweep, train
from bnjax._host import programs
from bnjax.types import Batch, Model, Variables

KEY = jax.random.key(0)
X = jax.random.normal(KEY, (8, 6))
BATCH = Batch(X, jnp.arange(8) % 5)
SOURCES = [*(ROOT / "bnjax").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")]


class Net(nn.Module):
    """A net with batch norm."""

    width: int = 4
    power: float = 1
    layer: Callable[..., nn.Module] | None = None

    @nn.compact
    def __call__(self, x, *, train):
        """Compute logits."""
        return nn.Dense(5)(linen.BatchNorm(use_running_average=not train)(nn.Dense(self.width)(x) ** self.power))


class NnxNet(flax_nnx.Module):
    """The same in nnx, with dropout."""

    def __init__(self, rngs):
        self.first, self.norm = flax_nnx.Linear(6, 4, rngs=rngs), nnx.BatchNorm(4, rngs=rngs)
        self.dropout, self.last = flax_nnx.Dropout(0.5, rngs=rngs), flax_nnx.Linear(4, 5, rngs=rngs)

    def __call__(self, x):
        """Compute logits."""
        return self.last(self.dropout(self.norm(self.first(x))))


def scan(model, batch=BATCH, **options):
    """Scan the line along the gradient."""
    params, batch_stats = model.init(KEY, batch.inputs)
    loss_fn = objective.make_loss_fn(model, batch_stats, batch, **options)
    return probes.scan_line(loss_fn, params, step_sizes=[0.1], show_progress=False)


def make_pair(factor=1.0):
    """Make a model of two functions, unlike any other."""
    return Model(
        lambda key, x: Variables({"w": jnp.ones((6, 5))}, {}),
        lambda variables, x, *, train, rngs=None: (factor * x @ variables.params["w"], variables.batch_stats),
    )


def kept(owned=False):
    """Count the programs that there are, or those that belong to something."""
    gc.collect()
    return sum(not owned or program.home is not programs._unowned for program in programs._programs.values())


@pytest.fixture
def few(monkeypatch):
    """Allow three programs."""
    programs.free_programs()
    monkeypatch.setattr(programs, "_LARGEST_NUMBER", 3)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["linen", "nnx", "nnx with other values", "nnx, cloned"])
def test_models_that_are_adapted_where_they_are_used_share_their_programs(kind, compilations):
    """Equal linen modules, and nnx modules of one structure: a scan in every epoch is compiled in the first."""
    module, rngs = NnxNet(flax_nnx.Rngs(0)), flax_nnx.Rngs(1)
    for epoch in range(4):
        if kind == "nnx with other values":
            module.first.kernel[...] = jax.random.normal(rngs(), (6, 4))
            module.dropout(X)  # moves its stream of random numbers on
        module = flax_nnx.clone(module) if kind == "nnx, cloned" else module
        scan(adapters.from_linen(Net()) if kind == "linen" else adapters.from_nnx(module))
        if epoch == 1:
            before, share = compilations(), programs._mapped_share()
    assert compilations() == before
    assert programs._mapped_share() - share < 100 / 65530  # each call took 270 memory maps of as many


@pytest.mark.slow
def test_the_values_of_a_shared_program_are_each_module_s_own():
    """Parameters, statistics and the stream of dropout are those at which the module was adapted."""
    found = []
    for seed, draws in ((0, 0), (1, 0), (1, 1)):
        module = NnxNet(flax_nnx.Rngs(seed))
        for _ in range(draws):
            module.dropout(X)
        model = adapters.from_nnx(module)
        params, batch_stats = model.init(KEY, X)
        loss_fn = objective.make_loss_fn(model, batch_stats, BATCH)
        expected = jnp.mean(objective.get_loss("cross_entropy")(flax_nnx.clone(module)(X), BATCH.labels))
        np.testing.assert_allclose(loss_fn(params), expected, rtol=1e-6)
        np.testing.assert_allclose(scan(model).start_loss, expected, rtol=1e-6)
        found.append(float(expected))
    assert len({*found}) == 3


def test_equal_modules_give_equal_adapters():
    """The same one, where the module is the same in everything; numbers of another type are another module's."""
    assert adapters.from_linen(Net(4)) is adapters.from_linen(Net(4))
    others = [Net(5), Net(4, 1.0), Net(4, layer=partial(nn.Dense, 3))]
    assert all(adapters.from_linen(Net(4)) != adapters.from_linen(other) for other in others)
    module = NnxNet(flax_nnx.Rngs(0))
    model = adapters.from_nnx(module)
    assert model == adapters.from_nnx(module)
    assert hash(model) == hash(adapters.from_nnx(module))
    module.first.kernel[...] += 1
    assert model != adapters.from_nnx(module)
    assert model.apply.function is adapters.from_nnx(module).apply.function


def test_modules_that_cannot_be_compared_are_adapted():
    """Each anew, also where a field is traced."""
    unhashable = Net(layer=jnp.ones(3))
    assert adapters.from_linen(unhashable) != adapters.from_linen(unhashable)

    @jax.jit
    def loss_at(power):
        model = adapters.from_linen(Net(power=power))
        return objective.make_loss_fn(model, batch_stats, BATCH)(params)

    params, batch_stats = adapters.from_linen(Net()).init(KEY, X)
    np.testing.assert_allclose(loss_at(1.0), scan(adapters.from_linen(Net())).start_loss, rtol=1e-6)


@pytest.mark.thorough
@pytest.mark.parametrize("use", ["scan", "loss", "gradient", "training", "recalibration", "runs"])
def test_programs_go_with_their_model(use):
    """Where a model is not used any more, nothing that was compiled for it is left."""
    programs.free_programs()  # of other tests: near a limit, some of them would be freed meanwhile
    before, model = kept(owned=True), make_pair()
    params, batch_stats = model.init(KEY, X)
    loss_fn, program = objective.make_loss_fn(model, batch_stats, BATCH), None
    trainer = train.Trainer(model, train.make_optimizer("sgd", 0.1), batch_size=4)
    split = data.from_arrays(X, BATCH.labels)
    if use == "scan":
        scan(model)
    elif use in ("loss", "gradient"):
        (jax.grad(loss_fn) if use == "gradient" else loss_fn)(params)
    elif use == "training":
        train.run_steps(trainer, train.init_state(trainer, KEY, X), split, num_steps=2)
    elif use == "recalibration":
        norms.recalibrate(model, Variables(params, batch_stats), [X])
    else:
        (program,) = sweep.programs(lambda: trainer, sweep.grid(seed=range(2)))
        sweep.run_steps(program, sweep.init_states(program, X), split, num_steps=2, way=sweep.Way("vmap"))
    assert kept(owned=True) > before
    is_there = weakref.ref(model.apply)
    del model, loss_fn, trainer, program
    assert kept(owned=True) == before
    assert is_there() is None


@pytest.mark.thorough
def test_the_least_recently_used_go_first(few):
    """In any number beyond the largest."""
    counts = dict.fromkeys("abcd", 0)

    def make(name):
        def program(x):
            counts[name] += 1
            return x + 1

        return programs.compiled_once()(program)

    a, b, c, d = map(make, "abcd")
    for program in (a, b, c, a, d, a, c, b):
        program(jnp.ones(3))
    assert counts == {"a": 1, "b": 2, "c": 1, "d": 1}
    assert kept() == 3


@pytest.mark.thorough
def test_programs_go_where_memory_maps_are_few(monkeypatch):
    """The older half, again and again, until there are enough; below the limit nothing is freed, and the last few stay."""
    programs.free_programs()
    add = programs.compiled_once("n")(lambda x, n: x + n)
    for n in range(8):
        add(jnp.ones(3), n)
    shares = iter([0.3])
    monkeypatch.setattr(programs, "_mapped_share", lambda: next(shares))
    programs.free_programs(share=0.5)
    assert kept() == 8
    shares = itertools.repeat(0.7)
    programs.free_programs(share=0.5, num_kept=6)
    assert kept() == 6
    shares = iter([0.7, 0.7, 0.4])
    programs.free_programs(share=0.5)
    assert kept() == 3
    assert {program.key[3][-1] for program in programs._programs.values()} == {5, 6, 7}


@pytest.mark.parametrize("donated", [None, "x"])
def test_a_program_is_shown_before_it_runs(donated, compilations):
    """With what memory it needs; it is compiled once, and does not run where that raises."""
    program = programs.compiled_once(donated=donated)(lambda x, y: x @ y - 2)
    x, y, shown, before = jnp.ones((3, 5)), jnp.ones((5, 5)), [], compilations()

    def refuse(compiled):
        shown.append(compiled.memory_analysis().argument_size_in_bytes)
        raise MemoryError

    with pytest.raises(MemoryError), programs.checked_before_running(refuse):
        program(x, y)
    assert shown == [4 * (3 * 5 + 5 * 5)]
    assert not x.is_deleted()
    with programs.checked_before_running(shown.append):
        np.testing.assert_array_equal(program(x, y), np.full((3, 5), 3.0))
    assert len(shown) == 2
    assert compilations() == before + 1
    assert x.is_deleted() == (donated is not None)


def test_parts_of_a_program_are_not_shown():
    """They have none of their own."""
    part = programs.jitted(lambda x: 2 * x)
    with programs.checked_before_running(lambda _: pytest.fail("it was shown")):
        np.testing.assert_array_equal(jax.jit(lambda x: part(x) + 1)(jnp.ones(3)), np.full(3, 3.0))
        assert jax.grad(lambda x: part(x))(1.0) == 2


def test_maps_are_counted():
    """The share is one, where the system tells."""
    before = programs._mapped_share()
    if not before:
        pytest.skip("this system does not say how many memory maps a process has")
    assert 0 < before < 1


@pytest.mark.thorough
@pytest.mark.parametrize("num", [10, pytest.param(200, marks=pytest.mark.thorough)])
def test_a_user_s_programs_stay(few, monkeypatch, num):
    """However many models are scanned, and however scarce memory maps are, a user's jitted function is traced once."""
    traces = []

    @jax.jit
    def mine(x):
        traces.append(1)
        return 2 * x

    def scan_new_models(num):
        for factor in range(num):
            model = make_pair(factor)
            params, batch_stats = model.init(KEY, X)
            loss_fn = objective.make_loss_fn(model, batch_stats, BATCH)
            probes.evaluate_points(loss_fn, params, [params], [[0.0], [1.0]], show_progress=False)

    mine(X)
    scan_new_models(num)
    assert kept() <= 3
    monkeypatch.setattr(programs, "_mapped_share", lambda: 0.95 if len(programs._programs) > 1 else 0.1)
    scan_new_models(4)
    assert kept() <= 2
    mine(X)
    assert len(traces) == 1


@pytest.mark.slow
def test_nothing_frees_the_programs_of_others():
    """No source calls `jax.clear_caches`, or leaves it to `jax.jit` to keep programs for constants such as models."""
    found = {(path.name, word) for path in SOURCES for word in words(path) if word in forbidden()}
    # Neither a primitive called by itself nor a benchmark has a model that goes.
    assert found == {("primitives.py", "static_argnames"), ("training.py", "static_argnums")}
    assert {"jit", "donate_argnums"} <= {*words(ROOT / "bnjax" / "_host" / "programs.py")}


def forbidden():
    """List the names that are not used."""
    return {"clear_caches", "static_argnums", "static_argnames"}


def words(path):
    """List the names, attributes and keywords in a source."""
    for node in ast.walk(ast.parse(path.read_text())):
        yield from (value for value in (getattr(node, name, None) for name in ("id", "attr", "arg")) if value)


def test_a_copy_of_a_model_has_no_programs():
    """A model that was scanned can be copied and pickled, as before."""
    model = Model(sample, sample)
    programs.run(add_one, (), (X,), owner=model.apply)
    assert len(vars(sample)[programs._NAME]) == 1
    owner = partial(sample)
    programs.run(add_one, (), (X,), owner=owner)
    for other in (copy.deepcopy(owner), pickle.loads(pickle.dumps(owner))):
        assert not vars(other)[programs._NAME]


def sample():
    """Stand for a function of a module."""


def add_one(x):
    """Stand for a program."""
    return x + 1


def test_what_holds_no_attributes_owns_nothing():
    """Such as a method: its programs are kept until others are used."""
    assert programs._home(X.sum) is programs._home(None)


@pytest.mark.parametrize("batching", ["vmap", pytest.param("threads", marks=pytest.mark.thorough)])
@pytest.mark.thorough
def test_grids_in_a_loop_leave_nothing(batching):
    """Each call trains nets of another width, frees what it has compiled, and the last needs no more memory maps."""
    shares = []
    for width in (2, 3, 4, 5):
        model = models.make_model(models.MLPConfig(hidden=(width,), norm=linen.BatchNorm))
        options = {"num_steps": 4, "chunk_size": 2, "way": sweep.Way(batching), "show_progress": False}
        make_trainer = lambda learning_rate: train.Trainer(model, train.make_optimizer("sgd", learning_rate), 8)  # noqa: B023, E731
        runs = sweep.grid(learning_rate=(0.1, 0.2), seed=[0])
        sweep.train_grid(make_trainer, runs, data.load("synthetic"), **options)
        gc.collect()
        shares.append(programs._mapped_share())
    assert shares[-1] - shares[1] < 100 / 65530
