"""Training: every arm and seed of an experiment, trained by `bnjax.sweep`.

experiment  the nets of an experiment: their names, folders and curves
asked       what is asked of a run: its length, and what is measured at which steps
nets        which runs are done, go on, or are trained again
store       finished runs in their folders
packing     finished runs in files
train       groups of runs, as the options ask for, with a bar
description  the model of a configuration
tasks       what a configuration is made into: data, trainer, probes
evaluation  accuracies on test examples
log         the curves that a run has written
errors      what is wrong with a configuration
processes   several processes that train together
"""
