"""Runs with objects that were made in Python: a data set, a metric, a net. The run's settings hold their names.

The folder does not hold the objects. To use such a run, give the same ones again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from leakysm.choices import BACKENDS, METRIC_PARAMETERS
from leakysm.data import Dataset
from leakysm.errors import UserError, require_kind
from leakysm.nets import Conv4, Net, require_net
from leakysm.ops.metrics import DISTANCES, METRICS, Metric, RestrictedSquaredEuclidean
from leakysm.ops.restriction import Leak, Restriction
from leakysm.runs.device import choose
from leakysm.runs.fill_in import fit, with_defaults
from leakysm.runs.settings import PREFIX, TrainConfig, metric_of

PLAIN = (bool, int, float, str)  # parameters that a configuration can hold


def configured(
    given: Mapping[str, Any], data: Dataset, metric: Metric | Restriction | None, net: Net | None
) -> TrainConfig:
    """The whole configuration of a run with these objects. given: other settings, by TrainConfig's names.

    UserError for a setting that an object decides, and for whatever `resolve` refuses.
    """
    require_kind("config", given, Mapping, "a TrainConfig or a dictionary of settings is expected: give one")
    given = {key: value for key, value in given.items() if value is not None}
    decided = {"dataset": f"{PREFIX}{data.name}" if data.own else given.get("dataset", data.name)}
    if metric is not None:
        decided |= distance_settings(metric)
    if net is not None:
        decided |= net_settings(net)
    decides = decided.keys() - (set() if data.own else {"dataset"})
    decides |= {"data", "split"} if data.own else set()
    decides |= {"channels", "blocks"} if "net" in decided else set()
    for key in sorted(decides & given.keys()):
        raise UserError(f"{key} is given, but the object decides it; leave it out")
    settings = with_defaults({**given, **decided})
    settings["device"], settings["backend"] = choose(settings.get("device"), settings.get("backend"))
    _ = metric_of(settings, settings.get("own"))
    return fit(settings, data)


def distance_settings(metric: Metric | Restriction) -> dict[str, Any]:
    """The settings that name a metric: a built-in one in full, a user's own as `own:CLASS` with the object.

    A restriction counts as the metric that restricts the distance of a pair.
    """
    expected = "an instance of a subclass of leakysm.Metric or leakysm.Restriction is expected: give one"
    require_kind("metric", metric, (Metric, Restriction), expected)
    if not isinstance(metric, Metric):
        metric = RestrictedSquaredEuclidean(metric)
    if type(metric) in METRICS.values():
        return {"distance": metric.name, **metric.parameters}
    kind: Any = metric
    per = {}
    if isinstance(metric, RestrictedSquaredEuclidean):
        kind, per = metric.restriction, {"per": metric.per}
    if type(kind) is Leak:
        return {"distance": "leaky", **kind.parameters, **per}
    names = [name for name, known in DISTANCES.items() if known is type(kind)]
    plain = {key: value for key, value in kind.parameters.items() if isinstance(value, PLAIN)}
    own = {} if names else {"own": metric}
    return {"distance": names[0] if names else f"{PREFIX}{type(kind).__name__}", **per, **_set(plain), **own}


def _set(parameters: dict[str, Any]) -> dict[str, Any]:
    return {"set": parameters} if parameters else {}


def net_settings(net: Net) -> dict[str, Any]:
    """The settings that name a net: the size of a Conv4, or the class of somebody's own; and its engine."""
    require_net(net)
    engine = {"backend": net.engine.name} if net.engine.name in BACKENDS else {}
    if type(net) is Conv4:
        return {"channels": net.channels, "blocks": net.blocks, **engine}
    return {"net": type(net).__name__, **engine}


def with_metric(config: TrainConfig, metric: Metric | Restriction | None) -> TrainConfig:
    """The configuration with the metric of its run. UserError if it is not that of the run."""
    if metric is None:
        return config
    named = distance_settings(metric)
    own = named.pop("own", None)
    stored = {key: value for key, value in config.settings().items() if key in ("distance", *METRIC_PARAMETERS)}
    if stored["distance"].startswith(PREFIX):
        if named == stored:
            return replace(config, own=own)
    elif own is None and metric_of(named) == config.metric:
        return config
    raise UserError(f"metric is {_told(named)}, and the run's is {_told(stored)}; give the run's own, or leave it out")


def _told(settings: Mapping[str, Any]) -> str:
    parameters = {key: value for key, value in settings.items() if key not in ("distance", "set")}
    whole = {**dict(settings.get("set", {})), **parameters}
    return " ".join([settings["distance"].removeprefix(PREFIX), *(f"{key}={value}" for key, value in whole.items())])
