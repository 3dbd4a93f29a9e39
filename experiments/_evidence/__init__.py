"""Evidence: numbers from the data of experiments, and what they decide.

run         what the data of a run hold
value       numbers of which only a bound, or nothing, is known; medians
format      numbers and units in print
quantity    what is recorded over training, and the number per run that a measure makes of it
quantities  the quantities that several experiments share, each defined once
drift       how far the distributions of activations move
correlation rank correlations of two numbers over nets
statistic   one number per seed or draw: of one net, or of two compared
claim       a statistic, and the range in which a source's statement holds
verdict     whether the data lie in that range
curve       a quantity at every step, over seeds
table       measures and nets in rows and columns
keep        what a data file keeps of a run
read        data files, also those of an older form
"""
