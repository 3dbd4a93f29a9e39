"""The theorems on a layer of a real network: what JAX differentiates beside what `bnjax.theory` says, in float64."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import Array

from bnjax import probes, theory
from bnjax.losses import cross_entropy
from bnjax.types import Batch, Model, Variables

FACTOR = 3.0  # by which weights are multiplied where that must change nothing
EDGES = np.logspace(-5, 0, 26)  # of the histogram of the share that is removed of the squared gradient
RATIOS = ("gradient_ratio", "curvature_ratio", "subtracted", "tightness")
_ROUNDING = 1e-12  # by which an inequality may fail in float64
_SHOWN = (0.1, 0.5, 0.9)  # quantiles over units


class Site(NamedTuple):
    """A dense layer of a network, with batch norm behind it, on a batch in training mode.

    Attributes:
        model: the network; its layer number n is `dense_n`, the batch norm behind it `norm_n`.
        layer: which one.
        variables: of the network, in float64.
        batch: in float64.
    """

    model: Model
    layer: int
    variables: Variables
    batch: Batch

    def capture(self, name: str, where: Any = "outputs") -> Array:
        """Read what this layer's `dense` or `norm` takes or returns."""
        layer = f"{name}_{self.layer}"
        return probes.capture(self.model, self.variables, self.batch.inputs, layer, where=where)[layer]

    def loss(self, name: str, outputs: Array) -> Array:
        """Evaluate the mean loss with what this layer's `dense` or `norm` returns replaced."""

        def replace(next_fn: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
            is_it = context.method_name == "__call__" and context.module.path == (f"{name}_{self.layer}",)
            return outputs if is_it else next_fn(*args, **kwargs)

        with nn.intercept_methods(replace):
            return cross_entropy(self.logits(), self.batch.labels).mean()

    def logits(self) -> Array:
        """Compute the network's outputs."""
        return self.model.apply(self.variables, self.batch.inputs, train=True)[0]

    def scaled(self, factors: Array) -> "Site":
        """Multiply the incoming weights of each unit by a factor, (units,)."""
        name, params = f"dense_{self.layer}", self.variables.params
        dense = {**params[name], "kernel": params[name]["kernel"] * factors[None]}
        return self._replace(variables=self.variables._replace(params={**params, name: dense}))


@partial(jax.jit, static_argnums=(0, 1))
def insert_batch_norm(plain: Model, layer: int, variables: Variables, batch: Batch) -> Variables:
    """Add batch norm behind a plain network's dense layer, with the scale and bias that change nothing (Obs. 4.3)."""
    y = Site(plain, layer, variables, batch).capture("dense")
    scale, bias = jax.vmap(theory.preserving_scale_and_bias, in_axes=1)(y)
    name, stats = f"norm_{layer}", {"mean": jnp.zeros_like(bias), "var": jnp.ones_like(scale)}
    return Variables({**variables.params, name: {"scale": scale, "bias": bias}}, {name: stats})


@partial(jax.jit, static_argnums=(0, 1))
def check_units(model: Model, layer: int, variables: Variables, batch: Batch) -> dict[str, Array]:
    """Check the theorems on every unit of a layer whose batch norm has epsilon 0.

    Returns:
        Arrays (units,) by name: relative errors of equalities, truth of conditions and inequalities (true where it holds),
        ratios.
    """
    site = Site(model, layer, variables, batch)
    y, z, x = site.capture("dense"), site.capture("norm"), site.capture("dense", "inputs")
    (by_y, product_y), (by_z, product_z) = (
        jax.linearize(jax.grad(partial(site.loss, name)), at) for name, at in (("dense", y), ("norm", z))
    )
    dense, scale = variables.params[f"dense_{layer}"], variables.params[f"norm_{layer}"]["scale"]
    input_norm, examples = jnp.linalg.norm(x, 2), y.shape[0]
    white = input_norm * jnp.linalg.qr(jax.random.normal(jax.random.key(0), (examples, examples), x.dtype))[0]
    by_kernel = jax.grad(lambda kernel: site.loss("dense", x @ kernel + dense["bias"][None]))(dense["kernel"])

    def check(j: Array) -> dict[str, Array]:
        column = jax.nn.one_hot(j, y.shape[1])[None]
        unit = theory.normalise_unit(y[:, j], by_z[:, j], scale[j])
        gh = theory.pre_activation_gradient(unit)
        through, plain = (product_z(v[:, None] * column)[:, j] for v in (gh, unit.gradient))

        def curvature(v: Array) -> Array:
            return jnp.vdot(v, product_y(v[:, None] * column)[:, j])

        seen = Seen(unit, by_y[:, j], curvature(by_y[:, j]), through, plain)
        weights = dense["kernel"][:, j], by_kernel[:, j], curvature(x @ by_kernel[:, j])
        by_white = white.T @ by_y[:, j]
        on_white = jnp.vdot(by_white, by_white), curvature(white @ by_white)
        return {**_check_activations(seen), **_check_weights(seen, input_norm, *weights, *on_white)}

    return jax.vmap(check)(jnp.arange(y.shape[1]))


class Seen(NamedTuple):
    """A unit, and what JAX says of the network.

    Attributes:
        unit: as the theorems see it.
        gh: the gradient by y, (examples,).
        curvature: of the loss along it, ().
        through: H gh, (examples,).
        plain: H g, (examples,).
    """

    unit: theory.Unit
    gh: Array
    curvature: Array
    through: Array
    plain: Array

    def bound(self, bound_fn: Callable, *arguments: Any, along: str = "through") -> Array:
        """Evaluate a bound on curvature, which multiplies but one vector by H: a product that is known."""
        return bound_fn(self.unit, lambda _: getattr(self, along), *arguments)


def _check_activations(seen: Seen) -> dict[str, Array]:
    """Check Theorems 4.1 and 4.2 and what Observation 4.3 promises of the gradient."""
    unit, gh, curvature, through, _ = seen
    g, along, squared = unit.gradient, jnp.vdot(gh, through), jnp.vdot(gh, gh)
    plain, rescaled = jnp.vdot(g, seen.plain), (unit.scale / unit.std) ** 2 * along
    return {
        "active": jnp.vdot(g, g) > 0,
        "theorem_4_1": _error(squared, theory.gradient_bound(unit)),
        "theorem_4_2": _error(curvature, seen.bound(theory.curvature_bound)),
        "aligned": theory.is_smoothed(unit),
        "positive": along >= -_ROUNDING * jnp.linalg.norm(gh) * jnp.linalg.norm(through),
        "gradient_not_larger": _at_most(squared, jnp.vdot(g, g)),
        "curvature_not_larger": _at_most(curvature, plain),
        "isotropic_holds": _at_most(
            theory.curvature_bound(unit, lambda v: v), theory.relaxed_curvature_bound(unit, lambda v: v)
        ),
        "relaxed_holds": _at_most(curvature, seen.bound(theory.relaxed_curvature_bound, along="plain")),
        "gradient_ratio": jnp.sqrt(squared) / jnp.linalg.norm(g),
        "curvature_ratio": curvature / plain,
        "subtracted": (rescaled - curvature) / rescaled,
    }


def _check_weights(
    seen: Seen,
    input_norm: Array,
    w: Array,
    gradient: Array,
    curvature: Array,
    white_squared: Array,
    white_curvature: Array,
) -> dict[str, Array]:
    """Check Theorems 4.4 and C.1 as bounds for the layer's own inputs, and as equalities for white ones of the same norm.

    White inputs X have X X' = lambda² I; of them the squared gradient by the weights, and the curvature along it, are given.
    """
    unit, squared = seen.unit, jnp.vdot(gradient, gradient)
    bound = theory.weight_gradient_bound(unit, input_norm)
    printed = theory.weight_gradient_bound(unit, input_norm, as_printed=True)
    curvature_bound = seen.bound(theory.weight_curvature_bound, input_norm)
    return {
        "orthogonal": jnp.abs(jnp.vdot(w, gradient)) / (jnp.linalg.norm(w) * jnp.linalg.norm(gradient)),
        "theorem_4_4": _error(white_squared, bound),
        "theorem_c_1": _error(white_curvature, curvature_bound),
        "corrected_holds": _at_most(squared, bound),
        "printed_holds": _at_most(squared, printed),
        "c_1_as_bound_holds": _at_most(curvature, curvature_bound),
        "tightness": squared / bound,
    }


@partial(jax.jit, static_argnums=(0, 1))
def check_epsilon(model: Model, layer: int, variables: Variables, batch: Batch, epsilon: float) -> dict[str, Array]:
    """Check Theorem 4.1 with the epsilon that the model's batch norm has: an inequality, whose gap is known.

    Returns:
        Arrays (units,): the error of the gap, relative to the bound; the ratio of the two sides; whether it is at most 1.
    """
    site = Site(model, layer, variables, batch)
    y, z = site.capture("dense"), site.capture("norm")
    gh, g = (jax.grad(site.loss, 1)(name, at) for name, at in (("dense", y), ("norm", z)))

    def check(y: Array, gh: Array, g: Array, scale: Array) -> dict[str, Array]:
        unit = theory.normalise_unit(y, g, scale, epsilon=epsilon)
        bound, squared = theory.gradient_bound(unit), jnp.vdot(gh, gh)
        lost = epsilon / unit.std**2
        gap = (scale / unit.std) ** 2 * jnp.vdot(g, unit.normalised) ** 2 / y.size * lost
        return {
            "gap": jnp.abs(bound - squared - gap) / bound,
            "epsilon_ratio": squared / bound,
            "epsilon_holds": _at_most(squared, bound),
        }

    return jax.vmap(check, in_axes=(1, 1, 1, 0))(y, gh, g, variables.params[f"norm_{layer}"]["scale"])


@partial(jax.jit, static_argnums=(0, 1))
def check_rescaling(model: Model, layer: int, variables: Variables, batch: Batch) -> dict[str, Array]:
    """Check that multiplied weights leave outputs and gradients by the layer's inputs, and divide their own gradient.

    Source: Ioffe & Szegedy 2015, Sec. 3.3.

    Returns:
        Relative errors, ().
    """
    site = Site(model, layer, variables, batch)
    dense, inputs = variables.params[f"dense_{layer}"], site.capture("dense", "inputs")

    def loss_fn(kernel: Array, inputs: Array) -> Array:
        return site.loss("dense", inputs @ kernel + dense["bias"][None])

    at = jax.grad(loss_fn, (0, 1))
    (by_kernel, by_inputs), (by_scaled, by_inputs_there) = (at(a * dense["kernel"], inputs) for a in (1.0, FACTOR))
    scaled = site.scaled(jnp.full(dense["bias"].shape, FACTOR, inputs.dtype))
    return {
        "rescaled_outputs": _largest_error(scaled.logits(), site.logits()),
        "rescaled_inputs_gradient": _largest_error(by_inputs_there, by_inputs),
        "rescaled_weights_gradient": _largest_error(by_scaled, theory.rescaled_gradient(by_kernel, FACTOR)),
    }


@partial(jax.jit, static_argnums=(0, 1, 2))
def check_insertion(
    plain: Model, model: Model, layer: int, variables: Variables, inserted: Variables, batch: Batch
) -> dict[str, Array]:
    """Check that inserted batch norm leaves the outputs, and the gradient by what it returns.

    Source: Santurkar et al. 2018, Observation 4.3.

    Returns:
        Relative errors, ().
    """
    before, after = Site(plain, layer, variables, batch), Site(model, layer, inserted, batch)
    y, z = before.capture("dense"), after.capture("norm")
    return {
        "preserved_outputs": _largest_error(after.logits(), before.logits()),
        "preserved_gradient": _largest_error(jax.grad(after.loss, 1)("norm", z), jax.grad(before.loss, 1)("dense", y)),
    }


@partial(jax.jit, static_argnums=(0, 1))
def check_optimum(model: Model, layer: int, variables: Variables, batch: Batch, start: Array) -> dict[str, Array]:
    """Check Lemma 4.5 for each unit, from its weights at the start to those it has now.

    Returns:
        Arrays (units,), NaN where no multiple is near: the lemma's error; how far the nearest multiple of the weights now is,
        relative to the weights themselves; and (): the error of the outputs with these multiples.
    """
    site = Site(model, layer, variables, batch)
    optimum = variables.params[f"dense_{layer}"]["kernel"]
    nearest = jax.vmap(theory.nearest_scaled_optimum, in_axes=1, out_axes=1)(start, optimum)
    bound = jax.vmap(theory.optimum_distance_bound, in_axes=1)(start, optimum)
    squared = jnp.sum((start - nearest) ** 2, axis=0)
    factors = jnp.linalg.norm(nearest, axis=0) / jnp.linalg.norm(optimum, axis=0)
    moved = site.scaled(jnp.where(jnp.isnan(factors), 1.0, factors))
    return {
        "lemma_4_5": _error(squared, bound),
        "distance_ratio": jnp.sqrt(squared / jnp.sum((start - optimum) ** 2, axis=0)),
        "lemma_4_5_outputs": _largest_error(moved.logits(), site.logits()),
    }


def summarise_units(found: dict[str, Array]) -> dict[str, dict[str, Any]]:
    """Boil a layer's checks down: the largest errors, how many units keep a condition, quantiles of ratios, a histogram.

    Units to which no gradient comes are counted, and left out of the rest.
    """
    values = {name: np.asarray(value) for name, value in found.items()}
    active = values.pop("active")
    kept = {name: value[active] for name, value in values.items()}
    conditions = {name: value for name, value in kept.items() if value.dtype == bool}
    removed = np.clip(1 - kept["gradient_ratio"] ** 2, EDGES[0], None)
    return {
        "errors": {name: largest(kept[name]) for name in sorted(kept.keys() - conditions.keys() - set(RATIOS))},
        "counts": {
            "units": len(active),
            "active": int(active.sum()),
            "smoother": int((kept["aligned"] & kept["positive"]).sum()),
            **{name: int(value.sum()) for name, value in conditions.items()},
        },
        "ratios": {name: quantiles(kept[name]) for name in ("gradient_ratio", "curvature_ratio", "subtracted")},
        "medians": {"tightness": quantiles(kept["tightness"])[1]},
        "histogram": {"removed": np.histogram(removed, EDGES)[0].tolist()},
    }


def largest(values: Any) -> float:
    """Return the largest number that is finite; NaN if there is none."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    return _round(values.max(), 2) if values.size else float("nan")


def quantiles(values: Any) -> list[float]:
    """Return the first decile, the median and the last decile of what is finite."""
    values = np.asarray(values, float)
    values = values[np.isfinite(values)]
    return [_round(x, 4) for x in np.quantile(values, _SHOWN)] if values.size else [float("nan")] * len(_SHOWN)


def _at_most(value: Array, bound: Array) -> Array:
    """Tell whether a number is at most another, but for rounding."""
    return value <= bound + _ROUNDING * jnp.abs(bound)


def _error(found: Array, expected: Array) -> Array:
    """Return the error relative to the larger number; NaN where both are 0."""
    return jnp.abs(found - expected) / jnp.maximum(jnp.abs(found), jnp.abs(expected))


def _largest_error(found: Array, expected: Array) -> Array:
    """Return the largest error of an array, relative to its largest number."""
    return jnp.abs(found - expected).max() / jnp.abs(expected).max()


def _round(value: Any, digits: int) -> float:
    """Keep some significant digits."""
    return float(f"{value:.{digits}e}")
