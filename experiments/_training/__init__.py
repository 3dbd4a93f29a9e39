"""Training: every arm and seed of an experiment, trained by `bnjax.sweep`.

experiment  the nets of an experiment: their names, folders and curves
asked       requests for a run: its length, and its measurements and their steps
nets        which runs are done, continue, or are trained again
store       finished runs in their folders
packing     finished runs in files
train       training of groups of runs as the options specify, with a progress bar
description  the model of a configuration
tasks       the data, trainer and probes of a configuration
evaluation  accuracies on test examples
log         the curves in a run's log
errors      errors in a configuration
processes   several processes that train together
"""
