"""Run FiftyOne in its own environment: `python fiftyone_round.py DATASET TARGET LABELS`.

Its importer reads DATASET, each sample gets its label and attributes from the JSON file LABELS, its exporter writes TARGET.
"""

import json
import sys

from fiftyone.utils.data.exporters import (  # pyright: ignore[reportMissingImports] - it lives in an environment of its own
    FiftyOneImageClassificationDatasetExporter,
)
from fiftyone.utils.data.importers import (  # pyright: ignore[reportMissingImports]
    FiftyOneImageClassificationDatasetImporter,
)

dataset, target, labels = sys.argv[1:]
with open(labels, encoding="utf-8") as file:
    said = json.load(file)
exporter = FiftyOneImageClassificationDatasetExporter(export_dir=target, include_attributes=True)
with FiftyOneImageClassificationDatasetImporter(dataset_dir=dataset) as importer, exporter:
    for path, _, label in importer:
        words = said[label["photo_id"]]
        label.label = words.pop("label")
        for name, value in words.items():
            label[name] = value
        exporter.export_sample(path, label)
