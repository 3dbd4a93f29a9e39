"""A call of every public function, by its name: `CALLS[name](i)` gives it other values of the same shapes for each i."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
from conftest import ROOT
from flax import linen as nn
from flax import nnx as flax_nnx
from matplotlib.figure import Figure

from bnjax import (
    Batch,
    adapters,
    convert,
    data,
    draw,
    linen,
    losses,
    models,
    nnx,
    norms,
    objective,
    ops,
    probes,
    sweep,
    theory,
    train,
    types,
)
from bnjax.data.batches import from_arrays
from bnjax.probes import curvature, directions

KEY = jax.random.key(0)
X, FEATURES, LABELS = jax.random.normal(KEY, (8, 6)), jnp.ones(6), jnp.arange(8) % 3
OF_A_BATCH = (probes.zero_share, probes.soft_rank, probes.orthogonality_gap, probes.cosines)
ROWS, SEQUENCES = X.reshape(2, 4, 6), X.reshape(8, 2, 3)
STATS, IMAGES, KERNEL = norms.init_batch_stats(6), jnp.ones((2, 6, 6, 3)), jnp.ones((3, 3, 3, 4))
NHWC = {"window_strides": (1, 1), "padding": "SAME", "dimension_numbers": ("NHWC", "HWIO", "NHWC")}
CONVOLVE = partial(ops.conv_general_dilated, **NHWC)
BATCH_NORMS = {
    "batch_norm": {},
    "lp_norm": {"p": 1},
    "ghost_batch_norm": {"ghost_size": 4},
    "batch_renorm": {},
    "noisy_batch_norm": {"key": KEY},
}
EXAMPLE_NORMS = {"layer_norm": {}, "instance_norm": {}, "group_norm": {"num_groups": 2}}
LAYERS = {
    **{name: {} for name in ("BatchNorm", "BatchRenorm", "DyT", "InstanceNorm", "LayerNorm", "NoisyBatchNorm")},
    "LpNorm": {"p": 1},
    "GhostBatchNorm": {"ghost_size": 2},
    "GroupNorm": {"num_groups": 2},
}


class Net(nn.Module):
    """A dense layer, batch norm and a head."""

    @nn.compact
    def __call__(self, x, *, train):
        """Compute logits."""
        return nn.Dense(3)(linen.BatchNorm(use_running_average=not train)(nn.Dense(6)(x)))


class NnxNet(flax_nnx.Module):
    """The same in nnx, with dropout, whose stream of random numbers moves on."""

    def __init__(self):
        rngs = flax_nnx.Rngs(0)
        self.first, self.norm = flax_nnx.Linear(6, 6, rngs=rngs), nnx.BatchNorm(6, rngs=rngs)
        self.dropout, self.last = flax_nnx.Dropout(0.5, rngs=rngs), flax_nnx.Linear(6, 3, rngs=rngs)

    def __call__(self, x):
        """Compute logits."""
        return self.last(self.dropout(self.norm(self.first(x))))


MODEL, LSTM = adapters.from_linen(Net()), models.LSTMConfig(features=3)
TRAINER = train.Trainer(MODEL, train.make_optimizer("sgd", 0.1), batch_size=4)
SPLIT, DENSE = from_arrays(X, LABELS), ["Dense_0", "Dense_1"]
TORCH = {"head.weight": np.ones((4, 3), np.float32), "head.bias": np.ones(4, np.float32)}
KERAS = {"head/kernel": np.ones((3, 4), np.float32), "head/bias": np.ones(4, np.float32)}
HAIKU = {"head": {"w": np.ones((3, 4), np.float32), "b": np.ones(4, np.float32)}}
(PROGRAM,) = sweep.programs(lambda: TRAINER, sweep.grid(seed=range(2)))

module = cache(NnxNet)


@cache
def variables():
    """Draw the net's variables."""
    return MODEL.init(KEY, X)


def params():
    """Return its parameters."""
    return variables().params


@cache
def direction(seed=1):
    """Draw a direction."""
    return directions.random(jax.random.key(seed), params())


def state():
    """Make the state of a run, whose buffers may be given away."""
    return train.init_state(TRAINER, KEY, X[:1])


