"""Batches of work over an engine: what runs where, what is done already, and what to do about workers that die.

What belongs here: Dask and Ray behind one small interface, and the bookkeeping of batches.
What does not: what a batch's work is (`pipeline.operations.tasks`), and where a home is.

Only names travel: a batch is a few digests, its result a file in a folder that all workers see. So no engine's own store of
objects plays a part, and a killed worker costs one batch.
"""
