"""Makes deploy/helm/posthouse/values.schema.json: what values may be, and no other.

The keys of each stage's `config` are those of its sample in deploy/config, with their types, without those
that the chart sets itself. So a new key of a program is a value of the chart after `just chart-schema`.
"""

import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = ROOT / "deploy/helm/posthouse/values.schema.json"
PULLS = ("scanner", "storage", "sender", "webhooks")
STAGES = ("intake", *PULLS, "gateway")

# The chart knows these better.
OURS = {
    "nats", "nats_login", "admin", "log", "hostname", "domains", "public_url", "database", "listen", "submission",
    "submissions", "tls_certificate", "tls_key", "domain_keys_file", "agent_logins", "shaping_file", "dkim",
}  # fmt: skip

# What a sample shows one form of, where there are several.
ANYTHING = {"storage.screening.warn_at", "storage.screening.quarantine_at"}
ANY_OBJECT = {"sender.default_route", "sender.routes", "sender.pools"}


def sample(stage):
    """The keys of a stage with an example of each, those in comments too."""
    text = (ROOT / f"deploy/config/posthouse-{stage}.toml").read_text()
    hidden = re.compile(r"^#: (.*)$" if "\n#: " in text else r"^# ([a-z_]+ = .*)$")
    return tomllib.loads("\n".join(hidden.sub(r"\1", line) for line in text.splitlines()))


def of_example(value, path):
    if path in ANYTHING:
        return {}
    if isinstance(value, bool):
        return {"type": "boolean"}
    if isinstance(value, int):
        return {"type": "integer", "minimum": 0}
    if isinstance(value, float):
        return {"type": "number", "minimum": 0}
    if isinstance(value, str):
        return {"type": "string"}
    if isinstance(value, list):
        items = of_example(value[0], path) if value else {"type": "string"}
        return {"type": "array", "items": items}
    if path in ANY_OBJECT:
        return {"type": "object"}
    return thing({key: of_example(it, f"{path}.{key}") for key, it in value.items()})


def thing(properties, required=()):
    """An object with these keys and no others."""
    found = {"type": "object", "additionalProperties": False, "properties": properties}
    return found | ({"required": list(required)} if required else {})


TEXT = {"type": "string"}
NAME = {"type": "string", "minLength": 1}
FLAG = {"type": "boolean"}
COUNT = {"type": "integer", "minimum": 1, "maximum": 1000}
ANY = {"type": "object"}
LIST = {"type": "array", "items": {"type": "object"}}
TEXTS = {"type": "object", "additionalProperties": {"type": "string"}}
PORT = {"type": "integer", "minimum": 1, "maximum": 65535}
SIZE = {"type": "string", "pattern": "^[0-9]+(\\.[0-9]+)?(Ki|Mi|Gi|Ti)$"}
DOMAIN = {"type": "string", "pattern": "^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?$"}
PATH = {"type": "string", "pattern": "^/etc/posthouse/[a-z0-9./-]+$"}
IMAGE = thing({"tag": TEXT, "digest": {"type": "string", "pattern": "^(sha256:[0-9a-f]{64})?$"}})
QUANTITIES = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}
RESOURCES = thing({"requests": QUANTITIES, "limits": QUANTITIES})
PLACEMENT = {"nodeSelector": TEXTS, "tolerations": LIST, "affinity": ANY, "priorityClassName": TEXT}


def one_of(*values):
    return {"enum": list(values)}


def service(*types):
    return {"type": one_of(*types), "annotations": TEXTS}


def autoscaling(stage):
    kinds = {"intake": ("none", "hpa"), "gateway": ("none", "hpa"), "sender": ("none", "keda")}
    found = {"type": one_of(*kinds.get(stage, ("none", "hpa", "keda"))), "min": COUNT, "max": COUNT}
    if stage != "sender":
        found["cpuPercent"] = {"type": "integer", "minimum": 1, "maximum": 100}
    if stage in PULLS:
        found |= {"lag": {"type": "integer", "minimum": 1}, "fallback": {"type": "integer", "minimum": 0}}
    return thing(found)


def own(stage):
    """What one stage has that others have not."""
    outside = service("ClusterIP", "NodePort", "LoadBalancer") | {
        "loadBalancerSourceRanges": {"type": "array", "items": TEXT}
    }
    if stage == "intake":
        return {
            "service": thing(outside),
            "tls": thing({"existingSecret": TEXT}),
            "submission": thing({"enabled": FLAG}),
        }
    if stage == "sender":
        key = {"domain": DOMAIN, "selector": NAME, "algorithm": one_of("rsa-sha256", "ed25519-sha256")}
        key |= {"existingSecret": NAME, "key": NAME}
        return {
            "egressPool": thing({"size": COUNT}),
            "internalRoute": FLAG,
            "dkim": {"type": "array", "items": thing(key, key)},
            "shaping": TEXT,
        }
    if stage == "gateway":
        logins = of_example(sample("gateway")["agent_logins"], "gateway.agent_logins")
        for key in ("issuer_file", "password_file"):
            logins["properties"].pop(key, None)
        ingress = {"enabled": FLAG, "className": TEXT, "host": DOMAIN, "tlsSecret": TEXT, "annotations": TEXTS}
        return {
            "service": thing(outside),
            "agentLogins": thing({"enabled": FLAG, "existingSecret": NAME, "settings": logins}),
            "ingress": thing(ingress),
        }
    return {}


