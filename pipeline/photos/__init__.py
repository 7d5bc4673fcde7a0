"""Pictures of photos: their bytes into the blob store, and bytes into sRGB pixels.

What belongs here: decoding, the check of what was downloaded, downloading itself, the history of photos.
What does not: which photos exist (`pipeline.flickr`), and where blobs lie (`storage`).
"""
