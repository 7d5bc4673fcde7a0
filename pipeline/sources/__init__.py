"""What every source of photos has in common: what it finds, and the search of a whole month past its cap, as a table.

A source is a package beside this one (`flickr`); here is what it must offer (`listing.Source`) and the records that it
gives (`found`). Does not belong here: how any one source is asked.
"""
