"""Choose the form of batched-kernel convolutions in a context, which is part of the cache key of compiled programs."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal, get_args

import jax

Form = Literal["grouped", "products"]
FORMS: tuple[Form, ...] = get_args(Form)
_state = jax.make_user_context("grouped")  # part of the cache key of compiled programs


def form_context(form: Form) -> AbstractContextManager[None]:
    """Return a context that sets the form in this thread; `bnjax.ops.batched_kernels` describes the forms."""
    if form not in FORMS:
        raise ValueError(f"form must be {' or '.join(map(repr, FORMS))}, got {form!r}.")
    return _state(form)


def current_form() -> Form:
    """Return the form that the current context sets."""
    return _state.value


def forms_on(devices: Sequence[Any]) -> tuple[Form, ...]:
    """Return the forms to compare on some devices: only the first one on a CPU, where they do not differ."""
    return FORMS[:1] if devices[0].platform == "cpu" else FORMS
