"""The Kubernetes manifests of `k8s/`, rendered: valid, restricted, and joined up.

No cluster and no container engine is needed. `CUTOVER_BIN` names the binary that checks the
manifest, else the built one is taken.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from harness.paths import ROOT, binary

Resource = dict[str, Any]

OVERLAYS = sorted(path.name for path in (ROOT / "k8s" / "overlays").iterdir() if path.is_dir())
DOCKERFILES = ("cli/Dockerfile", "server/Dockerfile", "python_server/Dockerfile")
# The edges that the pair, the proxy and the control plane need: from, to, port.
EDGES = (
    ("cutover-proxy", "gazetteer-legacy", 50051),
    ("cutover-proxy", "gazetteer-candidate", 50052),
    ("cutover-proxy", "cutover-control", 4317),
    ("gazetteer-legacy", "cutover-control", 4317),
    ("gazetteer-candidate", "cutover-control", 4317),
)
NAME = "app.kubernetes.io/name"


@cache
def render(overlay: str) -> tuple[Resource, ...]:
    """All resources of an overlay, as `kubectl kustomize` renders them."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("there is no kubectl to render with")
    command: list[str | Path] = [kubectl, "kustomize", ROOT / "k8s" / "overlays" / overlay]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    return tuple(yaml.safe_load_all(done.stdout))


@pytest.fixture(params=OVERLAYS)
def resources(request: pytest.FixtureRequest) -> tuple[Resource, ...]:
    """Each overlay in turn."""
    return render(request.param)


def of_kind(resources: tuple[Resource, ...], kind: str) -> dict[str, Resource]:
    """Resources of one kind, by name."""
    return {r["metadata"]["name"]: r for r in resources if r["kind"] == kind}


def pods(resources: tuple[Resource, ...]) -> dict[str, Resource]:
    """Pod templates, by their deployment's name."""
    return {n: d["spec"]["template"] for n, d in of_kind(resources, "Deployment").items()}


def containers(pod: Resource) -> Iterator[Resource]:
    """Init containers first."""
    yield from pod["spec"].get("initContainers", [])
    yield from pod["spec"]["containers"]


def selects(selector: Resource, labels: dict[str, str]) -> bool:
    """Whether a label selector (or a Service's plain one) takes a pod with these labels."""
    if not {"matchLabels", "matchExpressions"} & selector.keys():
        return all(labels.get(key) == value for key, value in selector.items())
    if not selects(selector.get("matchLabels", {}), labels):
        return False
    expressions = selector.get("matchExpressions", [])
    assert all(e["operator"] == "In" for e in expressions), "this test reads In alone"
    return all(labels.get(e["key"]) in e["values"] for e in expressions)


def test_finds_the_overlays() -> None:
    assert {"dev", "prod", "prod-postgres"} <= set(OVERLAYS)


def test_is_valid(resources: tuple[Resource, ...]) -> None:
    version = kubernetes_validate.latest_version()
    for resource in resources:
        # An unknown kind raises too, where the command line would only warn.
        kubernetes_validate.validate(resource, version, strict=True)


def test_an_unknown_key_or_kind_would_be_found(resources: tuple[Resource, ...]) -> None:
    version = kubernetes_validate.latest_version()
    wrong = next(iter(of_kind(resources, "Deployment").values())) | {"spce": {}}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, version, strict=True)
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        kubernetes_validate.validate(wrong | {"kind": "Deploymint"}, version, strict=True)


def test_has_every_component(resources: tuple[Resource, ...]) -> None:
    names = {"gazetteer-legacy", "gazetteer-candidate", "cutover-proxy", "cutover-control"}
    assert set(pods(resources)) == names
    for name in names:
        labels = pods(resources)[name]["metadata"]["labels"]
        for kind in ("Service", "PodDisruptionBudget"):
            selectors = [r["spec"]["selector"] for r in of_kind(resources, kind).values()]
            assert any(selects(s, labels) for s in selectors), f"{name} has no {kind}"


