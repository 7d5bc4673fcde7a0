"""What bokehflow does and knows; CONTRIBUTING.md says what lies where."""

import os

# onnxruntime reports its sessions to its maker, and keeps a number of this machine and what is to be sent in the user's
# folder of caches. It looks at this when it is imported, wherever that is.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
