"""Training: the settings of a run, its loop, its folder, and the process that a run starts.

`recipes`, `jobs` and `runs` do not import torch: configuration, assets and status read them.
"""
