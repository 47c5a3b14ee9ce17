"""Settings: a TOML file under environment variables, validated once into frozen structs.

`settings` has the structs, `catalogue` lists what they hold, `reading` makes them of a file and an environment, and
`consistency` says what does not fit together.
"""

from heliograph.config.catalogue import PREFIX, Setting, Where, dotted, reference, toml, values
from heliograph.config.reading import DATA_VARIABLE, ConfigError, Effective, load, read
from heliograph.config.settings import (
    CallbacksSettings,
    CarrierSettings,
    DataSettings,
    HttpSettings,
    LimitsSettings,
    LogSettings,
    MessagesSettings,
    MetricsSettings,
    Prices,
    Settings,
)

__all__ = [
    "DATA_VARIABLE",
    "PREFIX",
    "CallbacksSettings",
    "CarrierSettings",
    "ConfigError",
    "DataSettings",
    "Effective",
    "HttpSettings",
    "LimitsSettings",
    "LogSettings",
    "MessagesSettings",
    "MetricsSettings",
    "Prices",
    "Setting",
    "Settings",
    "Where",
    "dotted",
    "load",
    "read",
    "reference",
    "toml",
    "values",
]
