"""Small nets with the shapes, calls and flags of Flax's example models, and how each becomes a Model here."""

from dataclasses import dataclass, replace
from functools import partial

import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import nnx

KEY = jax.random.key(0)
TOKENS = jax.random.randint(KEY, (6, 5), 1, 11)


class ResNet(nn.Module):
    """Two residual blocks; `train` is a keyword, and batch norm sums over an axis whose name is hard-coded."""

    @nn.compact
    def __call__(self, x, train=True):
        """Compute logits."""
        norm = partial(nn.BatchNorm, use_running_average=not train, momentum=0.9, axis_name="batch")
        x = nn.relu(norm()(nn.Conv(8, (3, 3), use_bias=False)(x)))
        for features, strides in ((8, 1), (16, 2)):
            y = nn.relu(norm()(nn.Conv(features, (3, 3), strides, use_bias=False)(x)))
            y = norm(scale_init=nn.initializers.constant(0.5))(nn.Conv(features, (3, 3), use_bias=False)(y))
            if x.shape != y.shape:
                x = norm(name="norm_proj")(nn.Conv(features, (1, 1), strides, use_bias=False, name="conv_proj")(x))
            x = nn.relu(x + y)
        return nn.Dense(3)(x.mean((1, 2)))


class Tagger(nn.Module):
    """A transformer that names each token; its call takes keywords alone."""

    @nn.compact
    def __call__(self, *, inputs, train):
        """Compute logits of each token."""
        x = nn.Embed(12, 8)(inputs)
        x = x + self.param("positions", nn.initializers.normal(0.1), (1, inputs.shape[1], 8))
        y = nn.MultiHeadDotProductAttention(2, dropout_rate=0.1, deterministic=not train)(nn.LayerNorm()(x))
        x = x + nn.Dropout(0.1)(y, deterministic=not train)
        return nn.Dense(4)(nn.LayerNorm()(x))


@dataclass(frozen=True)
class LMConfig:
    """The configuration of a language model, which holds its flag of training."""

    vocabulary: int = 12
    deterministic: bool = False


class LM(nn.Module):
    """A causal language model."""

    config: LMConfig

    @nn.compact
    def __call__(self, inputs, inputs_positions=None):
        """Compute logits of each next token."""
        config = self.config
        shifted = jnp.pad(inputs[:, :-1], ((0, 0), (1, 0)))
        x = nn.Embed(config.vocabulary, 8)(shifted)
        mask = nn.make_causal_mask(inputs)
        y = nn.MultiHeadDotProductAttention(2, deterministic=config.deterministic)(nn.LayerNorm()(x), mask=mask)
        x = x + nn.Dropout(0.2)(y, deterministic=config.deterministic)
        return nn.Dense(config.vocabulary)(nn.LayerNorm()(x))


class Sentiment(nn.Module):
    """An LSTM over sentences of several lengths; two inputs, and one logit each."""

    @nn.compact
    def __call__(self, token_ids, lengths, deterministic=None):
        """Compute a logit."""
        x = nn.Dropout(0.3)(nn.Embed(12, 6)(token_ids), deterministic=deterministic)
        x = nn.RNN(nn.OptimizedLSTMCell(8))(x, seq_lengths=lengths)
        counts = (jnp.arange(x.shape[1])[None] < lengths[:, None])[..., None]
        return nn.Dense(1)(jnp.sum(jnp.where(counts, x, 0), axis=1))


class VAE(nn.Module):
    """A variational autoencoder, which takes a key beside its input, and gives three outputs."""

    @nn.compact
    def __call__(self, x, z_rng):
        """Reconstruct."""
        h = nn.relu(nn.Dense(12)(x))
        mean, logvar = nn.Dense(3)(h), nn.Dense(3)(h)
        z = mean + jnp.exp(0.5 * logvar) * jax.random.normal(z_rng, logvar.shape)
        return nn.Dense(x.shape[-1])(nn.relu(nn.Dense(12)(z))), mean, logvar


