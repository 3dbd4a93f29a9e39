"""Models that take their normaliser as an argument."""

from bnjax.models.vgg import VGG as VGG
from bnjax.models.vgg import VGGConfig as VGGConfig
from bnjax.models.vgg import make_model as make_model
