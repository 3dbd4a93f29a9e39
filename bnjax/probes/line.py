"""The probe of Santurkar et al. 2018: loss and gradient along a line, at many step sizes."""

import os
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.core import Tracer
from jax.sharding import Mesh
from jax.typing import ArrayLike
from jaxtyping import Float

from bnjax._host import trees
from bnjax._host.arguments import checked
from bnjax._host.debugging import nan_is_a_value
from bnjax._host.kinds import kind_of
from bnjax._host.precision import product_rounding, with_precision
from bnjax.probes.following import Comparison, evaluate_from_start, evaluate_start
from bnjax.probes.paths import check_alike, check_params
from bnjax.probes.points import (
    Batching,
    check_batching,
    compiled,
    evaluate_points,
    is_pytree,
    is_tracing,
    probed_info,
    scalar_loss,
)
from bnjax.probes.results import Word, load_result, register, save_result
from bnjax.probes.sanity import Sanity, check_line
from bnjax.types import LossFn, ObjectiveInfo, Params

Norm = Literal["global", "sum_of_layers"]

_LENGTHS = {"global": trees.norm, "sum_of_layers": trees.sum_of_norms}
_UNKNOWN = np.full((), np.nan, np.float32)


@register("effective_smoothness")
class LineScan(NamedTuple):
    """Loss and gradients at params + step_size * direction.

    Distances and norms are l2 over all parameters, or sums of the l2 norms of all arrays, depending on `norm`. Without
    gradients, their fields are NaN. Under `jax.vmap` every array gains a leading axis of scans.

    Attributes:
        step_sizes: coordinates, in units of `direction`.
        loss: at each point.
        gradient_distance: |gradient at the point - gradient at the start|.
        gradient_cosine: cosine between the two.
        gradient_norm: |gradient at the start|.
        direction_norm: |direction|.
        start_loss: at step size 0.
        objective: how the loss was made: its statistics mode and batch size, unknown for a bare function; and in which
            precision it was evaluated.
        slope: <gradient, direction> at each point, the derivative of the loss by the step size; NaN in files from before it
            was recorded.
        start_slope: the slope at the start; along the default direction, minus the squared l2 norm of the gradient.
        norm: of distances and lengths, "global" or "sum_of_layers".
    """

    step_sizes: Float[Array, "*scans points"]
    loss: Float[Array, "*scans points"]
    gradient_distance: Float[Array, "*scans points"]
    gradient_cosine: Float[Array, "*scans points"]
    gradient_norm: Float[Array, "*scans"]
    direction_norm: Float[Array, "*scans"]
    start_loss: Float[Array, "*scans"]
    objective: ObjectiveInfo
    slope: Float[Array | np.ndarray, "*scans points"] = _UNKNOWN
    start_slope: Float[Array | np.ndarray, "*scans"] = _UNKNOWN
    norm: Word = Word("global")

    @property
    def loss_range(self) -> tuple[Array, Array]:
        """(smallest, largest) loss over the points; the start is not one of them."""
        return jnp.min(self.loss, axis=-1), jnp.max(self.loss, axis=-1)

    @property
    def gradient_range(self) -> tuple[Array, Array]:
        """Gradient predictiveness: (smallest, largest) gradient distance over the points."""
        return jnp.min(self.gradient_distance, axis=-1), jnp.max(self.gradient_distance, axis=-1)

    @property
    def smoothness(self) -> Float[Array, "*scans points"]:
        """Gradient distance over distance, |g(w + eta d) - g(w)| / |eta d|; NaN at step size 0."""
        with nan_is_a_value():
            return self.gradient_distance / (jnp.abs(self.step_sizes) * self.direction_norm[..., None])

    @property
    def effective_smoothness(self) -> Float[Array, "*scans"]:
        """The largest smoothness over the points other than the start itself; NaN where there are none."""
        moves = self.step_sizes != 0
        with nan_is_a_value():
            largest = jnp.max(self.smoothness, axis=-1, where=moves, initial=-jnp.inf)
            return jnp.where(jnp.any(moves, axis=-1), largest, jnp.nan)

    def check(self) -> Sanity:
        """Compare the losses with the gradients and the start; `print(scan.check())` shows in a line whether they agree."""
        info = self.objective
        rounding = product_rounding(info.precision, info.platform) if self.loss.dtype != jnp.float64 else 0.0
        return check_line(self.step_sizes, self.loss, self.slope, self.start_loss, self.start_slope, rounding)

    def save(self, path: str | os.PathLike) -> None:
        """Write an npz file."""
        save_result(self, path)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "LineScan":
        """Read what `save` wrote."""
        return load_result(cls, path)


