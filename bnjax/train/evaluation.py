"""Loss and accuracy over data, with running statistics."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from bnjax._host.arguments import checked, whole
from bnjax._host.debugging import watch_loss
from bnjax._host.programs import compiled_once
from bnjax._host.sharding import count_shares, spread
from bnjax.data import Split, take_batch
from bnjax.losses import total
from bnjax.train.state import Metrics, Trainer, judge
from bnjax.types import Batch, Rngs, Variables, count_examples


@checked()
def eval_step(
    trainer: Trainer,
    variables: Variables,
    batch: Batch,
    weights: Float[Array, " examples"] | None = None,
    *,
    rngs: Rngs | None = None,
) -> Metrics:
    """Sum loss and correct answers over a batch, with running statistics, which stay as they are.

    Args:
        trainer: model and loss.
        variables: parameters and running statistics.
        batch: the examples to evaluate.
        weights: factor of each example; 0 leaves it out, even if it holds NaN. None is 1 for all.
        rngs: keys of layers that are random in evaluation too.

    Returns:
        Metrics that are sums, not means.

    Example:
        >>> from bnjax import Batch, Variables, adapters, train
        >>> from flax import linen as nn
        >>> model = adapters.from_linen(nn.Dense(2, use_bias=False))
        >>> trainer = train.Trainer(model, train.make_optimizer("sgd", 0.1), batch_size=4)
        >>> params = {"kernel": jnp.array([[9.0, 0.0], [0.0, 9.0], [9.0, 0.0]])}
        >>> print(train.eval_step(trainer, Variables(params, {}), Batch(jnp.eye(3), jnp.array([0, 1, 1]))).accuracy)
        2.0
    """
    num = count_examples(batch.inputs)
    if weights is not None and jnp.size(weights) != num:
        raise ValueError(f"weights must have one entry per example, {num}, got {jnp.size(weights)}.")
    return _add_up(trainer, variables, batch, jnp.ones(num) if weights is None else weights, rngs)[0]


def _add_up(
    trainer: Trainer, variables: Variables, batch: Batch, weights: Array, rngs: Rngs | None
) -> tuple[Metrics, Array]:
    """Sum loss and correct answers, and count the examples or tokens whose weight is not 0."""
    batch = spread(batch, trainer.mesh, trainer.axis)
    with trainer.products():
        outputs, _ = trainer.model.apply(variables, batch.inputs, train=False, rngs=rngs)
    losses, correct = judge(trainer, outputs, batch)
    weights = weights.reshape(-1, *(1,) * (losses.ndim - 1))
    # NOTE: `where` instead of a product keeps NaNs of padded examples out of the sum.
    weighted = (
        jnp.where(weights > 0, weights * losses, 0),
        weights * correct.astype(weights.dtype),
        jnp.broadcast_to(weights > 0, losses.shape),
    )
    loss, accuracy, num = (total(values, batch.mask)[0] for values in weighted)
    return Metrics(loss, accuracy), num


@checked(batch_size=whole(1))
@watch_loss
@compiled_once("trainer", "batch_size")
def evaluate(
    trainer: Trainer, variables: Variables, split: Split, *, batch_size: int = 1000, rngs: Rngs | None = None
) -> Metrics:
    """Average loss and accuracy over every example of a split, with running statistics, which stay as they are.

    Args:
        trainer: model and loss.
        variables: parameters and running statistics.
        split: the data, whole.
        batch_size: examples at a time; results depend on it only by rounding, unless layers are random.
        rngs: keys of layers that are random in evaluation too, such as {"noise": key}; each batch gets keys of its own.

    Returns:
        Metrics, each ().

    Raises:
        ValueError: if the split has no example.

    Example:
        >>> from bnjax import Variables, adapters, data, train
        >>> from flax import linen as nn
        >>> model, split = adapters.from_linen(nn.Dense(2, use_bias=False)), data.from_arrays(jnp.eye(4), [0, 1, 0, 1])
        >>> trainer = train.Trainer(model, train.make_optimizer("sgd", 0.1), batch_size=4)
        >>> params = {"kernel": jnp.array([[9.0, 0.0], [0.0, 9.0], [9.0, 0.0], [9.0, 0.0]])}
        >>> print(train.evaluate(trainer, Variables(params, {}), split).accuracy)
        0.75
    """
    num = len(split.images)
    if not num:
        raise ValueError("split must hold one example or more, got none.")
    batch_size = min(batch_size, num)
    batch_size += -batch_size % count_shares(trainer.mesh, trainer.axis)
    padded = -(-num // batch_size) * batch_size
    indices = jnp.arange(padded).reshape(-1, batch_size)

    def add(sums: tuple[Metrics, Array], i: Array) -> tuple[tuple[Metrics, Array], None]:
        keys = None if rngs is None else {name: jax.random.fold_in(key, i[0]) for name, key in rngs.items()}
        more = _add_up(trainer, variables, take_batch(split, i % num), (i < num).astype(jnp.float32), keys)
        return jax.tree.map(jnp.add, sums, more), None

    start = Metrics(jnp.zeros(()), jnp.zeros(())), jnp.zeros(())
    (totals, num_counted), _ = jax.lax.scan(add, start, indices)
    return jax.tree.map(lambda sums: sums / num_counted, totals)
