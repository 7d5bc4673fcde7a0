"""The report of a snapshot: its page, pictures, charts, and where its numbers come from."""
