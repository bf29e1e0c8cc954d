"""What all models have in common."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Fields by their Python names; what a newer service adds is kept in `model_extra`."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)
