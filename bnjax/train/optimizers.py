"""Optimisers whose learning rate is part of their state."""

import jax
import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import PyTree

from bnjax._host.arguments import between, checked
from bnjax._host.trees import is_known
from bnjax.probes.paths import select
from bnjax.types import Number, Params

OPTIMIZERS = ("sgd", "adam", "rmsprop")
_DECAY = 0.9  # of RMSProp's mean square
_TRAINED, _FROZEN = "trained", "frozen"


@checked(
    *("learning_rate", "momentum", "weight_decay", "clip", "half_life"),
    momentum=between(0, 1, below=True),
    clip=between(0),
    half_life=between(0),
)
def make_optimizer(
    name: str,
    learning_rate: Number,
    *,
    momentum: Number = 0.0,
    weight_decay: Number = 0.0,
    clip: Number = 0.0,
    half_life: Number = 0.0,
    trained: str | None = None,
) -> optax.GradientTransformation:
    """Make SGD, Adam or RMSProp; the learning rate is part of its state, so that a new one does not compile again.

    `weight_decay` adds weight_decay * params to the gradient, for all: the gradient of an L2 penalty of
    weight_decay / 2 * |params|², as in PyTorch's SGD and Adam (not AdamW). A gradient of the loss that is longer than `clip` is
    first shortened to that length.

    Args:
        name: "sgd", "adam" (b1 0.9, b2 0.999, eps 1e-8) or "rmsprop" (decay 0.9, eps 1e-8 inside the root). The numbers that
            follow may be traced, and then are not checked.
        learning_rate: step size.
        momentum: share of the last update that SGD and RMSProp repeat; 0 for Adam, which has its own.
        weight_decay: strength of the L2 penalty.
        clip: largest l2 norm of the loss's gradient by all parameters; 0 leaves it as it is.
        half_life: steps after which the learning rate has halved, which falls exponentially: step t, from 0, is multiplied by
            2^(-t / half_life). The learning rate in the state is the first one. 0 keeps it as it is.
        trained: regular expression that matches anywhere in the path of each parameter that is trained, such as "^norm_" for
            "norm_3/scale"; the others keep their bits, and neither the penalty nor `clip` counts them. None trains all.

    Returns:
        An optax transformation.

    Raises:
        ValueError: if an argument is out of its range, or, once there are parameters, if `trained` matches none.

    Example:
        >>> from bnjax import train
        >>> optimizer = train.make_optimizer("sgd", 0.5, weight_decay=0.1)
        >>> w = jnp.array([10.0])
        >>> print(optimizer.update(jnp.array([1.0]), optimizer.init(w), w)[0])  # -0.5 (1 + 0.1 * 10)
        [-1.]
        >>> params = {"kernel": jnp.array([10.0]), "bias": jnp.array([2.0])}
        >>> optimizer = train.make_optimizer("sgd", 0.5, trained="bias")
        >>> print(optimizer.update(params, optimizer.init(params), params)[0])
        {'bias': Array([-1.], dtype=float32), 'kernel': Array([0.], dtype=float32)}
    """
    if name not in OPTIMIZERS:
        raise ValueError(f"name must be one of {', '.join(OPTIMIZERS)}, got {name!r}.")
    has_momentum, decays, clips, falls = (
        not is_known(value) or value > 0 for value in (momentum, weight_decay, clip, half_life)
    )
    if name == "adam" and has_momentum:
        raise ValueError(f"momentum must be 0 for adam, which has its own, got {momentum}.")

    @optax.inject_hyperparams
    def make(learning_rate: Array) -> optax.GradientTransformation:
        share = momentum if has_momentum else None
        steps = {
            "sgd": lambda: optax.sgd(learning_rate, share),
            "adam": lambda: optax.adam(learning_rate),
            "rmsprop": lambda: optax.rmsprop(learning_rate, decay=_DECAY, momentum=share),
        }
        before = [optax.clip_by_global_norm(clip)] * clips + [optax.add_decayed_weights(weight_decay)] * decays
        after = [optax.scale_by_schedule(lambda step: 2.0 ** (-jnp.asarray(step) / half_life))] * falls
        whole = optax.chain(*before, steps[name](), *after) if before or after else steps[name]()
        return whole if trained is None else _only(trained, whole)

    return make(learning_rate=learning_rate)


def _only(pattern: str, optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Let an optimiser change the parameters whose path a regular expression matches; others have updates of 0."""

    def kinds(params: Params) -> PyTree[str]:
        return jax.tree.map(lambda is_trained: _TRAINED if is_trained else _FROZEN, select(params, pattern, "trained"))

    return optax.multi_transform({_TRAINED: optimizer, _FROZEN: optax.set_to_zero()}, kinds)