def loss(i, batches=1, **options):
    """Make a loss on another batch."""
    one = Batch((i + 1) * X, LABELS)
    return objective.make_loss_fn(MODEL, variables().batch_stats, one if batches == 1 else [one] * batches, **options)


def _outputs(inputs, at):
    """Read the outputs of the net's dense layers."""
    return probes.capture(MODEL, types.Variables(at, variables().batch_stats), inputs, DENSE)


def outputs(i):
    """Make the function of its outputs on another batch."""
    return jax.tree_util.Partial(_outputs, (i + 1) * X)


def states():
    """Make the states of two runs."""
    return sweep.init_states(PROGRAM, X[:1])


def stacked(one):
    """Stack three of the same."""
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * 3), one)


@cache
def unit():
    """Normalise a unit."""
    return theory.normalise_unit(X[:, 0], X[:, 1])


@cache
def result(name):
    """Return what a probe of the table returns."""
    return CALLS[f"probes.{name}"](1)


def drawn(name, probe, many=False, **options):
    """Draw a panel of a probe's result."""
    axis = Figure().add_subplot(**options)
    getattr(draw, name)(axis, stacked(result(probe)) if many else result(probe))


def of_module(part, name):
    """Call a module of a package by its options."""
    options = LAYERS[name]
    if part == "nnx":
        module = getattr(nnx, name)(6, rngs=flax_nnx.Rngs(0, noise=1), **options)
        return lambda i: module(ROWS * i)
    module, rngs = getattr(linen, name)(**options), {"params": KEY, "noise": KEY}
    flag = {"use_running_average": False} if "Batch" in name or name == "LpNorm" else {}
    variables = module.init(rngs, ROWS, **flag)
    return lambda i: module.apply(variables, ROWS * i, rngs=rngs, mutable=["batch_stats"], **flag)


def num_steps(trainer, state, split):
    """Measure how many steps a run has taken."""
    return state.step


def as_products(i):
    """Convolve the images of two points, each with its own kernel, as matrix products."""
    with ops.batched_kernels("products"):
        return jax.vmap(CONVOLVE)(jnp.stack([IMAGES, IMAGES * i]), jnp.stack([KERNEL, KERNEL * i]))


def in_plain_steps(i):
    """Take a step of a loop that is not compiled: draw a batch, differentiate, move the parameters."""
    indices = data.draw_indices(KEY, i, num_steps=1, num_examples=8, batch_size=4)
    found = objective.make_loss_fn(
        adapters.from_linen(Net()), variables().batch_stats, data.take_batch(SPLIT, indices[0])
    )
    return optax.apply_updates(params(), jax.grad(found)(params()))


