"""Checks shapes and types of everything in bnjax while it is tested, and gives tests small models and data."""

from functools import partial
from pathlib import Path

import jax
import jaxtyping
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jaxtyping.install_import_hook("bnjax", "beartype.beartype")

ROOT = Path(__file__).parent.parent


@pytest.fixture
def x64():
    """Switch to float64."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="session")
def synthetic():
    """The synthetic data set on the device."""
    from bnjax import data

    return data.load("synthetic")


@pytest.fixture(scope="session", params=["plain", "batch_norm"])
def model(request):
    """A VGG of a few features, without and with batch norm."""
    from bnjax import linen, models

    norm = partial(linen.BatchNorm, momentum=0.9) if request.param == "batch_norm" else None
    return models.make_model(models.VGGConfig(width=1 / 16, norm=norm))


@pytest.fixture
def trainer(model):
    """What trains `model` on batches of 16."""
    from bnjax import train

    return train.Trainer(model, train.make_optimizer("sgd", 0.05, momentum=0.9), batch_size=16)


@pytest.fixture
def state(trainer, synthetic):
    """A state that has taken a few steps, so that no statistic is at its initial value."""
    from bnjax import train

    start = train.init_state(trainer, jax.random.key(0), synthetic.train.images[:1] / 255)
    return train.run_steps(trainer, start, synthetic.train, num_steps=3)[0]
