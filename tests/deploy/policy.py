"""What has to be true of every pod, however the chart is used. Each check returns what is wrong."""

import re

import chart

CODE = {
    # The seconds in the code that a stage may drain for.
    "intake": ("crates/intake/src/config.rs", r"drain_timeout_secs: (\d+),"),
    "gateway": ("crates/gateway/src/server.rs", r"const DRAIN_TIMEOUT: Duration = Duration::from_secs\((\d+)\)"),
    "pulls": ("crates/bus/src/runner.rs", r"const DRAIN: Duration = Duration::from_secs\((\d+)\)"),
}
RESERVE = 15
DATABASE_PORT = 5432


def drain_in_code(stage):
    path, pattern = CODE.get(stage, CODE["pulls"])
    found = re.search(pattern, (chart.ROOT / path).read_text())
    assert found, f"{path} has no {pattern}: where is the drain of {stage} now?"
    return int(found[1])


def pod(resource):
    return resource["spec"]["template"]["spec"]


def labels(resource):
    return resource["spec"]["template"]["metadata"]["labels"]


def security(resources):
    for resource in chart.workloads(resources):
        spec, where = pod(resource), chart.name(resource)
        context = spec.get("securityContext", {})
        wanted = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
        for key, value in wanted.items():
            if context.get(key) != value:
                yield f"{where}: securityContext.{key} is {context.get(key)}"
        for key in ("runAsUser", "runAsGroup", "fsGroup"):
            if not context.get(key):
                yield f"{where}: securityContext.{key} is {context.get(key)}"
        for key in ("automountServiceAccountToken", "enableServiceLinks"):
            if spec.get(key) is not False:
                yield f"{where}: {key} is {spec.get(key)}"
        if spec.get("serviceAccountName", "default") == "default":
            yield f"{where}: runs as the namespace's default account"
        for key in ("hostNetwork", "hostPID", "hostIPC"):
            if spec.get(key):
                yield f"{where}: {key}"
        for container in spec["containers"]:
            yield from contained(where, container)


def contained(where, container):
    context = container.get("securityContext", {})
    wanted = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    for key, value in wanted.items():
        if context.get(key) != value:
            yield f"{where}: container securityContext.{key} is {context.get(key)}"
    resources = container.get("resources", {})
    memory = [resources.get(kind, {}).get("memory") for kind in ("requests", "limits")]
    if None in memory or memory[0] != memory[1]:
        yield f"{where}: memory requested and allowed differ: {memory}"
    if "cpu" in resources.get("limits", {}) and container["name"] != "nats":
        yield f"{where}: a limit of CPU slows a stage down when it is needed most"
    image = container["image"]
    tag = image.rpartition("/")[2]
    if "@sha256:" not in image and (":" not in tag or tag.endswith(":latest")):
        yield f"{where}: {image} has neither a version nor a digest"
    for key in ("args", "command"):
        if any(re.search(r"password=|://[^/]*:[^/]*@", str(it)) for it in container.get(key, [])):
            yield f"{where}: a secret in {key}"


def probes(resources):
    for resource in chart.of_kind(resources, "Deployment", "StatefulSet"):
        for container in pod(resource)["containers"]:
            for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
                if probe not in container:
                    yield f"{chart.name(resource)}: no {probe}"
        if resource["kind"] == "Deployment":
            container = pod(resource)["containers"][0]
            asked = [container.get(it, {}).get("httpGet", {}) for it in ("livenessProbe", "readinessProbe")]
            paths = [it.get("path") for it in asked]
            if paths != ["/healthz", "/readyz"]:
                yield f"{chart.name(resource)}: probes ask {paths}"


def deadlines(resources):
    for resource in chart.of_kind(resources, "Deployment"):
        spec, stage = pod(resource), chart.component(resource)
        sleep = spec["containers"][0].get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        least = sleep + drain_in_code(stage) + RESERVE
        if spec["terminationGracePeriodSeconds"] < least:
            yield f"{chart.name(resource)}: {spec['terminationGracePeriodSeconds']} s to end, and it needs {least}"
        listens = stage in ("intake", "gateway")
        if bool(sleep) != listens:
            yield f"{chart.name(resource)}: preStop of {sleep} s, and it {'listens' if listens else 'pulls'}"


def replicas(resources):
    scalers = chart.of_kind(resources, "HorizontalPodAutoscaler", "ScaledObject")
    owned = [it["spec"]["scaleTargetRef"]["name"] for it in scalers]
    deployments = {it["metadata"]["name"]: it for it in chart.of_kind(resources, "Deployment")}
    for name in owned:
        if name not in deployments:
            yield f"a scaler of {name}, which is not there"
        if owned.count(name) > 1:
            yield f"two scalers of {name}"
    for name, deployment in deployments.items():
        if ("replicas" in deployment["spec"]) == (name in owned):
            yield f"{name}: its number of replicas has {'two owners' if name in owned else 'no owner'}"
    for scaler in chart.of_kind(resources, "ScaledObject"):
        spec = scaler["spec"]
        if spec["minReplicaCount"] < 1 or spec["fallback"]["replicas"] < 1:
            yield f"{chart.name(scaler)}: may come to none"
        if not spec["minReplicaCount"] <= spec["fallback"]["replicas"] <= spec["maxReplicaCount"]:
            yield f"{chart.name(scaler)}: the fallback is outside of its bounds"


