"""Sources of photos on this machine, for those who have no key or no internet, and for bad days at will.

Belongs here: what a collection holds (`collection`), what a source answers about it (`flickr_answers`, `commons_answers`),
how it misbehaves (`faults`), and the servers (`server`, `flickr`, `commons`). Does not belong here: making collections.
"""
