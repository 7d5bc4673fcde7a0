"""The subject's alpha: segmenters behind one small interface, their weights, and the cached masks.

What belongs here: from the pixels of a photo to its alpha on disk.
What does not: which photos were kept (`pipeline.curation`), and cropping and scaling (`pipeline.dataset`).
"""