class ActorCritic(nn.Module):
    """A policy and a value over the same features; whole numbers come in."""

    @nn.compact
    def __call__(self, x):
        """Compute log probabilities and values."""
        x = nn.relu(nn.Conv(8, (4, 4), strides=(2, 2))(x.astype(jnp.float32) / 255))
        x = nn.relu(nn.Dense(16)(x.reshape(len(x), -1)))
        return nn.log_softmax(nn.Dense(4)(x)), nn.Dense(1)(x)


class CNN(nnx.Module):
    """An nnx net whose dropout takes its random numbers from the call."""

    def __init__(self, rngs):
        self.conv = nnx.Conv(1, 8, (3, 3), rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.025)
        self.last = nnx.Linear(8 * 16, 3, rngs=rngs)

    def __call__(self, x, rngs=None):
        """Compute logits."""
        x = nnx.relu(self.dropout(self.norm(self.conv(x)), rngs=rngs))
        return self.last(nnx.avg_pool(x, (2, 2), (2, 2)).reshape(len(x), -1))


def binary_loss(logits, labels):
    """Compute the loss of one logit each."""
    return jnp.logaddexp(0, -jnp.where(labels, 1, -1) * logits[:, 0])


def elbo(outputs, x):
    """Compute minus the evidence lower bound."""
    mean, logvar = outputs[1:]
    divergence = -0.5 * jnp.sum(1 + logvar - mean**2 - jnp.exp(logvar), axis=-1)
    return jnp.mean(0.5 * jnp.sum((outputs[0] - x) ** 2, axis=-1) + divergence)


def ppo_loss(outputs, labels):
    """Compute the clipped loss of a policy, and that of its values."""
    log_probabilities, values = outputs
    ratios = jnp.exp(jnp.take_along_axis(log_probabilities, labels["actions"][:, None], axis=1)[:, 0] - labels["old"])
    gains = labels["advantages"][None] * jnp.stack([ratios, jnp.clip(ratios, 0.9, 1.1)])
    return -jnp.min(gains, axis=0) + 0.5 * (labels["returns"] - values[:, 0]) ** 2


def of_config(module, x, train):
    """Call a language model whose configuration holds the flag of training."""
    config = replace(module.config, deterministic=not train)
    return module.clone(parent=module.scope, config=config)(x)


IMAGES = jax.random.normal(KEY, (6, 8, 8, 1))
CLASSES = jnp.arange(6) % 3
FRAMES = jax.random.randint(KEY, (6, 8, 8, 4), 0, 256, jnp.uint8)
SENTENCES = {"token_ids": TOKENS, "lengths": jnp.array([5, 3, 2, 5, 4, 1])}
DECISIONS = {
    "actions": jnp.arange(6) % 4,
    "old": jnp.full(6, -1.4),
    "advantages": jnp.linspace(-1.0, 1.0, 6),
    "returns": jnp.linspace(0.0, 1.0, 6),
}
# By name: the module, how it is called, inputs, labels, and the loss.
NETS = {
    "imagenet": (ResNet(), None, jnp.tile(IMAGES, (1, 1, 1, 3)), CLASSES, "cross_entropy"),
    "nlp_seq": (Tagger(), lambda m, x, train: m(inputs=x, train=train), TOKENS, TOKENS % 4, "cross_entropy"),
    "lm1b": (LM(LMConfig()), of_config, TOKENS, TOKENS, "cross_entropy"),
    "sst2": (
        Sentiment(),
        lambda m, x, train: m(x["token_ids"], x["lengths"], deterministic=not train),
        SENTENCES,
        CLASSES > 0,
        binary_loss,
    ),
    "vae": (VAE(), lambda m, x, train: m(x, m.make_rng("noise")), IMAGES.reshape(6, -1), IMAGES.reshape(6, -1), elbo),
    "ppo": (ActorCritic(), None, FRAMES, DECISIONS, ppo_loss),
    "nnx mnist": (CNN(nnx.Rngs(0)), lambda m, x, train: m(x, rngs=nnx.Rngs(7)), IMAGES, CLASSES, "cross_entropy"),
}