def stage(name):
    keys = {key: of_example(value, f"{name}.{key}") for key, value in sample(name).items() if key not in OURS}
    common = {
        "enabled": FLAG,
        "replicas": COUNT,
        "image": IMAGE,
        "autoscaling": autoscaling(name),
        "resources": RESOURCES,
        "config": thing(keys),
        "env": LIST,
        "secretMounts": {"type": "array", "items": thing({"secret": NAME, "path": PATH}, ("secret", "path"))},
        "extraVolumes": LIST,
        "extraVolumeMounts": LIST,
        "serviceAccount": thing({"annotations": TEXTS}),
        "networkPolicy": thing({"from": LIST, "extraIngress": LIST, "extraEgress": LIST}),
    }
    return thing(common | PLACEMENT | own(name))


def nats():
    keys = ("password", "nkey", "creds", "loginsPassword", "issuer", "issuerPublic")
    bundled = {
        "servers": one_of(1, 3, 5),
        "image": NAME,
        "tlsSecret": TEXT,
        "size": SIZE,
        "maxFileStore": {"type": "string", "pattern": "^[0-9]+(MB|GB|TB)$"},
        "storageClass": TEXT,
        "service": thing(service("ClusterIP", "NodePort", "LoadBalancer")),
        "resources": RESOURCES,
        "goMemoryLimit": {"type": "string", "pattern": "^[0-9]+(MiB|GiB)$"},
    }
    login = {"method": one_of("password", "nkey", "creds", "none"), "user": NAME, "existingSecret": NAME}
    url = {"type": "string", "pattern": "^((nats|tls)://[^,@/]+(,(nats|tls)://[^,@/]+)*)?$"}
    return thing(
        {
            "mode": one_of("bundled", "external"),
            "url": url,
            "port": PORT,
            "replicas": one_of(1, 3, 5),
            "login": thing(login | {"keys": thing(dict.fromkeys(keys, NAME))}),
            "caSecret": thing({"name": TEXT, "key": NAME}),
            "bundled": thing(bundled | PLACEMENT),
        }
    )


def database():
    bundled = {"image": NAME, "size": SIZE, "storageClass": TEXT, "resources": RESOURCES} | PLACEMENT
    return thing(
        {
            "mode": one_of("bundled", "external"),
            "port": PORT,
            "existingSecret": NAME,
            "keys": thing({"url": NAME, "password": NAME}),
            "bundled": thing(bundled),
        }
    )


def network():
    nets = {"type": "array", "items": TEXT, "minItems": 1}
    peers = {"type": "array", "items": {"type": "object"}, "minItems": 1}
    return thing(
        {"enabled": FLAG, "internet": FLAG, "natsClients": LIST, "notTheWorld": thing({"ipv4": nets, "ipv6": nets})}
        | dict.fromkeys(("dns", "nats", "database", "monitoring"), peers)
    )


def scaling_and_monitoring():
    reference = thing({"name": NAME, "kind": one_of("TriggerAuthentication", "ClusterTriggerAuthentication")})
    prometheus = {"serverAddress": {"type": "string", "pattern": "^https?://"}, "selector": NAME}
    monitoring = {
        "labels": TEXTS,
        "podMonitor": thing({"enabled": FLAG, "interval": {"type": "string", "pattern": "^[0-9]+s$"}}),
        "rules": thing({"enabled": FLAG, "runbooks": {"type": "string"}}),
        "dashboards": thing({"enabled": FLAG, "labels": TEXTS}),
    }
    return {
        "keda": thing(
            {
                "trigger": one_of("prometheus", "nats-jetstream"),
                "prometheus": thing(prometheus | {"authenticationRef": reference}),
                "nats": thing({"monitoringEndpoint": TEXT, "account": NAME}),
            }
        ),
        "monitoring": thing(monitoring),
    }


def schema():
    image = {"repository": NAME, "tag": TEXT, "pullPolicy": one_of("Always", "IfNotPresent", "Never")}
    streams = {
        "manage": one_of("job", "nack", "external"),
        "image": IMAGE,
        "resources": RESOURCES,
        "nack": thing({"account": TEXT}),
    }
    peers = {"type": "array", "items": ANY, "minItems": 1}
    tracing = {"endpoint": {"type": "string", "pattern": "^(https?://.+)?$"}, "peers": peers, "port": PORT}
    properties = {
        "global": ANY,
        "fullnameOverride": TEXT,
        "domains": {"type": "array", "items": DOMAIN, "minItems": 1},
        "hostname": DOMAIN,
        "publicUrl": {"type": "string", "pattern": "^(https://[^?#]+)?$"},
        "image": thing(image | {"pullSecrets": {"type": "array", "items": thing({"name": NAME}, ("name",))}}),
        "pods": thing({"annotations": TEXTS, "labels": TEXTS, "tmpSize": SIZE} | PLACEMENT),
        "nats": nats(),
        "database": database(),
        "domainKeys": thing({"existingSecret": TEXT, "key": NAME}),
        "streams": thing(streams | PLACEMENT),
        "networkPolicy": network(),
        "tracing": thing(tracing),
        "stages": thing({name: stage(name) for name in STAGES}),
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart posthouse; made by tests/deploy/schema.py",
    } | thing(properties | scaling_and_monitoring())


def text():
    return json.dumps(schema(), indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(text())
    sys.stderr.write(f"wrote {SCHEMA.relative_to(ROOT)}\n")
