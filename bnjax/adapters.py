"""A `Model`, a pair of pure functions, from a Flax linen module."""

from flax import linen as nn
from jax import Array
from jaxtyping import PyTree

from bnjax.types import Model, Rngs, Variables


def from_linen(module: nn.Module) -> Model:
    """Make a Model from a linen module that is called as `module(x, train=...)`.

    The variables are its `params` and its `batch_stats` collections; the latter is empty where nothing is remembered.

    Args:
        module: any linen module whose call takes `train`.

    Returns:
        Model whose `apply` hands `rngs` (such as {"dropout": key}) to the module.
    """

    def init(key: Array, x: Array) -> Variables:
        variables = module.init(key, x, train=False)
        return Variables(variables["params"], variables.get("batch_stats", {}))

    def apply(variables: Variables, x: Array, *, train: bool, rngs: Rngs | None = None) -> tuple[Array, PyTree[Array]]:
        collections = {"params": variables.params, "batch_stats": variables.batch_stats}
        mutable = ["batch_stats"] if train else []
        outputs, changed = module.apply(collections, x, train=train, rngs=rngs, mutable=mutable)
        return outputs, changed.get("batch_stats", variables.batch_stats)

    return Model(init, apply)
