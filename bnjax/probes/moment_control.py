"""Which parameters set mean and standard deviation of a layer's units: its own, or those of the layers before it."""

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from bnjax._host.arguments import checked
from bnjax._host.precision import with_precision
from bnjax._host.trees import as_float, norm, ratio
from bnjax.probes.paths import Layers, check_alike, check_params, layer_leaves, layer_numbers
from bnjax.probes.points import compiled
from bnjax.probes.results import LayerNames, load_result, register, save_result
from bnjax.types import Params


@register("earlier_gain", "own_gain")
class MomentControl(NamedTuple):
    """How far an update moves the means and standard deviations of the units of some layers; l2 norms, one entry per layer.

    Under `jax.vmap` every array gains a leading axis. A unit is one feature; m_l is the vector of the means and the standard
    deviations of the units of layer l.

    Attributes:
        layers: names of the measured outputs, by default those of their layers.
        earlier: change of m_l by the update of the layers before it, in units of the activations.
        own: change of m_l by the update of layer l itself.
        together: change of m_l by both.
        moments: |m_l| before any update.
        earlier_update: length of the update of the layers before it, in units of the parameters; 0 for the first layer.
        own_update: length of the update of layer l.
        earlier_params: |w| of the layers before it.
    """

    layers: LayerNames
    earlier: Float[Array, "*runs layers"]
    own: Float[Array, "*runs layers"]
    together: Float[Array, "*runs layers"]
    moments: Float[Array, "*runs layers"]
    earlier_update: Float[Array, "*runs layers"]
    own_update: Float[Array, "*runs layers"]
    earlier_params: Float[Array, "*runs layers"]

    @property
    def earlier_gain(self) -> Float[Array, "*runs layers"]:
        """Change of m_l per unit of the update of the layers before it; NaN for the first layer."""
        return ratio(self.earlier, self.earlier_update)

    @property
    def own_gain(self) -> Float[Array, "*runs layers"]:
        """Change of m_l per unit of the update of layer l."""
        return ratio(self.own, self.own_update)

    @property
    def relative_gain(self) -> Float[Array, "*runs layers"]:
        """Relative change of m_l per relative change of the layers before it: (earlier / |m_l|) / (|update| / |w|)."""
        return ratio(ratio(self.earlier, self.moments), ratio(self.earlier_update, self.earlier_params))

    @property
    def earlier_share(self) -> Float[Array, "*runs layers"]:
        """Share of the changes that the layers before it make: earlier / (earlier + own)."""
        return ratio(self.earlier, self.earlier + self.own)

    def save(self, path: str | os.PathLike) -> None:
        """Write an npz file."""
        save_result(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "MomentControl":
        """Read what `save` wrote."""
        return load_result(cls, path)


@checked()
@with_precision
def moment_control(
    outputs_fn: Callable[[Params], Mapping[str, Array]],
    params: Params,
    update: Params,
    layers: Layers,
    *,
    of: Mapping[str, str] | None = None,
    precision: str | None = None,
) -> MomentControl:
    """Measure how far an update of earlier layers, and a layer's own, moves the mean and standard deviation of its units.

    With m_l(w) the means and standard deviations (1/m) of the units of layer l over examples and positions, w_j the parameters
    and u_j the update of layer j

        earlier_l = |m_l(w_1 + u_1, ..., w_{l-1} + u_{l-1}, w_l, ...) - m_l(w)|
        own_l = |m_l(w_1, ..., w_{l-1}, w_l + u_l, ...) - m_l(w)|

    With batch norm, two parameters of each unit set both moments of a normalised output, regardless of the layers before it:
    `earlier` is then 0, except for epsilon and rounding. Source: Goodfellow, Bengio & Courville 2016, Deep Learning,
    Sec. 8.7.1, for the hypothesis; the measure is this library's. Nothing is changed.

    Args:
        outputs_fn: maps parameters to activations by name, each (examples, ..., units), such as what `capture` reads. As a
            pytree it is compiled once per shape, any other function is compiled at every call.
        params: w, before the update.
        update: u, a tree like `params`, which the optimiser adds to them.
        layers: paths or regular expressions as in `layer_leaves`, input side first. Parameters of no layer stay where they are.
        of: the layer of each output, by the output's name, if a layer has several outputs, such as before its normaliser and
            after it; None if outputs have the names of their layers. It sets which outputs are measured, and their order.
        precision: of products, as in `evaluate_points`.

    Returns:
        MomentControl, of the outputs in `of`, or else of all, in the order of `layers`.

    Raises:
        ValueError: if a pattern matches nothing, a parameter is in two layers or not floating-point, `update` is not like
            `params`, the outputs are not a dictionary of activations, there is none, or one is missing or of an unknown layer.

    Example:
        >>> from bnjax import probes
        >>> x = jnp.array([[1.0], [-1.0]])
        >>> outputs_fn = lambda params: {"b": params["b"] * (params["a"] * x)}
        >>> w, update = {"a": jnp.float32(1), "b": jnp.float32(2)}, {"a": jnp.float32(0.5), "b": jnp.float32(1)}
        >>> found = probes.moment_control(outputs_fn, w, update, ["a", "b"])  # the std is a b
        >>> print(found.layers, found.earlier_gain, found.own_gain)
        ('b',) [2.] [1.]
    """
    check_params(params)
    check_alike("update", update, params)
    leaves = layer_leaves(params, layers)
    numbers = layer_numbers(params, leaves)
    outputs = jax.eval_shape(outputs_fn, params)
    if not isinstance(outputs, Mapping) or not all(jnp.ndim(value) for value in outputs.values()):
        rule = "outputs_fn must return a dictionary of activations, each (examples, ..., units)"
        raise ValueError(f"{rule}, got {jax.tree.map(jnp.shape, outputs)}.")
    names = [*outputs]
    of = {name: name for name in sorted(names, key=[*leaves, *names].index)} if of is None else of
    missing, unknown = [name for name in of if name not in names], [name for name in of.values() if name not in leaves]
    if missing:
        raise ValueError(f"of must name outputs, of {', '.join(names)}; got {missing[0]!r}.")
    if unknown or not of:
        got = repr(unknown[0]) if unknown else "none"
        raise ValueError(f"outputs must be of one or more of the layers, {', '.join(leaves)}; got {got}.")
    places = tuple((name, [*leaves].index(layer)) for name, layer in of.items())
    found = compiled(_measure, outputs_fn, places=places, numbers=numbers)(params, update)
    return MomentControl(LayerNames(of), *found)


def _measure(
    outputs_fn: Callable[[Params], Mapping[str, Array]],
    params: Params,
    update: Params,
    *,
    places: tuple[tuple[str, int], ...],
    numbers: tuple[int, ...],
) -> tuple[Array, ...]:
    """Measure changes of the moments, and lengths, of each output; `places` are their names and the numbers of layers."""

    def moved(ends: tuple[Array, Array]) -> dict[str, Array]:
        """Return the moments after moving the layers from the first to the last of `ends`."""
        step = _between(update, *ends, numbers)
        outputs = outputs_fn(jax.tree.map(lambda w, u: (w + u).astype(w.dtype), params, step))
        return {name: _moments(outputs[name]) for name, _ in places}

    # NOTE: the start is an iteration of the same loop: moments that do not depend on the moved layers are bit-identical.
    layers = sorted({number for _, number in places})
    moves = [(0, -1), *((0, n - 1) for n in layers), *((n, n) for n in layers), *((0, n) for n in layers)]
    first, last = jnp.asarray(moves).T
    found = jax.lax.map(moved, (first, last))

    def changes(kind: int) -> Array:
        turns = {name: 1 + kind * len(layers) + layers.index(number) for name, number in places}
        return jnp.stack([norm(found[name][turn] - found[name][0]) for name, turn in turns.items()])

    def lengths(tree: Params, is_own: bool) -> Array:
        ends = [(n, n) if is_own else (0, n - 1) for _, n in places]
        return jnp.stack([norm(_between(tree, *pair, numbers)) for pair in ends])

    moments = jnp.stack([norm(found[name][0]) for name, _ in places])
    updates = lengths(update, is_own=False), lengths(update, is_own=True)
    return changes(0), changes(1), changes(2), moments, *updates, lengths(params, is_own=False)


def _moments(values: Array) -> Float[Array, "two units"]:
    """Return mean and standard deviation of each unit."""
    values = as_float(values).reshape(-1, values.shape[-1])
    return jnp.stack([values.mean(0), values.std(0)])


def _between(tree: Params, first: Array | int, last: Array | int, numbers: tuple[int, ...]) -> Params:
    """Keep the layers from `first` to `last`, and set the rest to 0."""
    leaves, form = jax.tree.flatten(tree)
    return form.unflatten(
        jnp.where((number >= 0) & (first <= number) & (number <= last), leaf, jnp.zeros_like(leaf))
        for leaf, number in zip(leaves, numbers, strict=True)
    )
