"""The theorems on a layer of a real network: JAX's derivatives compared with `bnjax.theory`, in float64."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array

from bnjax import probes, theory
from bnjax._host.programs import compiled_once
from bnjax.losses import cross_entropy
from bnjax.types import Batch, Model, Variables

FACTOR = 3.0  # factor on weights whose length must not matter
_ROUNDING = 1e-12  # tolerance of an inequality in float64


class Site(NamedTuple):
    """A dense layer of a network, `dense_n`, followed by batch norm, `norm_n`, on a batch in training mode."""

    model: Model
    layer: int
    variables: Variables
    batch: Batch

    def capture(self, name: str, where: Any = "outputs") -> Array:
        """Return the inputs or the outputs of this layer's `dense` or `norm`."""
        layer = f"{name}_{self.layer}"
        return probes.capture(self.model, self.variables, self.batch.inputs, layer, where=where)[layer]

    def loss(self, name: str, outputs: Array) -> Array:
        """Evaluate the mean loss with the outputs of this layer's `dense` or `norm` replaced."""

        def replace(next_fn: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
            is_it = context.method_name == "__call__" and context.module.path == (f"{name}_{self.layer}",)
            # NOTE: the layer still runs, so that its statistics are updated; training refuses a model that updates none.
            own = next_fn(*args, **kwargs)
            return outputs if is_it else own

        with nn.intercept_methods(replace):
            return cross_entropy(self.logits(), self.batch.labels).mean()

    def loss_of_kernel(self, kernel: Array, inputs: Array) -> Array:
        """Evaluate the mean loss with this layer's weights and inputs replaced."""
        return self.loss("dense", inputs @ kernel + self.dense["bias"][None])

    def logits(self) -> Array:
        """Compute the network's outputs."""
        return self.model.apply(self.variables, self.batch.inputs, train=True)[0]

    @property
    def dense(self) -> dict[str, Array]:
        """The layer's weights and biases."""
        return self.variables.params[f"dense_{self.layer}"]

    def scaled(self, factors: Array) -> "Site":
        """Multiply the incoming weights of each unit by a factor, (units,)."""
        dense = {**self.dense, "kernel": self.dense["kernel"] * factors[None]}
        params = {**self.variables.params, f"dense_{self.layer}": dense}
        return self._replace(variables=self.variables._replace(params=params))


@compiled_once("plain", "layer")
def insert_batch_norm(plain: Model, layer: int, variables: Variables, batch: Batch) -> Variables:
    """Add batch norm after a plain network's dense layer, with the scale and bias that change nothing (Obs. 4.3)."""
    y = Site(plain, layer, variables, batch).capture("dense")
    scale, bias = jax.vmap(theory.preserving_scale_and_bias, in_axes=1)(y)
    name, stats = f"norm_{layer}", {"mean": jnp.zeros_like(bias), "var": jnp.ones_like(scale)}
    return Variables({**variables.params, name: {"scale": scale, "bias": bias}}, {name: stats})


class Seen(NamedTuple):
    """A unit, and JAX's derivatives of the network."""

    unit: theory.Unit
    gh: Array  # the gradient with respect to y, (examples,)
    curvature: Array  # of the loss along that gradient, ()
    through: Array  # H gh, (examples,)
    plain: Array  # H g, (examples,)

    def bound(self, bound_fn: Callable, *arguments: Any, along: str = "through") -> Array:
        """Evaluate a bound on curvature that multiplies only one vector by H, using the known product."""
        return bound_fn(self.unit, lambda _: getattr(self, along), *arguments)


@compiled_once("model", "layer")
def check_units(model: Model, layer: int, variables: Variables, batch: Batch) -> dict[str, Array]:
    """Check the theorems on every unit of a layer whose batch norm has epsilon 0.

    Returns:
        Arrays (units,) by name: relative errors of equalities, whether conditions and inequalities hold, ratios.
    """
    site = Site(model, layer, variables, batch)
    y, z, x = site.capture("dense"), site.capture("norm"), site.capture("dense", "inputs")
    (by_y, product_y), (by_z, product_z) = (
        jax.linearize(jax.grad(partial(site.loss, name)), at) for name, at in (("dense", y), ("norm", z))
    )
    kernel, scale = site.dense["kernel"], variables.params[f"norm_{layer}"]["scale"]
    input_norm, examples = jnp.linalg.norm(x, 2), y.shape[0]
    white = input_norm * jnp.linalg.qr(jax.random.normal(jax.random.key(0), (examples, examples), x.dtype))[0]
    by_kernel = jax.grad(site.loss_of_kernel)(kernel, x)

    def check(j: Array) -> dict[str, Array]:
        column = jax.nn.one_hot(j, y.shape[1])[None]
        unit = theory.normalise_unit(y[:, j], by_z[:, j], scale[j])
        gh = theory.pre_activation_gradient(unit)
        through, plain = (product_z(v[:, None] * column)[:, j] for v in (gh, unit.gradient))

        def curvature(v: Array) -> Array:
            return jnp.vdot(v, product_y(v[:, None] * column)[:, j])

        seen = Seen(unit, by_y[:, j], curvature(by_y[:, j]), through, plain)
        weights = kernel[:, j], by_kernel[:, j], curvature(x @ by_kernel[:, j])
        by_white = white.T @ by_y[:, j]
        on_white = jnp.vdot(by_white, by_white), curvature(white @ by_white)
        return {**_check_activations(seen), **_check_weights(seen, input_norm, weights, on_white)}

    return jax.vmap(check)(jnp.arange(y.shape[1]))


def _check_activations(seen: Seen) -> dict[str, Array]:
    """Check Theorems 4.1 and 4.2, and what Observation 4.3 states about the gradient."""
    unit, gh, curvature, through, _ = seen
    g, along, squared = unit.gradient, jnp.vdot(gh, through), jnp.vdot(gh, gh)
    plain = jnp.vdot(g, seen.plain)
    isotropic, relaxed = (
        bound_fn(unit, lambda v: v) for bound_fn in (theory.curvature_bound, theory.relaxed_curvature_bound)
    )
    return {
        "active": jnp.vdot(g, g) > 0,
        "theorem_4_1": _error(squared, theory.gradient_bound(unit)),
        "theorem_4_2": _error(curvature, seen.bound(theory.curvature_bound)),
        "aligned": theory.is_smoothed(unit),
        "positive": along >= -_ROUNDING * jnp.linalg.norm(gh) * jnp.linalg.norm(through),
        "gradient_not_larger": _at_most(squared, jnp.vdot(g, g)),
        "curvature_not_larger": _at_most(curvature, plain),
        "isotropic_holds": _at_most(isotropic, relaxed),
        "relaxed_holds": _at_most(curvature, seen.bound(theory.relaxed_curvature_bound, along="plain")),
        "gradient_ratio": jnp.sqrt(squared) / jnp.linalg.norm(g),
        "curvature_ratio": curvature / plain,
    }


def _check_weights(
    seen: Seen, input_norm: Array, weights: tuple[Array, Array, Array], on_white: tuple[Array, Array]
) -> dict[str, Array]:
    """Check Theorems 4.4 and C.1 as bounds for the layer's own inputs, and as equalities for white ones of the same norm.

    The norm is lambda, the spectral norm. `weights` holds the unit's weights, their gradient and the curvature along it;
    `on_white` the squared gradient and the curvature for white inputs, X with X X' = lambda² I.
    """
    (w, gradient, curvature), squared = weights, jnp.vdot(weights[1], weights[1])
    bound = theory.weight_gradient_bound(seen.unit, input_norm)
    curvature_bound = seen.bound(theory.weight_curvature_bound, input_norm)
    return {
        "orthogonal": jnp.abs(jnp.vdot(w, gradient)) / (jnp.linalg.norm(w) * jnp.linalg.norm(gradient)),
        "theorem_4_4": _error(on_white[0], bound),
        "theorem_c_1": _error(on_white[1], curvature_bound),
        "corrected_holds": _at_most(squared, bound),
        "printed_holds": _at_most(squared, theory.weight_gradient_bound(seen.unit, input_norm, as_printed=True)),
        "c_1_as_bound_holds": _at_most(curvature, curvature_bound),
        "c_1_not_negative": curvature_bound >= 0,
        "c_1_not_negative_holds": _at_most(curvature, curvature_bound) & (curvature_bound >= 0),
    }


@compiled_once("model", "layer")
def check_epsilon(model: Model, layer: int, variables: Variables, batch: Batch, epsilon: float) -> tuple[Array, Array]:
    """Check Theorem 4.1 with the epsilon of the model's batch norm, as an inequality whose gap is known.

    Returns:
        Arrays (units,): the error of the gap, relative to the bound, and whether the inequality holds.
    """
    site = Site(model, layer, variables, batch)
    y, z = site.capture("dense"), site.capture("norm")
    gh, g = (jax.grad(site.loss, 1)(name, at) for name, at in (("dense", y), ("norm", z)))

    def check(y: Array, gh: Array, g: Array, scale: Array) -> tuple[Array, Array]:
        unit = theory.normalise_unit(y, g, scale, epsilon=epsilon)
        bound, squared, lost = theory.gradient_bound(unit), jnp.vdot(gh, gh), epsilon / unit.std**2
        gap = (scale / unit.std) ** 2 * jnp.vdot(g, unit.normalised) ** 2 / y.size * lost
        return jnp.abs(bound - squared - gap) / bound, _at_most(squared, bound)

    return jax.vmap(check, in_axes=(1, 1, 1, 0))(y, gh, g, variables.params[f"norm_{layer}"]["scale"])


@compiled_once("model", "layer")
def check_rescaling(model: Model, layer: int, variables: Variables, batch: Batch) -> dict[str, Array]:
    """Check the effect of larger weights (Ioffe & Szegedy 2015, Sec. 3.3): relative errors, ()."""
    site = Site(model, layer, variables, batch)
    kernel, inputs = site.dense["kernel"], site.capture("dense", "inputs")
    at = jax.grad(site.loss_of_kernel, (0, 1))
    (by_kernel, by_inputs), (by_scaled, by_inputs_there) = (at(a * kernel, inputs) for a in (1.0, FACTOR))
    scaled = site.scaled(jnp.full(kernel.shape[1], FACTOR, inputs.dtype))
    return {
        "rescaled_outputs": _largest_error(scaled.logits(), site.logits()),
        "rescaled_inputs_gradient": _largest_error(by_inputs_there, by_inputs),
        "rescaled_weights_gradient": _largest_error(by_scaled, theory.rescaled_gradient(by_kernel, FACTOR)),
    }


@compiled_once("plain", "model", "layer")
def check_insertion(
    plain: Model, model: Model, layer: int, variables: Variables, inserted: Variables, batch: Batch
) -> dict[str, Array]:
    """Check that inserted batch norm preserves outputs, and the gradient it receives (Obs. 4.3): relative errors, ()."""
    before, after = Site(plain, layer, variables, batch), Site(model, layer, inserted, batch)
    y, z = before.capture("dense"), after.capture("norm")
    return {
        "preserved_outputs": _largest_error(after.logits(), before.logits()),
        "preserved_gradient": _largest_error(jax.grad(after.loss, 1)("norm", z), jax.grad(before.loss, 1)("dense", y)),
    }


@compiled_once("model", "layer")
def check_optimum(model: Model, layer: int, variables: Variables, batch: Batch, start: Array) -> dict[str, Array]:
    """Check Lemma 4.5, from each unit's initial weights to its current ones.

    Returns:
        The lemma's error, (units,), NaN if no multiple of the current weights is near; the outputs' error with these multiples.
    """
    site = Site(model, layer, variables, batch)
    optimum = site.dense["kernel"]
    nearest = jax.vmap(theory.nearest_scaled_optimum, in_axes=1, out_axes=1)(start, optimum)
    bound = jax.vmap(theory.optimum_distance_bound, in_axes=1)(start, optimum)
    factors = jnp.linalg.norm(nearest, axis=0) / jnp.linalg.norm(optimum, axis=0)
    moved = site.scaled(jnp.where(jnp.isnan(factors), 1.0, factors))
    return {
        "lemma_4_5": _error(jnp.sum((start - nearest) ** 2, axis=0), bound),
        "lemma_4_5_outputs": _largest_error(moved.logits(), site.logits()),
    }


def _at_most(value: Array, bound: Array) -> Array:
    return value <= bound + _ROUNDING * jnp.abs(bound)


def _error(found: Array, expected: Array) -> Array:
    """Return the error relative to the larger number; NaN where both are 0."""
    return jnp.abs(found - expected) / jnp.maximum(jnp.abs(found), jnp.abs(expected))


def _largest_error(found: Array, expected: Array) -> Array:
    """Return the largest error of an array, relative to its largest number."""
    return jnp.abs(found - expected).max() / jnp.abs(expected).max()
