"""Settings of the data layer: where rows come from, how they are cleaned, labelled and split, what must hold.

Here: small pydantic models that the code location loads at start, so nothing but pydantic is imported; each key is
told where it stands. Not here: reading, cleaning, splitting (the modules named after them).
"""

from ft_assets.data.config.cleaning import (
    CleaningConfig,
    NameKind,
    NamesConfig,
    NearDuplicatesConfig,
    PersonalKind,
    QualityConfig,
)
from ft_assets.data.config.columns import ColumnRef, ColumnsConfig, LanguagesConfig
from ft_assets.data.config.contracts import ContractsConfig, DriftConfig, OwnCheck, SettableCheck, Severity
from ft_assets.data.config.labels import LabelsConfig, RelabelConfig, Threshold
from ft_assets.data.config.sources import FileFormat, SourceConfig
from ft_assets.data.config.splits import SemanticDuplicatesConfig, SplitsConfig
from ft_assets.data.config.values import LabelName

__all__ = [
    "CleaningConfig",
    "ColumnRef",
    "ColumnsConfig",
    "ContractsConfig",
    "DriftConfig",
    "FileFormat",
    "LabelName",
    "LabelsConfig",
    "LanguagesConfig",
    "NameKind",
    "NamesConfig",
    "NearDuplicatesConfig",
    "OwnCheck",
    "PersonalKind",
    "QualityConfig",
    "RelabelConfig",
    "SemanticDuplicatesConfig",
    "SettableCheck",
    "Severity",
    "SourceConfig",
    "SplitsConfig",
    "Threshold",
]
