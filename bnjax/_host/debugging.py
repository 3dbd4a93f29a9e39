"""Keep JAX's flags jax_debug_nans and jax_debug_infs from raising at NaNs that mark missing values."""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bnjax._host.programs import is_compiling


@contextmanager
def nan_is_a_value() -> Iterator[None]:
    """Allow NaN and infinity as markers of missing values, even if JAX is set to raise at the first one."""
    with jax.debug_nans(False), jax.debug_infs(False):
        yield


def watch_loss(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function of `trainer` and `split` that returns Metrics last: jax_debug_nans checks the loss only.

    This applies to regression labels, whose accuracy is NaN, and to a `trainer` whose loss is a function, where the accuracy
    may be NaN. Otherwise JAX checks everything.
    """
    signature = inspect.signature(function)

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        given: Any = signature.bind(*args, **kwargs).arguments
        dtype = getattr(given["split"].labels, "dtype", float)
        has_classes = not callable(given["trainer"].loss) and jnp.issubdtype(dtype, jnp.integer)
        is_watching: bool = jax.config.jax_debug_nans  # pyright: ignore[reportAttributeAccessIssue]
        if has_classes or not is_watching or is_compiling():
            return function(*args, **kwargs)
        with nan_is_a_value():
            result = function(*args, **kwargs)
            metrics = result if hasattr(result, "loss") else result[-1]
            is_nan = np.ravel(np.isnan(metrics.loss))
        if is_nan.any():
            raise FloatingPointError(f"loss must be a number, got NaN, first in step {is_nan.argmax()} of this call.")
        return result

    return run
