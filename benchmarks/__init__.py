"""One script per performance figure: `make bench NAME=demo`."""
