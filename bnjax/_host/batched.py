"""Choose the form of batched-kernel convolutions in a context, which is part of the cache key of compiled programs."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, get_args

import jax

Form = Literal["grouped", "products"]
FORMS: tuple[Form, ...] = get_args(Form)
_state = jax.make_user_context("grouped")  # part of the cache key of compiled programs


def batched_kernels(form: Form) -> AbstractContextManager[None]:
    """Return a context that chooses how accelerators convolve several points at once, each with its own kernel.

    It matters where `jax.vmap` maps over both images and kernels of `bnjax.ops.conv_general_dilated`, with stride 1 and no
    dilation: in scans and sweeps in groups. Where a scan or a sweep measures its groups, as "auto" does on accelerators, it
    tries both forms and keeps the faster one, and the context has no effect; a net without such convolutions is compiled once
    more for that. Results differ by rounding only. On a CPU the context changes no result.

    Args:
        form: "grouped", the default, is one convolution with a feature group for each point. "products" is one batched matrix
            product on maps of up to 8x8 pixels, and one convolution after another on larger ones. On small maps it needs
            memory for the pixels that each tap of a kernel reads, nine times the map for a kernel of 3x3.

    Returns:
        The context.

    Raises:
        ValueError: if there is no such form.

    Example:
        >>> from bnjax import ops
        >>> image, kernels = jnp.ones((1, 4, 4, 1)), jnp.ones((2, 3, 3, 1, 1))
        >>> with ops.batched_kernels("products"):
        ...     print(jax.vmap(lambda k: ops.conv_general_dilated(
        ...         image, k, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")))(kernels).shape)
        (2, 1, 4, 4, 1)
    """
    if form not in FORMS:
        raise ValueError(f"form must be {' or '.join(map(repr, FORMS))}, got {form!r}.")
    return _state(form)


def current_form() -> Form:
    """Return the form that the current context sets."""
    return _state.value


def forms_on(devices: Sequence[Any]) -> tuple[Form, ...]:
    """Return the forms to compare on some devices: only the first one on a CPU, where they do not differ."""
    return FORMS[:1] if devices[0].platform == "cpu" else FORMS
