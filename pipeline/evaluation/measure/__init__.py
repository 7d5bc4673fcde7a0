"""What is measured: scores of single pictures and of whole sets, of a model, of the baselines and of the truth.

`metrics`, `faults` and `baselines` are pure functions on arrays; `judge` applies them to test photos and to scenes with
known truth. Nothing here compares two methods.
"""