CALLS = {
    **{
        f"norms.{name}": partial(lambda f, o, i: getattr(norms, f)(X * i, STATS, train=True, **o), name, options)
        for name, options in BATCH_NORMS.items()
    },
    **{
        f"norms.{name}": partial(lambda f, o, i: getattr(norms, f)(ROWS * i, FEATURES, **o), name, options)
        for name, options in EXAMPLE_NORMS.items()
    },
    "norms.dyt": lambda i: norms.dyt(ROWS * i, 0.5, FEATURES, FEATURES),
    "norms.moments": lambda i: norms.moments(X * i, (0,)),
    "norms.add_noise": lambda i: norms.add_noise(X * i, KEY),
    "norms.cumulative_momentum": norms.cumulative_momentum,
    "norms.init_batch_stats": lambda i: norms.init_batch_stats(6),
    "norms.renorm_bounds": norms.renorm_bounds,
    "norms.recalibrate": lambda i: norms.recalibrate(adapters.from_linen(Net()), variables(), [X * i, X]),
    "norms.restandardise": lambda i: norms.restandardise(MODEL, variables(), [X * i, X], ["Dense_0"]),
    "norms.mismatch": lambda i: norms.mismatch(norms.BatchStats(FEATURES * i, FEATURES), STATS),
    "norms.fold_batch_norm": lambda i: norms.fold_batch_norm(jnp.ones((3, 6)) * i, FEATURES, STATS, FEATURES, FEATURES),
    "losses.cross_entropy": lambda i: losses.cross_entropy(X[:, :3] * i, LABELS),
    "losses.squared_error": lambda i: losses.squared_error(X * i, X),
    "losses.is_correct": lambda i: losses.is_correct(X[:, :3] * i, LABELS),
    "losses.count_only": lambda i: losses.count_only(X[:, :3] * i, LABELS, LABELS > 0),
    "losses.total": lambda i: losses.total(X[:, 0] * i, LABELS > 0),
    "losses.average": lambda i: losses.average(X[:, 0] * i, LABELS > 0),
    "losses.check_classes": lambda i: losses.check_classes(LABELS, 3),
    "losses.check_one_array": lambda i: losses.check_one_array("cross_entropy", LABELS),
    "losses.loss_of_each": lambda i: losses.loss_of_each("squared_error", X * i, Batch(X, X)),
    "losses.have_classes": lambda i: losses.have_classes(X * i, LABELS),
    "losses.get_loss": lambda i: losses.get_loss("squared_error")(X * i, X),
    "ops.conv_general_dilated": lambda i: CONVOLVE(IMAGES * i, KERNEL),
    "ops.batched_kernels": as_products,
    "ops.max_pool_2x2": lambda i: ops.max_pool_2x2(IMAGES * i),
    "convert.from_torch": lambda i: convert.from_torch(TORCH),
    "convert.to_torch": lambda i: convert.to_torch(convert.from_torch(TORCH)),
    "convert.from_keras": lambda i: convert.from_keras(KERAS),
    "convert.to_keras": lambda i: convert.to_keras(convert.from_keras(KERAS)),
    "convert.from_haiku": lambda i: convert.from_haiku(HAIKU, {}),
    "convert.to_haiku": lambda i: convert.to_haiku(convert.from_haiku(HAIKU, {}), HAIKU, {}),
    "adapters.from_linen": lambda i: adapters.from_linen(Net()).apply(variables(), X * i, train=True),
    "adapters.from_nnx": lambda i: adapters.from_nnx(module()).apply(
        adapters.from_nnx(module()).init(KEY, X), X * i, train=True
    ),
    "adapters.variables_of": lambda i: adapters.variables_of(module()),
    "models.make_model": lambda i: models.make_model(
        models.MLPConfig(hidden=(4,), norm=linen.BatchNorm, num_classes=3)
    ).init(KEY, X),
    "models.join_copies": lambda i: models.join_copies(X * i, 2),
    "models.hidden_gradients": lambda i: models.hidden_gradients(
        LSTM, models.make_model(LSTM).init(KEY, SEQUENCES), Batch(SEQUENCES * i, LABELS), rngs={"noise": KEY}
    ),
    "objective.make_loss_fn": lambda i: loss(i, batches=2)(params()),
    "objective.linearise": lambda i: objective.linearise(loss(i), params())(params()),
    "data.draw_indices": lambda i: data.draw_indices(KEY, i, num_steps=1, num_examples=8, batch_size=4),
    "data.digest": lambda i: data.digest(SPLIT),
    "data.take_batch": lambda i: data.take_batch(SPLIT, (jnp.arange(4) + i) % 8),
    "data.from_arrays": lambda i: data.from_arrays(X * i, LABELS),
    "data.steps_per_epoch": lambda i: data.steps_per_epoch(8, 4),
    "data.take_subset": lambda i: data.take_subset(SPLIT, 4),
    "data.take_classes": lambda i: data.take_classes(SPLIT, (i % 3,)),
    "data.draw_by_label": lambda i: data.draw_by_label(KEY, i, LABELS, num_steps=1, batch_size=4, per_label=2),
    "data.corrupt": lambda i: data.corrupt("blur", KEY, IMAGES / (i + 1)),
    "data.largest_pixel": lambda i: data.largest_pixel("digits"),
    "data.load": lambda i: data.load("synthetic"),
    "data.match_moments": lambda i: data.match_moments(X * i),
    "data.draw_linear_map": lambda i: data.draw_linear_map(jax.random.key(i), num_examples=8, width=6),
    "train.make_optimizer": lambda i: train.make_optimizer("adam", 0.1 * (i + 1)).init(params()),
    "train.init_state": lambda i: train.init_state(TRAINER, jax.random.key(i), X[:1]),
    "train.step_rngs": lambda i: train.step_rngs(state()),
    "train.current_batch": lambda i: train.current_batch(TRAINER, state(), SPLIT),
    "train.current_loss_fn": lambda i: train.current_loss_fn(TRAINER, state(), SPLIT)(params()),
    "train.train_step": lambda i: train.train_step(TRAINER, state(), Batch(X, LABELS)),
    "train.run_steps": lambda i: train.run_steps(TRAINER, state(), SPLIT, num_steps=2),
    "train.eval_step": lambda i: train.eval_step(TRAINER, variables(), Batch(X * i, LABELS)),
    "train.evaluate": lambda i: train.evaluate(TRAINER, variables(), SPLIT, batch_size=4),
    "sweep.grid": lambda i: sweep.grid(seed=range(2)),
    "sweep.programs": lambda i: sweep.programs(lambda: TRAINER, sweep.grid(seed=range(2))),
    "sweep.make_plan": lambda i: sweep.make_plan(4, 2),
    "sweep.init_states": lambda i: states(),
    "sweep.run_steps": lambda i: sweep.run_steps(PROGRAM, states(), SPLIT, num_steps=2),
    "sweep.evaluate": lambda i: sweep.evaluate(PROGRAM, states(), SPLIT),
    "sweep.measure": lambda i: sweep.measure(num_steps, PROGRAM, states(), SPLIT),
    "probes.scan_line": lambda i: probes.scan_line(loss(i), params()),
    "probes.scan_plane": lambda i: probes.scan_plane(loss(i), params(), direction(), direction(2), [0.0, i], [0.0, 1]),
    "probes.stack_lines": lambda i: probes.stack_lines([result("scan_line")] * 2),
    "probes.evaluate_points": lambda i: probes.evaluate_points(loss(i), params(), [direction()], jnp.ones((2, 1))),
    "probes.restrict": lambda i: probes.scan_line(*probes.restrict(loss(i), params(), "Dense_1")),
    "probes.barrier": lambda i: probes.barrier(loss(i), params(), direction(), num_points=3),
    "probes.covariate_shift": lambda i: probes.covariate_shift(loss(i), params(), direction(), DENSE),
    "probes.layer_dependence": lambda i: probes.layer_dependence(loss(i), params(), DENSE, step_sizes=[i + 0.1]),
    "probes.hessian_blocks": lambda i: probes.hessian_blocks(loss(i), params(), DENSE, DENSE[0], key=KEY, num_probes=2),
    "probes.moment_control": lambda i: probes.moment_control(outputs(i), params(), direction(), DENSE),
    "probes.gradient_statistics": lambda i: probes.gradient_statistics(params(), params=direction()),
    "probes.activation_statistics": lambda i: probes.activation_statistics(X * i),
    "probes.shift": lambda i: probes.shift(*[stacked(result("activation_statistics"))] * 2),
    "probes.drift": lambda i: probes.drift(stacked(result("activation_statistics"))),
    "probes.wasserstein_distance": lambda i: probes.wasserstein_distance(X * i, X),
    **{f"probes.{of.__name__}": lambda i, of=of: of(X * i) for of in OF_A_BATCH},
    "probes.capture": lambda i: probes.capture(MODEL, variables(), X * i, "Dense_0", train=True),
    "probes.band": lambda i: probes.band(X * i),
    "probes.load": lambda i: probes.load(ROOT / "figures" / "scan_plane.npz"),
    "probes.curvature.hvp": lambda i: curvature.hvp(loss(i), params(), direction()),
    "probes.curvature.gauss_newton": lambda i: curvature.gauss_newton(jnp.sin, jnp.sum, X * i)(X),
    "probes.curvature.top_eigenpairs": lambda i: curvature.top_eigenpairs(loss(i), params(), key=KEY, num=1),
    "probes.curvature.trace": lambda i: curvature.trace(loss(i), params(), key=KEY, num_probes=2),
    "probes.curvature.spectral_density": lambda i: curvature.spectral_density(
        loss(i), params(), key=KEY, num_matvecs=3
    ),
    "probes.batch_sharpness": lambda i: probes.batch_sharpness([loss(i), loss(i + 1)], params()),
    "probes.relative_sharpness": lambda i: probes.relative_sharpness(loss(i), params(), key=KEY, num_directions=2),
    "probes.directions.gradient": lambda i: directions.gradient(loss(i), params()),
    "probes.directions.random": lambda i: directions.random(jax.random.key(i), params()),
    "probes.directions.filter_normalized": lambda i: directions.filter_normalized(jax.random.key(i), params()),
    "probes.directions.toward": lambda i: directions.toward(params(), direction()),
    "probes.directions.principal": lambda i: directions.principal([params(), direction(), direction(2)]),
    "probes.directions.through": lambda i: directions.through([params(), direction(), direction(2)]),
    "theory.normalise_unit": lambda i: theory.normalise_unit(X[:, 0] * i, X[:, 1]),
    "theory.pre_activation_hessian_product": lambda i: theory.pre_activation_hessian_product(
        unit(), jnp.sin, X[:, 0] * i
    ),
    "theory.preserving_scale_and_bias": lambda i: theory.preserving_scale_and_bias(X[:, 0] * i),
    **{
        f"theory.{name}": partial(lambda f, i: getattr(theory, f)(unit()), name)
        for name in ("normalisation_jacobian", "pre_activation_gradient", "gradient_bound", "is_smoothed")
    },
    "theory.curvature_bound": lambda i: theory.curvature_bound(unit(), jnp.sin),
    "theory.relaxed_curvature_bound": lambda i: theory.relaxed_curvature_bound(unit(), jnp.sin),
    "theory.weight_gradient_bound": lambda i: theory.weight_gradient_bound(unit(), 2.0 + i),
    "theory.plain_weight_gradient_bound": lambda i: theory.plain_weight_gradient_bound(unit(), 2.0 + i),
    "theory.weight_curvature_bound": lambda i: theory.weight_curvature_bound(unit(), jnp.sin, 2.0 + i),
    "theory.nearest_scaled_optimum": lambda i: theory.nearest_scaled_optimum(X * i, X),
    "theory.optimum_distance_bound": lambda i: theory.optimum_distance_bound(X * i, X),
    "theory.rescaled_gradient": lambda i: theory.rescaled_gradient(X, 2.0 + i),
    "types.count_examples": lambda i: types.count_examples(X),
    "types.objective_info": lambda i: types.objective_info(loss(i)),
    "types.training_flag": lambda i: types.training_flag(Net(), True),
    **{
        f"{part}.{name}": partial(lambda part, name, i: of_module(part, name)(i), part, name)
        for part in ("linen", "nnx")
        for name in LAYERS
    },
    "linen.Noise": lambda i: linen.Noise(use_running_average=False).apply({}, X * i, rngs={"noise": KEY}),
    "draw.draw_line": lambda i: drawn("draw_line", "scan_line"),
    "draw.draw_barrier": lambda i: drawn("draw_barrier", "barrier"),
    "draw.draw_plane": lambda i: drawn("draw_plane", "scan_plane"),
    "draw.draw_surface": lambda i: drawn("draw_surface", "scan_plane", projection="3d"),
    "draw.draw_path": lambda i: drawn("draw_path", "directions.principal"),
    "draw.draw_split": lambda i: drawn("draw_split", "layer_dependence"),
    "draw.draw_interaction": lambda i: drawn("draw_interaction", "layer_dependence"),
    "draw.draw_control": lambda i: drawn("draw_control", "moment_control", many=True),
    "draw.draw_layers": lambda i: drawn("draw_layers", "gradient_statistics", many=True),
    "draw.draw_percentiles": lambda i: drawn("draw_percentiles", "activation_statistics", many=True),
    "draw.draw_shift": lambda i: drawn("draw_shift", "shift"),
    "draw.draw_density": lambda i: drawn("draw_density", "curvature.spectral_density"),
    "draw.draw_eigenvalues": lambda i: drawn("draw_eigenvalues", "curvature.top_eigenpairs"),
    "draw.draw_residuals": lambda i: drawn("draw_residuals", "curvature.top_eigenpairs"),
    "draw.draw_trace": lambda i: drawn("draw_trace", "curvature.trace"),
    "draw.draw_sharpness": lambda i: drawn("draw_sharpness", "batch_sharpness"),
    "draw.draw_rises": lambda i: drawn("draw_rises", "relative_sharpness"),
    "draw.figure": lambda i: draw.figure(result("scan_line")),
}
