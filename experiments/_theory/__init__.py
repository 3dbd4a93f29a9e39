"""The theorems on trained networks.

layer_checks  what a theorem says of one layer beside what JAX differentiates
runs          training, stopped at some steps to check every layer
"""
