"""The fields that custom resources may have: those that the chart uses, as their projects document them.

A name is a field with any scalar; a list has one form of item; a tuple lists what a scalar may be.
KEDA 2.21 (keda.sh/docs), prometheus-operator (PodMonitor, PrometheusRule), NACK (jetstream.nats.io/v1beta2).
"""

SCALAR = object()
TEXTS = object()

_behavior = {"scaleDown": {"stabilizationWindowSeconds": SCALAR}}
_trigger = {
    "prometheus": {"serverAddress": SCALAR, "query": SCALAR, "threshold": SCALAR},
    "nats-jetstream": {
        "natsServerMonitoringEndpoint": SCALAR,
        "account": SCALAR,
        "stream": SCALAR,
        "consumer": SCALAR,
        "lagThreshold": SCALAR,
    },
}
_stream = {
    "name": SCALAR,
    "subjects": [SCALAR],
    "retention": ("limits", "interest", "workqueue"),
    "discard": ("old", "new"),
    "storage": ("file", "memory"),
    "replicas": (1, 3, 5),
    "maxAge": SCALAR,
    "maxMsgsPerSubject": SCALAR,
    "duplicateWindow": SCALAR,
    "allowDirect": SCALAR,
    "allowRollup": SCALAR,
    "denyDelete": SCALAR,
    "allowMsgSchedules": SCALAR,
    "allowAtomicPublish": SCALAR,
    "sources": [{"name": SCALAR, "filterSubject": SCALAR}],
    "preventDelete": SCALAR,
    "account": SCALAR,
}
_consumer = {
    "durableName": SCALAR,
    "streamName": SCALAR,
    "filterSubject": SCALAR,
    "deliverPolicy": ("all",),
    "ackPolicy": ("explicit",),
    "ackWait": SCALAR,
    "maxAckPending": SCALAR,
    "preventDelete": SCALAR,
    "account": SCALAR,
}
_alert = {
    "alert": SCALAR,
    "expr": SCALAR,
    "for": SCALAR,
    "keep_firing_for": SCALAR,
    "labels": TEXTS,
    "annotations": TEXTS,
}
_record = {"record": SCALAR, "expr": SCALAR, "labels": TEXTS}

FORMS = {
    ("keda.sh/v1alpha1", "ScaledObject"): {
        "scaleTargetRef": {"name": SCALAR},
        "minReplicaCount": SCALAR,
        "maxReplicaCount": SCALAR,
        "pollingInterval": SCALAR,
        "fallback": {"failureThreshold": SCALAR, "replicas": SCALAR},
        "advanced": {"horizontalPodAutoscalerConfig": {"name": SCALAR, "behavior": _behavior}},
        "triggers": [
            {"type": tuple(_trigger), "name": SCALAR, "metadata": TEXTS, "authenticationRef": {"name": SCALAR, "kind": SCALAR}}
        ],
    },
    ("monitoring.coreos.com/v1", "PodMonitor"): {
        "selector": {"matchLabels": TEXTS, "matchExpressions": [{"key": SCALAR, "operator": ("In",), "values": [SCALAR]}]},
        "podMetricsEndpoints": [{"port": SCALAR, "path": SCALAR, "interval": SCALAR}],
    },
    ("monitoring.coreos.com/v1", "PrometheusRule"): {
        "groups": [{"name": SCALAR, "interval": SCALAR, "rules": [{**_alert, **_record}]}],
    },
    ("jetstream.nats.io/v1beta2", "Stream"): _stream,
    ("jetstream.nats.io/v1beta2", "Consumer"): _consumer,
}  # fmt: skip


def is_custom(resource):
    return "." in resource["apiVersion"].partition("/")[0] and not resource["apiVersion"].split("/")[0].endswith(
        ".k8s.io"
    )


def check(resource):
    """What is wrong with a custom resource."""
    form = FORMS.get((resource["apiVersion"], resource["kind"]))
    if form is None:
        yield f"nobody knows the form of {resource['apiVersion']} {resource['kind']}"
        return
    yield from compare(form, resource["spec"], resource["kind"])
    triggers = resource["spec"].get("triggers", [])
    for trigger in triggers if isinstance(triggers, list) else []:
        wanted, found = _trigger.get(trigger["type"], {}), trigger["metadata"]
        if set(wanted) != set(found):
            yield f"trigger {trigger['type']}: has {sorted(found)}, needs {sorted(wanted)}"


def compare(form, value, path):
    if form is SCALAR:
        if isinstance(value, dict | list) or value is None:
            yield f"{path}: {value!r} is no scalar"
    elif form is TEXTS:
        if not isinstance(value, dict) or not all(isinstance(it, str) for it in value.values()):
            yield f"{path}: {value!r} is no map of texts"
    elif isinstance(form, tuple):
        if value not in form:
            yield f"{path}: {value!r} is none of {form}"
    elif isinstance(form, list):
        if not isinstance(value, list) or not value:
            yield f"{path}: {value!r} is no list"
            return
        for n, item in enumerate(value):
            yield from compare(form[0], item, f"{path}[{n}]")
    elif not isinstance(value, dict):
        yield f"{path}: {value!r} is no object"
    else:
        for key, item in value.items():
            if key not in form:
                yield f"{path}.{key}: no such field"
            else:
                yield from compare(form[key], item, f"{path}.{key}")
