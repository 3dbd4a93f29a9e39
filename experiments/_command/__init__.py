"""The command line: which experiments exist, what they cost, and how to run one or all of them.

catalogue   the experiments, by name
arguments   the presets, choices and fields that an experiment accepts
refusals    why an argument is refused, in one line
cli         one experiment: its output and its files
costs       the time that each preset took, and which runs exist
estimates   the estimated time of presets that nobody has run
everything  all experiments, one after another
clean       the disk usage of results, and removal of old checkpoints
"""
