"""From configuration to the objects that assets work with: home, Flickr, segmenter, trainer.

Secrets come from the environment and are read when they are used, never stored.
"""
