"""From configuration to the objects that assets work with: home, Flickr, segmenter, trainer.

They are plain objects, made from the project file and the environment. None of them is configurable for a single run:
a run's configuration may come from whoever reaches the UI, and must not say where a key is sent or where data goes.
Secrets come from the environment and are read when they are used, never stored.
"""
