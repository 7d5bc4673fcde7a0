"""Thin Dagster assets, one module per stage.

An asset reads its inputs, calls one function of `pipeline`, writes through `storage` and returns metadata that a
person wants to see. What belongs elsewhere: how anything is computed (`pipeline`), where it lies (`storage`).
"""
