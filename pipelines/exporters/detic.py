"""For Detic: the head as zero-shot weights, rows of a ``.npy`` file that can be exchanged.

Detic multiplies a feature with rows of one matrix and adds no bias of a class. Here a feature gets
one more number, 1, and a row gets its bias there.

Shapes: K classes, R RoI feature width.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipelines.exporters.base import Agreement, PlainDetector
from pipelines.exporters.description import classes_record, write_json
from pipelines.exporters.files import expect_tensors, read_tensors
from pipelines.exporters.requirements import refuse_normalized_features
from pipelines.exporters.rois import PooledRoIs, compare_rois, linear, refine_boxes
from pipelines.exporters.yaml_text import to_yaml
from pipelines.models.detector_folder import CLASSES
from pipelines.models.roi_heads import BOX_CODER_WEIGHTS

FORM = "detic"
ROWS, NAMES, WEIGHTS, CONFIG = "zeroshot_weights.npy", "names.txt", "head.pth", "config.yaml"

_PREDICTOR = "roi_heads.box_predictor."


def write(source: PlainDetector, folder: Path) -> None:
    """Write the rows, their names, the layers around them, and Detic's settings for these.

    Raises:
        MismatchError: If the features are normalised.
    """
    refuse_normalized_features(source, FORM)
    np.save(folder / ROWS, _rows(source).numpy())
    names = "".join(f"{name}\n" for name in source.head.vocabulary.names)
    (folder / NAMES).write_text(names, encoding="utf-8")
    torch.save({"model": _layers(source)}, folder / WEIGHTS)
    (folder / CONFIG).write_text(to_yaml(_config(source)))
    write_json(folder / CLASSES, classes_record(source.head))


def check(source: PlainDetector, folder: Path, images: Sequence[Tensor]) -> Agreement:
    """Compare the predictor that was written with that of the source, on the RoIs of images.

    Raises:
        RunError: If a file is not what was written.
    """
    path = folder / WEIGHTS
    layers = read_tensors(path)["model"]
    rows = torch.from_numpy(np.load(folder / ROWS))
    expect_tensors(path, layers, _layers(source))
    expect_tensors(folder / ROWS, {"rows": rows}, {"rows": _rows(source)})

    def predictor(rois: PooledRoIs) -> tuple[Tensor, Tensor]:
        x = source.model.roi_heads.box_head(rois.pooled)
        scores = (linear(layers, f"{_PREDICTOR}cls_score.linear", x) @ rows.T).sigmoid()
        hidden = linear(layers, f"{_PREDICTOR}bbox_pred.0", x).relu()
        deltas = linear(layers, f"{_PREDICTOR}bbox_pred.2", hidden)
        return scores, refine_boxes(deltas, rois, BOX_CODER_WEIGHTS)

    return compare_rois(source, images, predictor)


def _rows(source: PlainDetector) -> Tensor:
    """Return ``[K, R + 1]`` float32: each class's row, and its bias."""
    return torch.cat([source.head.weight, source.head.bias[:, None]], dim=1).detach().cpu()


def _layers(source: PlainDetector) -> dict[str, Tensor]:
    """Return Detic's layers before the rows and the boxes; features are never below 0."""
    head, width = source.head, source.head.weight.shape[1]
    identity, one = torch.eye(width), torch.ones(1)
    return {
        f"{_PREDICTOR}cls_score.linear.weight": torch.cat([identity, torch.zeros(1, width)]),
        f"{_PREDICTOR}cls_score.linear.bias": torch.cat([torch.zeros(width), one]),
        f"{_PREDICTOR}bbox_pred.0.weight": identity.clone(),
        f"{_PREDICTOR}bbox_pred.0.bias": torch.zeros(width),
        f"{_PREDICTOR}bbox_pred.2.weight": head.box_weight.detach().cpu(),
        f"{_PREDICTOR}bbox_pred.2.bias": head.box_bias.detach().cpu(),
    }


def _config(source: PlainDetector) -> dict[str, Any]:
    """Return what Detic's own config must say for these files."""
    width = source.head.weight.shape[1]
    return {
        "VERSION": 2,  # of detectron2's config
        "MODEL": {
            "ROI_HEADS": {"NUM_CLASSES": len(source.head.vocabulary)},
            "ROI_BOX_HEAD": {
                "FC_DIM": width,
                "BBOX_REG_WEIGHTS": list(BOX_CODER_WEIGHTS),
                "CLS_AGNOSTIC_BBOX_REG": True,
                "USE_ZEROSHOT_CLS": True,
                "ZEROSHOT_WEIGHT_PATH": ROWS,
                "ZEROSHOT_WEIGHT_DIM": width + 1,
                "NORM_WEIGHT": False,
                "USE_BIAS": 0.0,
                "USE_SIGMOID_CE": True,
                "MULT_PROPOSAL_SCORE": False,
            },
        },
    }
