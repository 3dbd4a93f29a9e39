"""Training: every arm and seed of an experiment, trained by `bnjax.sweep`.

experiment  all runs of an experiment: their names, folders and curves
train       groups of runs, as the options ask for, with a bar
tasks       what a configuration is made into: data, trainer, probes
evaluation  accuracies on test examples
log         the curves that a run has written
errors      what is wrong with a configuration
processes   several processes that train together
"""
