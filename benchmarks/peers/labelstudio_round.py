"""Run Label Studio's SDK in its own environment: `python labelstudio_round.py EXPORT`.

It checks the labelling interface and every prediction of the folder EXPORT by its own rules, and prints the masks as its own
decoder reads them: a JSON object of lists of 0 and 255, by photo id.
"""

import json
import sys
from pathlib import Path

from label_studio_sdk.converter.brush import decode_rle  # pyright: ignore[reportMissingImports] - of its own environment
from label_studio_sdk.label_interface import LabelInterface  # pyright: ignore[reportMissingImports]

folder = Path(sys.argv[1])
interface = LabelInterface((folder / "label_config.xml").read_text(encoding="utf-8"))
interface.validate()
masks = {}
for task in json.loads((folder / "tasks.json").read_text(encoding="utf-8")):
    assert interface.validate_task({"data": task["data"]})
    (prediction,) = task["predictions"]
    errors = interface.validate_prediction(prediction, return_errors=True)
    assert not errors, errors
    masks[task["data"]["photo_id"]] = decode_rle(prediction["result"][1]["value"]["rle"])[::4].tolist()
print(json.dumps(masks))
