"""Manifests, built and written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

Yaml = dict[str, Any]


def manifest(
    legacy: str,
    candidate: str,
    *,
    rules: Sequence[Yaml] = (),
    ramp: Yaml | None = None,
    sticky: str | None = "x-user-id",
    limits: Mapping[str, object] | None = None,
    override: bool = False,
    descriptors: Path | None = None,
    name: str = "under-test",
) -> Yaml:
    """A manifest between two arms, given by their URLs; every listener takes a free port."""
    spec: Yaml = {
        "listen": "127.0.0.1:0",
        "admin": "127.0.0.1:0",
        "control": {"listen": "127.0.0.1:0", "operator": "127.0.0.1:0"},
        "legacy": {"url": legacy},
        "candidate": {"url": candidate},
    }
    if sticky is not None:
        spec["stickyKey"] = {"metadata": sticky}
    if override:
        spec["overrideHeader"] = {"allow": True}
    if descriptors is not None:
        spec["descriptors"] = {"file": str(descriptors)}
    if rules:
        spec["rules"] = list(rules)
    if ramp is not None:
        spec["ramp"] = ramp
    if limits:
        spec["limits"] = dict(limits)
    return {
        "apiVersion": "cutover.dev/v1alpha1",
        "kind": "Cutover",
        "metadata": {"name": name},
        "spec": spec,
    }


def rule(
    service: str | None = None,
    method: str | None = None,
    *,
    weight: float | None = None,
    mirror: Yaml | None = None,
    compare: Yaml | None = None,
) -> Yaml:
    """A rule of a manifest: for a method, a service, or whatever no other rule is for."""
    made: Yaml = {}
    if service is not None:
        match = {"service": service} | ({} if method is None else {"method": method})
        made["matches"] = [{"method": match}]
    if weight is not None:
        made["weight"] = weight
    if mirror is not None:
        made["mirror"] = mirror
    if compare is not None:
        made["compare"] = compare
    return made


def replace(path: Path, content: Yaml) -> None:
    """Puts another manifest in a file's place, at once."""
    write(path.with_suffix(".new"), content).replace(path)


def write(path: Path, content: Yaml) -> Path:
    """Writes a manifest as YAML."""
    path.write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    return path
