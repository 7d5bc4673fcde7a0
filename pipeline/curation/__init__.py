"""What a person decides: the queue of undecided photos, the reviewed CSVs, the curated photos.

What does not belong here: decisions by rule (`dedupe`, the filters of the listing).
"""