@checked()
@with_precision
def scan_line(
    loss_fn: LossFn,
    params: Params,
    direction: Params | None = None,
    step_sizes: ArrayLike | Sequence[ArrayLike] = (0.05, 0.1, 0.2, 0.4),
    *,
    gradients: bool = True,
    norm: Norm = "global",
    batching: Batching = "auto",
    mesh: Mesh | None = None,
    resume: str | os.PathLike | None = None,
    precision: str | None = None,
    show_progress: bool = True,
) -> LineScan:
    """Evaluate loss and gradients along a line through the parameters, changing nothing.

    With w the parameters, d the direction and g the gradient, at each step size eta

        loss = L(w + eta d)        gradient_distance = |g(w + eta d) - g(w)|        smoothness = gradient_distance / |eta d|

    Source: Santurkar et al. 2018, Sec. 3.2 and Fig. 4, where d = -g(w), the default here, on the current batch in training
    mode. Its effective beta-smoothness is the largest smoothness over the step sizes.

    Args:
        loss_fn: scalar loss of the parameters; from `objective.make_loss_fn` it is compiled once for all batches of a shape,
            any other function is compiled at every call.
        params: w.
        direction: d, a tree like `params`; None is minus the gradient at `params`, which may be zero: a flat line.
        step_sizes: etas, in units of d; the default is the paper's grid for a learning rate of 0.1.
        gradients: False leaves gradients out, which costs a third; their fields are NaN.
        norm: of distances and lengths: "global", l2 over all parameters, or "sum_of_layers", the sum of the l2 norms of all
            arrays (kernels, biases and scales separately), larger by a factor up to the square root of their number.
        batching: how points run together; this and all arguments below are as in `evaluate_points`. All ways give the same
            numbers.
        mesh: devices over which points are spread.
        resume: a file of the points evaluated so far.
        precision: of products, "highest" unless the caller has set another.
        show_progress: show a bar on a terminal where it takes long.

    Returns:
        LineScan.

    Raises:
        ValueError: if there is no step size, one is not finite, norm or precision is unknown, the direction is zero or not like
            `params`, these are not floating-point, or the loss is not a scalar.

    Example:
        >>> from bnjax import probes
        >>> scan = probes.scan_line(lambda w: jnp.sum(w**2), jnp.ones(3), step_sizes=(0.25, 0.5))
        >>> print(scan.loss, scan.effective_smoothness)
        [0.75 0.  ] 2.0
    """
    check_batching(batching)
    if norm not in _LENGTHS:
        raise ValueError(f"norm must be one of {', '.join(get_args(Norm))}, got {norm!r}.")
    check_params(params)
    check_coordinates("step_sizes", step_sizes)
    if direction is None and not gradients:
        raise ValueError("direction must be given where gradients is False: the default direction is a gradient.")
    if direction is not None:
        check_alike("direction", direction, params)
        direction = _in_types_of(params, direction)
        check_nonzero("direction", direction)
    options: dict[str, Any] = {"batching": batching, "mesh": mesh, "resume": resume, "show_progress": show_progress}
    # NOTE: without the gradient at the start, whose last digits depend on the machine.
    options["identity"] = (params, direction, loss_fn if is_pytree(loss_fn) else None)
    bind = jax.tree_util.Partial if is_pytree(loss_fn) else partial
    comparison = Comparison(
        bind(_differentiate, loss_fn),
        jax.tree_util.Partial(_begin, direction),
        jax.tree_util.Partial(_compare, Word(norm)),
    )
    coordinates = jnp.asarray(step_sizes, _real_type(params))[:, None]
    if gradients:
        nothing = jax.tree.map(lambda leaf: np.zeros(jnp.shape(leaf), jnp.result_type(leaf)), params)
        unknown = _Start(nothing, (nothing,))
        start, first, values = evaluate_from_start(comparison, params, unknown, coordinates, **options)
    else:
        start, first = evaluate_start(comparison, params)
        values = evaluate_points(bind(_loss_only, loss_fn), params, start.directions, coordinates, **options)
    gradient_norm, direction_norm = compiled(_lengths, Word(norm))(start)
    loss, gradient_distance, cosine, slope = values
    return LineScan(
        coordinates[:, 0].astype(trees.common_type(loss.dtype, jnp.float32)),
        loss,
        gradient_distance,
        cosine,
        gradient_norm,
        direction_norm,
        first[0],
        probed_info(loss_fn, params, mesh),
        slope,
        first[-1],
        Word(norm),
    )