def test_meets_the_restricted_standard(resources: tuple[Resource, ...]) -> None:
    for name, pod in pods(resources).items():
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["runAsUser"] > 0, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        assert all("hostPath" not in volume for volume in spec.get("volumes", [])), name
        for container in containers(pod):
            where = f"{name}/{container['name']}"
            security = container["securityContext"]
            assert security["allowPrivilegeEscalation"] is False, where
            assert security["readOnlyRootFilesystem"] is True, where
            assert security["capabilities"] == {"drop": ["ALL"]}, where
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys(), where
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), where
    for namespace in of_kind(resources, "Namespace").values():
        labels = namespace["metadata"]["labels"]
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_images_have_a_version(resources: tuple[Resource, ...]) -> None:
    for name, pod in pods(resources).items():
        for container in containers(pod):
            _, _, tag = container["image"].partition(":")
            assert tag not in ("", "latest"), f"{name}: {container['image']}"


def test_probes_ask_ports_that_are_there(resources: tuple[Resource, ...]) -> None:
    for name, pod in pods(resources).items():
        (container,) = pod["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        told = " ".join(container["args"])
        for port in ports.values():
            assert re.search(rf"0\.0\.0\.0:{port}\b", told), f"{name} does not listen on {port}"
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container[kind]
            if name.startswith("gazetteer-"):
                assert probe["grpc"]["port"] in ports.values(), f"{name}: {kind}"
            else:
                assert probe["httpGet"]["port"] in ports, f"{name}: {kind}"
                assert probe["httpGet"]["path"] in ("/livez", "/readyz"), f"{name}: {kind}"


def test_a_pod_has_time_to_end(resources: tuple[Resource, ...]) -> None:
    for name, pod in pods(resources).items():
        (container,) = pod["spec"]["containers"]
        sleep = container["lifecycle"]["preStop"]["sleep"]["seconds"]
        # The servers' own grace is 10 s.
        assert pod["spec"]["terminationGracePeriodSeconds"] >= sleep + 10 + 5, name


def test_services_lead_to_pods(resources: tuple[Resource, ...]) -> None:
    for name, service in of_kind(resources, "Service").items():
        spec = service["spec"]
        selected = [
            pod
            for pod in pods(resources).values()
            if selects(spec["selector"], pod["metadata"]["labels"])
        ]
        assert len(selected) == 1, name
        (container,) = selected[0]["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        for port in spec["ports"]:
            assert ports.get(port["targetPort"]) == port["port"], f"{name}: {port}"
    for arm in ("gazetteer-legacy", "gazetteer-candidate"):
        assert of_kind(resources, "Service")[arm]["spec"]["clusterIP"] == "None"


def allowed(policies: list[Resource], direction: str, peer: dict[str, str], port: int) -> bool:
    """Whether any of a pod's policies lets `peer` through on `port`."""
    side = {"Ingress": "from", "Egress": "to"}[direction]
    for policy in policies:
        for rule in policy["spec"].get(direction.lower(), []):
            if port not in [p["port"] for p in rule["ports"]]:
                continue
            for selector in (s.get("podSelector") for s in rule[side]):
                if selector is None or selects(selector, peer):
                    return True
    return False


def policies_of(resources: tuple[Resource, ...], labels: dict[str, str]) -> list[Resource]:
    """The policies that hold for pods with these labels."""
    policies = of_kind(resources, "NetworkPolicy").values()
    return [p for p in policies if selects(p["spec"]["podSelector"], labels)]


def test_the_network_lets_through_what_is_needed_only(resources: tuple[Resource, ...]) -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(resources).items()}
    ports = (50050, 50051, 50052, 4317, 50054)
    for source, own in labels.items():
        out = policies_of(resources, own)
        denies = [p for p in out if p["metadata"]["name"] == "deny-all"]
        assert denies[0]["spec"]["policyTypes"] == ["Ingress", "Egress"]
        dns = {"k8s-app": "kube-dns"}
        assert allowed(out, "Egress", dns, 53), f"{source} can't ask for names"
        for target in labels.keys() - {source}:
            into = policies_of(resources, labels[target])
            for port in ports:
                leaves = allowed(out, "Egress", labels[target], port)
                through = leaves and allowed(into, "Ingress", own, port)
                needed = (source, target, port) in EDGES
                assert through == needed, f"{source} → {target}:{port}"
    callers = policies_of(resources, labels["cutover-proxy"])
    assert allowed(callers, "Ingress", {NAME: "anybody"}, 50050)
    operators = policies_of(resources, labels["cutover-control"])
    assert allowed(operators, "Ingress", {"cutover.dev/operator": "true"}, 50054)
    assert not allowed(operators, "Ingress", {NAME: "anybody"}, 50054)


def test_several_control_planes_share_a_postgres_and_one_has_a_file() -> None:
    for overlay in OVERLAYS:
        resources = render(overlay)
        control = of_kind(resources, "Deployment")["cutover-control"]["spec"]
        (container,) = control["template"]["spec"]["containers"]
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        volumes = {volume["name"] for volume in control["template"]["spec"]["volumes"]}
        assert mounted == volumes, overlay
        stores = [word for word in container["args"] if word.startswith("--store")]
        secrets = {
            variable["name"]: variable["valueFrom"]["secretKeyRef"] for variable in container["env"]
        }
        policies = policies_of(resources, control["template"]["metadata"]["labels"])
        leaves = allowed(policies, "Egress", {NAME: "somebody's database"}, 5432)
        if "postgres" in overlay:
            assert control["replicas"] > 1
            assert control["strategy"]["type"] == "RollingUpdate"
            assert not stores, "an argument would be stronger than the Secret"
            assert secrets["CUTOVER_STORE"] == {"name": "cutover-store", "key": "url"}
            assert "store" not in volumes
            assert not of_kind(resources, "PersistentVolumeClaim")
            assert leaves
            each = of_kind(resources, "Service")["cutover-control-each"]["spec"]
            assert each["clusterIP"] == "None"
        else:
            # Two would fight for one file.
            assert (control["replicas"], control["strategy"]["type"]) == (1, "Recreate")
            assert stores
            assert "CUTOVER_STORE" not in secrets
            assert "store" in volumes
            assert not leaves


def test_the_manifest_reloads_and_is_right(resources: tuple[Resource, ...], tmp_path: Path) -> None:
    data = of_kind(resources, "ConfigMap")["cutover-manifest"]["data"]
    for name in ("cutover-control", "cutover-proxy"):
        (container,) = pods(resources)[name]["spec"]["containers"]
        (mount,) = (m for m in container["volumeMounts"] if m["name"] == "manifest")
        assert "subPath" not in mount, "a subPath never follows changes"
        assert f"{mount['mountPath']}/cutover.yaml" in " ".join(container["args"])
    services = of_kind(resources, "Service")
    for arm in ("legacy", "candidate"):
        url = yaml.safe_load(data["cutover.yaml"])["spec"][arm]["url"]
        host, port = url.removeprefix("http://").split(":")
        assert int(port) in [p["port"] for p in services[host]["spec"]["ports"]], url
    file = tmp_path / "cutover.yaml"
    file.write_text(data["cutover.yaml"])
    command: list[str | Path] = [cutover_binary(), "check", "--offline", "-f", file]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def cutover_binary() -> Path:
    """`CUTOVER_BIN`, else the one that is built."""
    if named := os.environ.get("CUTOVER_BIN"):
        return Path(named)
    try:
        return binary("cutover")
    except FileNotFoundError as error:
        pytest.skip(str(error))


def instructions(dockerfile: str) -> list[tuple[str, list[str]]]:
    """A Dockerfile's instructions with their words, continued lines joined."""
    text = (ROOT / dockerfile).read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(words[0], words[1:]) for words in map(str.split, lines)]


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_a_dockerfile_copies_what_is_there(dockerfile: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    copied = set()
    for instruction, words in instructions(dockerfile):
        if instruction == "COPY" and not words[0].startswith("--from"):
            copied.update(words[:-1])
    assert copied
    for source in copied:
        assert (ROOT / source).exists(), f"{dockerfile} copies {source}, which isn't there"
        assert source not in ignored, f"{dockerfile} copies {source}, which is ignored"
    if "Cargo.toml" in copied:
        listed = (ROOT / "Cargo.toml").read_text().split("members = [")[1].split("]")[0]
        members = re.findall(r'"([^"]+)"', listed)
        assert "proto" in members
        for member in members:
            assert member.split("/")[0] in copied, f"{dockerfile} lacks {member}"


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_a_dockerfile_is_pinned_and_ends_without_root(dockerfile: str) -> None:
    steps = instructions(dockerfile)
    bases = [words[0] for instruction, words in steps if instruction == "FROM"]
    assert len(bases) == 2
    for base in bases:
        assert re.fullmatch(r"[a-z]+:\d+\.\d+[\w.-]*", base), f"{base} names no version"
    users = [words[0] for instruction, words in steps if instruction == "USER"]
    assert users[-1:] == ["65532:65532"]
