"""Pages for a browser on this machine: who may talk to them, and how they are served.

`guard` decides about every request and websocket; `server` listens on loopback, and serves nothing without a guard.
"""
