"""Training: every arm and seed of an experiment, side by side or together, resumed where it was left.

experiment  all runs of an experiment
run         one net from one seed, in its own folder
tasks       what a configuration is made into: data, trainer, probes
evaluation  accuracies on test examples
log         the curves that a run has written
together    runs whose steps are one program
"""