@checked()
def stack_lines(scans: Sequence[LineScan]) -> LineScan:
    """Stack scans with equal numbers of points (seeds, directions, checkpoints or batches) along a new first axis.

    Their spread is `band(stacked.loss)`. Step sizes may differ, but then the band mixes different coordinates.

    Raises:
        ValueError: if there are none, their points differ in number, or they were made in different ways.

    Example:
        >>> from bnjax import probes
        >>> scans = [probes.scan_line(lambda w: jnp.sum(w**2), start * jnp.ones(2), step_sizes=(0.25, 0.5)) for start in (1, 2)]
        >>> print(probes.stack_lines(scans).loss)
        [[0.5 0. ]
         [2.  0. ]]
    """
    if not scans:
        raise ValueError("scans must hold at least one scan, got none.")
    for scan in scans:
        ways = [(one.loss.shape, str(one.norm), one.objective) for one in (scans[0], scan)]
        if ways[0] != ways[1]:
            raise ValueError(
                f"scans must have as many points, the same norm and the same objective, got {ways[0]} and {ways[1]}."
            )
    return jax.tree.map(lambda *arrays: jnp.stack(arrays), *scans)


class _Start(NamedTuple):
    """The gradient at the start, and the direction of the scan."""

    gradient: Params
    directions: tuple[Params]


def _real_type(params: Params) -> Any:
    """Return the widest real type among the parameters, at least float32."""
    return jnp.result_type(jnp.float32, *(jnp.finfo(jnp.result_type(leaf)).dtype for leaf in jax.tree.leaves(params)))


def _differentiate(loss_fn: LossFn, params: Params) -> tuple[Array, Params]:
    """Evaluate loss and gradient."""
    return jax.value_and_grad(partial(scalar_loss, loss_fn))(params)


def _begin(direction: Params | None, observed: tuple[Array, Params]) -> _Start:
    """Keep the gradient; without a direction, take minus the gradient."""
    _, gradient = observed
    return _Start(gradient, (optax.tree.scale(-1, gradient) if direction is None else direction,))


def _in_types_of(params: Params, direction: Params) -> Params:
    """Convert a direction to the types of the parameters."""

    def convert(along: Any, leaf: Any) -> Array:
        if jnp.iscomplexobj(along) and not jnp.iscomplexobj(leaf):
            raise ValueError(f"direction must be real where the parameters are, got {jnp.result_type(along)}.")
        return jnp.asarray(along, jnp.result_type(leaf))

    return jax.tree.map(convert, direction, params)


def _lengths(norm: str, start: _Start) -> tuple[Array, Array]:
    """Measure the gradient and the direction."""
    return _LENGTHS[norm](start.gradient), _LENGTHS[norm](*start.directions)


def _compare(norm: str, start: _Start, observed: tuple[Array, Params]) -> tuple[Array, ...]:
    """Measure the distance and cosine of a point's gradient to the start's, and the slope there; pass the loss on."""
    loss, gradient = observed
    moved = _LENGTHS[norm](trees.difference(gradient, start.gradient))
    return loss, moved, trees.cosine(gradient, start.gradient), _slope(gradient, *start.directions)


def _slope(gradient: Params, direction: Params) -> Array:
    """Compute <g, d>; for half-precision gradients in bfloat16, which has the known digits and does not overflow."""
    is_half = any(jnp.finfo(leaf.dtype).bits < 32 for leaf in jax.tree.leaves(gradient))
    slope = trees.dot(gradient, direction)
    return slope.astype(jnp.bfloat16) if is_half else slope


def _loss_only(loss_fn: LossFn, params: Params) -> tuple[Array, ...]:
    """Measure the loss."""
    loss = loss_fn(params)
    nothing = jnp.full_like(loss, jnp.nan)
    return loss, nothing, nothing, nothing


def check_coordinates(name: str, values: ArrayLike | Sequence[ArrayLike]) -> None:
    """Raise unless these are numbers in a row, finite in JAX's own type; traced values are not checked."""
    is_traced = any(isinstance(value, Tracer) for value in jax.tree.leaves(values))
    try:
        array = jnp.asarray(values) if is_traced else np.asarray(values)
    except ValueError:  # rows of unequal length
        array = np.zeros((0, 0))
    largest, is_real = float(jnp.finfo(jnp.result_type(float)).max), kind_of(array.dtype) in ("f", "i", "b")
    if array.ndim != 1 or not array.size or not is_real or not (is_traced or (np.abs(array) <= largest).all()):
        raise ValueError(f"{name} must be a non-empty list of finite numbers, got {values}.")


def check_nonzero(name: str, direction: Params) -> None:
    """Raise if a direction is zero; inside compiled code it is not checked."""
    if not is_tracing() and not any(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(direction)):
        raise ValueError(f"{name} must not be zero everywhere.")
