"""The review page: a local web page on which a person decides about the photos of the queue.

What belongs here: showing the queue, its pictures and hints; taking decisions and writing them to the reviewed CSVs.
What does not: what a reviewed CSV may hold (`decisions`), which photos are queued (`queue`), what follows from a
decision (`curate`).
"""
