"""What all settings have in common."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Metric = Literal["oid", "aewtn-release", "coco"]
Precision = Literal["float32", "bfloat16", "float16"]
Positive = Annotated[int, Field(gt=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
AtLeastZero = Annotated[float, Field(ge=0, allow_inf_nan=False)]
AboveZero = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Settings(BaseModel):
    """A group of settings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)
