"""The settings of training: every default in one place, validated, and free of torch.

Where the paper and its official release differ, the default follows the release (xternalz/AE-WTN,
experiment/e2e_faster_rcnn_R_50_FPN_1x.yaml), because it is what produced the paper's numbers.
"""

from pipelines.config.base import Metric, Precision
from pipelines.config.data import BadImages, BoxPolicy, DataSettings, Sampler
from pipelines.config.detector import BackboneName, BackboneSettings, DetectorSettings
from pipelines.config.head import (
    HeadPrecision,
    HeadSettings,
    LSDASettings,
    Method,
    NeighborSettings,
    RowSpaceName,
    ZSDSettings,
)
from pipelines.config.loading import load_settings, show_settings, validate_settings
from pipelines.config.training import (
    ArchitectureSettings,
    CheckpointSettings,
    EngineSettings,
    EvaluationSettings,
    LimitSettings,
    OptimizerSettings,
    ScheduleSettings,
    TrainSettings,
)

__all__ = [
    "ArchitectureSettings",
    "BackboneName",
    "BackboneSettings",
    "BadImages",
    "BoxPolicy",
    "CheckpointSettings",
    "DataSettings",
    "DetectorSettings",
    "EngineSettings",
    "EvaluationSettings",
    "HeadPrecision",
    "HeadSettings",
    "LSDASettings",
    "LimitSettings",
    "Method",
    "Metric",
    "NeighborSettings",
    "OptimizerSettings",
    "Precision",
    "RowSpaceName",
    "Sampler",
    "ScheduleSettings",
    "TrainSettings",
    "ZSDSettings",
    "load_settings",
    "show_settings",
    "validate_settings",
]
