"""What the tables of the settings share: the base of a table, and the types of their values."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

MIB = 1024 * 1024

Port = Annotated[int, Field(ge=1, le=65535)]
Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]


class Group(BaseModel):
    """One table of `sealstream.toml`; a name that no setting has is refused, since it is a mistyped one."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
