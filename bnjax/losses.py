"""Losses per example, and accuracy; their caller averages."""

import jax.numpy as jnp
import optax
from jax import Array
from jaxtyping import Bool, Float, Int, Shaped


def cross_entropy(
    logits: Float[Array, "examples classes"], labels: Int[Array, " examples"]
) -> Float[Array, " examples"]:
    """Compute -log softmax(logits)[label], in nats, for each example."""
    if labels.shape != logits.shape[:-1]:
        raise ValueError(f"labels must be numbers of classes, one per example, {_got(logits, labels)}.")
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels)


def squared_error(
    outputs: Float[Array, "examples outputs"], targets: Float[Array, "examples outputs"]
) -> Float[Array, " examples"]:
    """Compute half the squared distance between output and target, for each example."""
    if targets.shape != outputs.shape:
        raise ValueError(f"labels must have the shape of the outputs, {_got(outputs, targets)}.")
    return 0.5 * jnp.sum(jnp.square(outputs - targets), axis=-1)


def is_correct(
    logits: Float[Array, "examples classes"], labels: Shaped[Array, "examples *outputs"]
) -> Bool[Array, " examples"] | Float[Array, " examples"]:
    """Tell for each example whether the largest logit is the label's; a non-finite logit is never correct.

    Where the labels are numbers to approximate, nothing is correct or wrong: all is NaN.
    """
    if jnp.issubdtype(labels.dtype, jnp.floating):
        return jnp.full(len(labels), jnp.nan)
    return (jnp.argmax(logits, axis=-1) == labels) & jnp.all(jnp.isfinite(logits), axis=-1)


def _got(outputs: Array, labels: Array) -> str:
    """Tell two shapes that do not fit."""
    return f"got labels of shape {labels.shape} and outputs of shape {outputs.shape}"


LOSSES = {"cross_entropy": cross_entropy, "squared_error": squared_error}


def get_loss(name: str):
    """Return the loss of that name.

    Raises:
        ValueError: if there is none.
    """
    if name not in LOSSES:
        raise ValueError(f"loss must be one of {', '.join(LOSSES)}, got {name!r}.")
    return LOSSES[name]
