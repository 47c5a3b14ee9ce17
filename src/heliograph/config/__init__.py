"""Settings: a TOML file under environment variables, validated once into frozen structs.

`settings` has the structs, `catalogue` lists what they hold, `reading` makes them of a file and an environment, and
`consistency` says what does not fit together.
"""

from heliograph.carriers.settings import CarrierSettings, SimulatorSettings, SmppSettings
from heliograph.config.catalogue import (
    PREFIX,
    REQUIRED,
    Setting,
    Where,
    dotted,
    reference,
    shown,
    smpp_reference,
    toml,
    values,
)
from heliograph.config.reading import DATA_VARIABLE, ConfigError, Effective, complaint, converted, load, read
from heliograph.config.settings import (
    CallbacksSettings,
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
    "REQUIRED",
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
    "SimulatorSettings",
    "SmppSettings",
    "Where",
    "complaint",
    "converted",
    "dotted",
    "load",
    "read",
    "reference",
    "shown",
    "smpp_reference",
    "toml",
    "values",
]
