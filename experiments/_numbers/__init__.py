"""What figures, tables and claims take from the data of experiments: curves over seeds, and numbers per net.

curves     any quantity over training, over seeds
accuracy   how fast and how far nets learn
landscape  what scans say of the landscape
shift      how far the steps of earlier layers change a gradient
drift      how far distributions of activations move
lp_norms   how the relatives of batch norm compare
theory     how well theorems hold
gradient_depth  how gradients change from layer to layer
"""
