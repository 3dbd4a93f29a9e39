"""LSTMs that classify sequences, with the normalisers of Cooijmans et al. 2016 and of Ba, Kiros & Hinton 2016."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import Array, lax
from jaxtyping import Float, PyTree

from bnjax._host.arguments import checked
from bnjax._host.programs import compiled_once
from bnjax.losses import average, loss_of_each
from bnjax.models.shapes import LSTMShape
from bnjax.models.shared import Normalised, check_classes
from bnjax.types import Batch, Rngs, Variables

_ORTHOGONAL = nn.initializers.orthogonal()


@dataclass(frozen=True)
class LSTMConfig(Normalised, LSTMShape):
    """An LSTM: its shape, its classes and its normaliser, which takes `use_bias` and `scale_init` as Flax's do.

    Attributes:
        num_classes: length of the logits.

    Example:
        >>> from bnjax import linen, models
        >>> config = models.LSTMConfig(features=3, norm=linen.BatchNorm, num_classes=4)
        >>> print(config.num_layers, config.num_normalised)
        3 2
    """

    num_classes: int = 10

    def __post_init__(self):
        super().__post_init__()
        check_classes(self.num_classes)


class _Norm(NamedTuple):
    """A normaliser whose scale is shared over time, while each time step may have its own statistics.

    Attributes:
        module: the normaliser; None leaves x as it is.
        params: scale and bias, if it has them.
        stats: its statistics, each (time, *shape), an entry for each step of the sequence.
    """

    module: nn.Module | None
    params: PyTree = None
    stats: PyTree = None

    def apply(self, x: Array, stats: PyTree, *, train: bool) -> tuple[Array, PyTree]:
        """Normalise x, (batch, features), with the statistics of its step; return the new statistics too."""
        if self.module is None:
            return x, stats
        variables = {"params": self.params} | ({} if stats is None else {"batch_stats": stats})
        y, new = self.module.apply(variables, x, use_running_average=not train, mutable=["batch_stats"])
        return y.astype(x.dtype), new.get("batch_stats", stats)  # pyright: ignore[reportAttributeAccessIssue]


class LSTM(nn.Module):
    """One layer of LSTM units over time, and a dense layer on the last hidden state, as Cooijmans et al. 2016 describe them.

        f, i, o, g = norm_2(W_h h) + norm_1(W_x x) + b
        c = sigmoid(f) c + sigmoid(i) tanh(g)
        h = sigmoid(o) tanh(norm_cell(c))

    The first two normalisers have no bias, since b is there; the cell state that c carries on is not normalised. Scales and
    biases are shared over time. In training each step is normalised with its own statistics of the batch; running statistics
    belong to the time step, or, if `statistics` is "shared", are averages over time. Evaluation uses the running statistics of
    the last recorded step for all steps after it, as the paper does. W_x, W_h and the output's weights are `dense_1`, `dense_2`
    and `dense_3`; b is the bias of `dense_2`. The initial states are learned, from 0.

    Source: Cooijmans et al. 2016, arXiv 1603.09025, Eq. 6 to 8; with layer norm, Ba, Kiros & Hinton 2016, Eq. 20 to 22.
    Deviation: the noise on the initial hidden state is left out in evaluation, so that equal inputs have equal outputs.

    Example:
        >>> from bnjax import models
        >>> net = models.LSTM(models.LSTMConfig(features=3, num_classes=4))
        >>> shapes = jax.eval_shape(lambda key: net.init(key, jnp.ones((2, 5, 6)), train=False), jax.random.key(0))
        >>> print(shapes["params"]["dense_1"]["kernel"].shape, shapes["params"]["dense_3"]["kernel"].shape)
        (6, 12) (3, 4)
    """

    config: LSTMConfig

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch time *features"],
        *,
        train: bool,
        shift: Float[Array, "time batch units"] | None = None,
    ) -> Float[Array, "batch classes"]:
        """Compute the logits; the key "noise" draws the noise, and `shift` is added to the hidden state after each step."""
        config = self.config
        if x.ndim < 3:
            raise ValueError(f"inputs must have the shape (batch, time, features), got {x.shape}.")
        x = x.reshape(*x.shape[:2], -1)
        x = x if config.dtype is None else x.astype(config.dtype)
        num_steps, gates = x.shape[1], 4 * config.features
        dense: Any = {"use_bias": False, "kernel_init": _ORTHOGONAL, "dtype": config.dtype}
        inputs = nn.Dense(gates, **dense, name="dense_1")(x).swapaxes(0, 1)
        recurrent = self.param("dense_2", _init_recurrent, config)
        kernel, bias = (recurrent[name].astype(inputs.dtype) for name in ("kernel", "bias"))
        norms = {
            "norm_1": self._norm("norm_1", 1, gates, num_steps, train, use_bias=False),
            "norm_2": self._norm("norm_2", 2, gates, num_steps, train, use_bias=False),
            "norm_cell": self._norm("norm_cell", 2, config.features, num_steps, train),
        }
        of_inputs, of_hidden, of_cell = norms.values()
        # The contribution of the inputs does not depend on the hidden state.
        inputs, new_of_inputs = jax.vmap(partial(of_inputs.apply, train=train))(inputs, of_inputs.stats)

        def step(state: tuple[Array, Array], given: tuple[Any, ...]) -> tuple[tuple[Array, Array], Any]:
            (hidden, cell), (from_input, hidden_stats, cell_stats, moved) = state, given
            from_hidden, hidden_stats = of_hidden.apply(hidden @ kernel, hidden_stats, train=train)
            f, i, o, g = jnp.split(from_hidden + from_input + bias[None], 4, axis=-1)
            cell = nn.sigmoid(f) * cell + nn.sigmoid(i) * jnp.tanh(g)
            shown, cell_stats = of_cell.apply(cell, cell_stats, train=train)
            hidden = nn.sigmoid(o) * jnp.tanh(shown)
            hidden = hidden if moved is None else hidden + moved.astype(hidden.dtype)
            return (hidden, cell), (hidden_stats, cell_stats)

        start = self._start(inputs[0, :, : config.features], train)
        (hidden, _), moving = lax.scan(step, start, (inputs, of_hidden.stats, of_cell.stats, shift))
        if train and not self.is_initializing():
            for name, new in zip(norms, (new_of_inputs, *moving), strict=True):
                self._record(name, new, num_steps)
        return nn.Dense(config.num_classes, kernel_init=_ORTHOGONAL, name="dense_3")(hidden)

    def _start(self, like: Array, train: bool) -> tuple[Array, Array]:
        """Return the states before the first step, of the shape of an array."""
        zeros = nn.initializers.zeros
        hidden, cell = (self.param(f"initial_{name}", zeros, like.shape[-1:]) for name in ("hidden", "cell"))
        hidden, cell = (jnp.broadcast_to(state.astype(like.dtype), like.shape) for state in (hidden, cell))
        if not train or self.is_initializing() or not self.config.initial_noise:
            return hidden, cell
        if not self.has_rng("noise"):
            raise ValueError('rngs must hold a key named "noise" in training, unless initial_noise is 0, got none.')
        noise = jax.random.normal(self.make_rng("noise"), like.shape, like.dtype)
        return hidden + self.config.initial_noise * noise, cell

    def _norm(self, name: str, layer: int, features: int, num_steps: int, train: bool, **options: Any) -> _Norm:
        """Make a normaliser, with its parameters, and its statistics for each step of the sequence."""
        config = self.config
        if config.norm is None or (config.norm_layers != "all" and layer not in config.norm_layers):
            return _Norm(None)
        scale: Any = nn.initializers.constant(config.norm_scale)
        try:
            module: Any = config.norm(parent=None, scale_init=scale, **options)
        except TypeError as error:
            raise ValueError(
                f"norm must take use_bias and scale_init in an LSTM, as linen.BatchNorm does: {error}."
            ) from None
        make = partial(module.init, jax.random.key(0), jnp.zeros((2, features)), use_running_average=False)
        params = self.param(name, lambda _key: make().get("params", {}))
        stats = jax.eval_shape(make).get("batch_stats")
        if stats is None:
            return _Norm(module, params)
        is_shared = config.statistics == "shared"

        def start() -> PyTree:
            length = () if is_shared else (config.recorded_steps,)
            return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (*length, *leaf.shape)), make()["batch_stats"])

        recorded = self.variable("batch_stats", name, start).value
        if is_shared:
            return _Norm(module, params, jax.tree.map(lambda leaf: jnp.stack([leaf] * num_steps), recorded))
        if train and num_steps > config.recorded_steps:
            raise ValueError(
                f"inputs must have at most {config.recorded_steps} time steps in training, the recorded_steps that have "
                f"statistics, got {num_steps}."
            )
        steps = jnp.minimum(jnp.arange(num_steps), config.recorded_steps - 1)
        return _Norm(module, params, jax.tree.map(lambda leaf: leaf[steps], recorded))

    def _record(self, name: str, new: PyTree, num_steps: int) -> None:
        """Store the statistics after a training step: of each time step, or their average over time."""
        if not self.has_variable("batch_stats", name):
            return

        def kept(old: Array, new: Array) -> Array:
            if self.config.statistics == "shared":
                return jnp.mean(new, axis=0).astype(old.dtype)
            return new if num_steps == len(old) else jnp.concatenate([new, old[num_steps:]])

        self.put_variable("batch_stats", name, jax.tree.map(kept, self.get_variable("batch_stats", name), new))


def _init_recurrent(key: Array, config: LSTMConfig) -> dict[str, Array]:
    """Draw weights and bias of the gates, in the order forget, input, output, candidate."""
    n = config.features
    kernel = _ORTHOGONAL(key, (n, 4 * n))
    if config.recurrent_init == "identity":
        kernel = jnp.concatenate([_ORTHOGONAL(key, (n, 3 * n)), jnp.eye(n)], axis=1)
    return {"kernel": kernel, "bias": jnp.concatenate([jnp.ones(n), jnp.zeros(3 * n)])}


@checked()
@compiled_once("config", "loss", "train")
def hidden_gradients(
    config: LSTMConfig,
    variables: Variables,
    batch: Batch,
    *,
    loss: str = "cross_entropy",
    train: bool = True,
    rngs: Rngs | None = None,
) -> Float[Array, "time batch units"]:
    """Compute the gradient of a batch's loss by the hidden state after each time step, through all steps that follow it.

    It is the derivative by an offset added to the hidden state, at 0. Source: Cooijmans et al. 2016, Fig. 1b.

    Args:
        config: of the LSTM.
        variables: parameters and running statistics, which do not move.
        batch: the sequences; the loss is the mean over those that count.
        loss: name of a loss in `losses`.
        train: with the batch's own statistics, or the running ones.
        rngs: keys of random layers, such as {"noise": key}.

    Returns:
        The gradient in the loss's units per unit, (time, batch, units).

    Example:
        >>> from bnjax import Batch, models
        >>> config, x = models.LSTMConfig(features=3, initial_noise=0.0), jnp.ones((2, 5, 4))
        >>> variables = models.make_model(config).init(jax.random.key(0), x)
        >>> models.hidden_gradients(config, variables, Batch(x, jnp.array([1, 2]))).shape
        (5, 2, 3)
    """
    collections = {"params": variables.params, "batch_stats": variables.batch_stats}

    def loss_of(shift: Array) -> Array:
        mutable = ["batch_stats"] if train else False
        found: Any = LSTM(config).apply(collections, batch.inputs, train=train, shift=shift, rngs=rngs, mutable=mutable)
        return average(loss_of_each(loss, found[0] if train else found, batch), batch.mask)

    num, num_steps = batch.inputs.shape[:2]
    return jax.grad(loss_of)(jnp.zeros((num_steps, num, config.features)))
