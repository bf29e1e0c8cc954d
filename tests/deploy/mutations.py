"""Each check is shown what it has to complain of: a chart that was right, with one thing changed."""

import copy

import chart
import custom
import policy


def first(resources, kind, component):
    return next(it for it in resources if it["kind"] == kind and chart.component(it) == component)


def pod(resources, component="scanner", kind="Deployment"):
    return first(resources, kind, component)["spec"]["template"]["spec"]


def container(resources, component="scanner"):
    return pod(resources, component)["containers"][0]


def drop(resources, kind, component):
    resources.remove(first(resources, kind, component))


def put(where, key, value):
    where[key] = value


def rule(resources, component):
    return first(resources, "NetworkPolicy", component)["spec"]["egress"]


WORLD = {"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}
DATABASE = {"to": [{"podSelector": {}}], "ports": [{"port": 5432}]}

# The check, and what is done to the resources of values-large.
MUTATIONS = [
    (policy.security, "root", lambda it: put(pod(it)["securityContext"], "runAsUser", 0)),
    (policy.security, "perhaps root", lambda it: pod(it)["securityContext"].pop("runAsNonRoot")),
    (policy.security, "a token of Kubernetes", lambda it: pod(it).pop("automountServiceAccountToken")),
    (policy.security, "service links", lambda it: put(pod(it), "enableServiceLinks", True)),
    (policy.security, "the host's network", lambda it: put(pod(it), "hostNetwork", True)),
    (policy.security, "a capability", lambda it: put(container(it)["securityContext"], "capabilities", {})),
    (policy.security, "a root that can be written", lambda it: container(it)["securityContext"].pop("readOnlyRootFilesystem")),
    (policy.security, "no limit of memory", lambda it: container(it)["resources"].pop("limits")),
    (policy.security, "a limit of CPU", lambda it: put(container(it)["resources"]["limits"], "cpu", "1")),
    (policy.security, "latest", lambda it: put(container(it), "image", "posthouse-scanner:latest")),
    (policy.security, "a password in arguments", lambda it: put(container(it), "args", ["postgres://me:pw@host/db"])),
    (policy.probes, "no probe", lambda it: container(it).pop("readinessProbe")),
    (policy.probes, "a restart because NATS is away", lambda it: put(container(it)["livenessProbe"]["httpGet"], "path", "/readyz")),
    (policy.deadlines, "too little time", lambda it: put(pod(it), "terminationGracePeriodSeconds", 30)),
    (policy.deadlines, "no pause", lambda it: container(it, "gateway").pop("lifecycle")),
    (policy.replicas, "two owners", lambda it: put(first(it, "Deployment", "scanner")["spec"], "replicas", 1)),
    (policy.replicas, "no owner", lambda it: drop(it, "ScaledObject", "scanner")),
    (policy.replicas, "nothing to scale", lambda it: drop(it, "Deployment", "scanner")),
    (policy.replicas, "none", lambda it: put(first(it, "ScaledObject", "scanner")["spec"], "minReplicaCount", 0)),
    (policy.companions, "no budget", lambda it: drop(it, "PodDisruptionBudget", "scanner")),
    (policy.companions, "no account", lambda it: drop(it, "ServiceAccount", "scanner")),
    (policy.companions, "no configuration", lambda it: drop(it, "ConfigMap", "scanner")),
    (policy.companions, "no volume", lambda it: pod(it)["volumes"].pop()),
    (policy.companions, "a secret", lambda it: it.append({"kind": "Secret", "metadata": {"name": "x"}})),
    (policy.network, "no policy", lambda it: drop(it, "NetworkPolicy", "scanner")),
    (policy.network, "one direction", lambda it: put(first(it, "NetworkPolicy", "scanner")["spec"], "policyTypes", ["Ingress"])),
    (policy.network, "to anywhere", lambda it: rule(it, "scanner").append({"ports": [{"port": 53}]})),
    (policy.network, "the world", lambda it: rule(it, "storage").append(WORLD)),
    (policy.network, "the database", lambda it: rule(it, "intake").append(DATABASE)),
    (policy.services, "no such port", lambda it: put(first(it, "Service", "intake")["spec"]["ports"][0], "targetPort", "smpt")),
    (policy.services, "nobody behind", lambda it: put(first(it, "Service", "intake")["spec"], "selector", {"a": "b"})),
    (policy.consumers, "no such consumer", lambda it: put(triggers(it)[0], "name", "skanner")),
    (policy.consumers, "a forgotten consumer", lambda it: triggers(it).pop()),
]  # fmt: skip


def triggers(resources):
    return first(resources, "ScaledObject", "scanner")["spec"]["triggers"]


FIELDS = [
    ("an unknown field", lambda it: put(it["spec"], "maxReplicas", 3)),
    ("a list that is none", lambda it: put(it["spec"], "triggers", {})),
    ("another trigger", lambda it: put(it["spec"]["triggers"][0], "type", "kafka")),
    ("a number where texts are", lambda it: put(it["spec"]["triggers"][0]["metadata"], "threshold", 5)),
    ("a resource that nobody knows", lambda it: put(it, "kind", "ScaledJob")),
]


def check(report, validate):
    large = chart.render(dict(chart.values())["values-large"])
    for judge, what, change in MUTATIONS:
        changed = copy.deepcopy(large)
        change(changed)
        report.tell(f"{judge.__name__} sees: {what}", [] if [*judge(changed)] else ["it sees nothing"])
    for what, change in FIELDS:
        scaler = copy.deepcopy(first(large, "ScaledObject", "scanner"))
        change(scaler)
        report.tell(f"custom resources: {what}", [] if [*custom.check(scaler)] else ["it sees nothing"])
    deployment = copy.deepcopy(first(large, "Deployment", "scanner"))
    deployment["spec"]["template"]["spec"]["containers"][0]["imagePullPolice"] = "Always"
    report.tell("Kubernetes, strictly: a typo", [] if [*validate(deployment)] else ["it sees nothing"])
