"""Benchmarks of the field: pairs of photos as their authors publish them, scored as their papers do."""