def companions(resources):
    """Each Deployment has its account and its disruption budget; what is named is there."""
    accounts = {it["metadata"]["name"] for it in chart.of_kind(resources, "ServiceAccount")}
    maps = {it["metadata"]["name"] for it in chart.of_kind(resources, "ConfigMap")}
    for resource in chart.workloads(resources):
        if pod(resource)["serviceAccountName"] not in accounts:
            yield f"{chart.name(resource)}: no such account"
        for volume in pod(resource).get("volumes", []):
            if "configMap" in volume and volume["configMap"]["name"] not in maps:
                yield f"{chart.name(resource)}: no ConfigMap {volume['configMap']['name']}"
        volumes = {it["name"] for it in pod(resource).get("volumes", [])}
        volumes |= {it["metadata"]["name"] for it in resource["spec"].get("volumeClaimTemplates", [])}
        mounts = [mount["name"] for it in pod(resource)["containers"] for mount in it.get("volumeMounts", [])]
        yield from (f"{chart.name(resource)}: no volume {it}" for it in mounts if it not in volumes)
    for deployment in chart.of_kind(resources, "Deployment"):
        budgets = chart.of_kind(resources, "PodDisruptionBudget")
        if not any(chart.selects(it["spec"]["selector"], labels(deployment)) for it in budgets):
            yield f"{chart.name(deployment)}: no PodDisruptionBudget"
    for secret in chart.of_kind(resources, "Secret"):
        yield f"{chart.name(secret)}: the chart makes no secrets"


def network(resources):
    """Whoever has a pod has a policy of its own, closed both ways, that opens what its Service promises."""
    policies = chart.of_kind(resources, "NetworkPolicy")
    for policy in policies:
        if sorted(policy["spec"]["policyTypes"]) != ["Egress", "Ingress"]:
            yield f"{chart.name(policy)}: leaves a direction open"
        for rule in policy["spec"].get("egress", []):
            if not rule.get("to"):
                yield f"{chart.name(policy)}: an egress rule that names nobody"
    if not policies:
        return
    for resource in chart.workloads(resources):
        component = chart.component(resource)
        own = [
            it
            for it in policies
            if it["spec"]["podSelector"]["matchLabels"].get("app.kubernetes.io/component") == component
        ]
        if len(own) != 1 or not chart.selects(own[0]["spec"]["podSelector"], labels(resource)):
            yield f"{chart.name(resource)}: {len(own)} policies of its own"
            continue
        egress = [port["port"] for rule in own[0]["spec"].get("egress", []) for port in rule.get("ports", [])]
        if component in ("intake", "scanner") and DATABASE_PORT in egress:
            yield f"{chart.name(own[0])}: {component} reaches the database"
        if component in ("intake", "storage", "gateway", "scanner"):
            world = [it for rule in own[0]["spec"]["egress"] for it in rule.get("to", []) if "ipBlock" in it]
            if any(it["ipBlock"]["cidr"] in ("0.0.0.0/0", "::/0") for it in world):
                yield f"{chart.name(own[0])}: {component} reaches the world"


def services(resources):
    for service in chart.of_kind(resources, "Service"):
        targets = [it for it in chart.workloads(resources) if service["spec"]["selector"].items() <= labels(it).items()]
        if len(targets) != 1:
            yield f"{chart.name(service)}: {len(targets)} workloads"
            continue
        ports = {port["name"] for it in pod(targets[0])["containers"] for port in it["ports"]}
        for port in service["spec"]["ports"]:
            if port["targetPort"] not in ports:
                yield f"{chart.name(service)}: no port {port['targetPort']}"


def consumers(resources):
    """Scalers look at each consumer that their stage pulls from, and at its stream."""
    topology = (chart.ROOT / "crates/contract/src/topology.rs").read_text()
    declared = dict(re.findall(r'Consumer \{ durable: "([^"]+)", stream: "?([A-Z]+)"?,', topology))
    assert len(declared) > 10, "the consumers in crates/contract are written in another way now"
    seen = set()
    for scaler in chart.of_kind(resources, "ScaledObject"):
        for trigger in scaler["spec"]["triggers"]:
            durable, stream = trigger["name"], trigger["metadata"].get("stream")
            seen.add(durable)
            if durable not in declared or stream not in (None, declared[durable]):
                yield f"{chart.name(scaler)}: no consumer {durable} of {stream}"
    kinds = {chart.component(it) for it in chart.of_kind(resources, "ScaledObject")}
    if kinds == {"scanner", "storage", "sender", "webhooks"} and seen != set(declared):
        yield f"no scaler looks at {sorted(set(declared) - seen)}"


CHECKS = (security, probes, deadlines, replicas, companions, network, services, consumers)
