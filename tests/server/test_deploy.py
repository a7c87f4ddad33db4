"""deploy/: every file parses, what one file calls by name is there in the other, and the certificates work."""

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import text_format
from tensorflow_serving.apis import model_service_pb2, prediction_service_pb2
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from amfam_tf.server.real_server import FLAGS, IMAGE
from amfam_tf.server.text_protos import BatchingParameters, MonitoringConfig, SSLConfig, read_text_proto

DEPLOY = Path(__file__).parents[2] / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
CONFIGURATIONS = {
    "models.config": ModelServerConfig,
    "batching.config": BatchingParameters,
    "monitoring.config": MonitoringConfig,
}
PARALLELISM = {"tensorflow_intra_op_parallelism", "tensorflow_inter_op_parallelism"}
GRPC, REST = 8500, 8501


def documents(path: Path) -> list[dict[str, Any]]:
    """Returns the YAML documents of a file."""
    return list(yaml.safe_load_all(path.read_text()))


def manifests() -> dict[tuple[str, str], dict[str, Any]]:
    """Returns all objects for Kubernetes by kind and name."""
    objects = [item for path in sorted(KUBERNETES.glob("*.yaml")) for item in documents(path)]
    found = {(item["kind"], item["metadata"]["name"]): item for item in objects}
    assert len(found) == len(objects)
    return found


def compose_service() -> dict[str, Any]:
    (compose,) = documents(DEPLOY / "compose.yaml")
    (service,) = compose["services"].values()
    return service


def kustomization() -> dict[str, Any]:
    (found,) = documents(DEPLOY / "kustomization.yaml")
    return found


def pod() -> dict[str, Any]:
    return manifests()["Deployment", "amfam"]["spec"]["template"]


def container() -> dict[str, Any]:
    (found,) = pod()["spec"]["containers"]
    return found


def flags(words: list[str]) -> dict[str, str]:
    return dict(word.removeprefix("--").split("=", 1) for word in words)


def model() -> Any:
    (found,) = read_text_proto(str(DEPLOY / "models.config"), ModelServerConfig).model_config_list.config
    return found


def make_tls(folder: Path, *hosts: str, **variables: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "TLS_FOLDER": str(folder), **variables}
    command = ["sh", str(DEPLOY / "make_tls.sh"), *hosts]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_configurations_are_what_the_server_reads(name: str) -> None:
    message = read_text_proto(str(DEPLOY / name), CONFIGURATIONS[name])
    assert message.ListFields()


def test_batch_sizes_increase_up_to_the_largest() -> None:
    batching: Any = read_text_proto(str(DEPLOY / "batching.config"), BatchingParameters)
    sizes = list(batching.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert sizes[-1] == batching.max_batch_size.value


def test_every_place_names_the_same_image() -> None:
    assert compose_service()["image"] == container()["image"] == IMAGE
    assert re.fullmatch(r"tensorflow/serving:\d+\.\d+\.\d+", IMAGE)
    kserve = manifests()["InferenceService", "amfam"]["spec"]["predictor"]["model"]
    assert f"tensorflow/serving:{kserve['runtimeVersion']}" == IMAGE
    assert IMAGE in (DEPLOY.parent / "docs" / "deploy.md").read_text()


@pytest.mark.parametrize("words", [compose_service()["command"], container()["args"]], ids=["compose", "kubernetes"])
def test_flags_are_the_servers(words: list[str]) -> None:
    given = flags(words)
    assert set(given) <= set(FLAGS) | PARALLELISM
    assert (int(given["port"]), int(given["rest_api_port"]), given["enable_batching"]) == (GRPC, REST, "true")
    files = {name: Path(path).name for name, path in given.items() if name.endswith("_file")}
    assert files == {
        "model_config_file": "models.config",
        "batching_parameters_file": "batching.config",
        "monitoring_config_file": "monitoring.config",
        "ssl_config_file": "ssl.config",
    }


def test_compose_mounts_every_file_that_a_flag_or_configuration_names() -> None:
    service = compose_service()
    mounted = dict(reversed(volume.removesuffix(":ro").split(":")) for volume in service["volumes"])
    assert all(volume.endswith(":ro") for volume in service["volumes"])
    named = [value for name, value in flags(service["command"]).items() if name.endswith("_file")]
    assert {*named, str(Path(model().base_path).parent)} == set(mounted)
    for target, source in mounted.items():
        made_by_script = Path(target).name == "ssl.config"
        assert Path(source).name in {Path(target).name, "saved_models"}
        assert made_by_script or (DEPLOY / source).exists(), source
    assert service["ports"] == [f"${{AMFAM_ADDRESS:-127.0.0.1}}:{GRPC}:{GRPC}", f"127.0.0.1:{REST}:{REST}"]


def test_probes_ask_the_models_status_on_the_rest_port() -> None:
    path = f"/v1/models/{model().name}"
    assert f"/dev/tcp/127.0.0.1/{REST} " in compose_service()["healthcheck"]["test"][-1]
    assert f"GET {path} HTTP/1.0" in compose_service()["healthcheck"]["test"][-1]
    for probe in ("startupProbe", "readinessProbe"):
        assert container()[probe]["httpGet"] == {"path": path, "port": "rest"}
    assert container()["livenessProbe"]["tcpSocket"] == {"port": "grpc"}
    # Loading may take minutes; SIGKILL must not come before the pause that lets requests finish is over.
    assert container()["startupProbe"]["periodSeconds"] * container()["startupProbe"]["failureThreshold"] >= 300
    pause = int(container()["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert pause < pod()["spec"]["terminationGracePeriodSeconds"]


def test_kubernetes_mounts_exist_and_hold_what_the_flags_name() -> None:
    volumes = {volume["name"]: volume for volume in pod()["spec"]["volumes"]}
    mounted = {mount["mountPath"]: volumes[mount["name"]] for mount in container()["volumeMounts"]}
    assert len(mounted) == len(volumes)
    generated = {item["name"]: item["files"] for kind in ("configMap", "secret") for item in generators(kind)}
    held = {"/config": generated[mounted["/config"]["configMap"]["name"]]}
    held["/tls"] = generated[mounted["/tls"]["secret"]["secretName"]]
    for name, path in flags(container()["args"]).items():
        if name.endswith("_file"):
            assert Path(path).name in {Path(file).name for file in held[str(Path(path).parent)]}
    claim = mounted[str(Path(model().base_path).parent)]["persistentVolumeClaim"]["claimName"]
    assert ("PersistentVolumeClaim", claim) in manifests()
    storage = manifests()["InferenceService", "amfam"]["spec"]["predictor"]["model"]["storageUri"]
    assert storage == f"pvc://{claim}/{model().name}"


def generators(kind: str) -> list[dict[str, Any]]:
    return kustomization()[f"{kind}Generator"]


def test_kustomization_lists_the_files_that_are_there() -> None:
    resources = {Path(path).name for path in kustomization()["resources"]}
    assert resources == {path.name for path in KUBERNETES.glob("*.yaml")} - {"kserve.yaml"}
    assert set(generators("configMap")[0]["files"]) == set(CONFIGURATIONS)
    assert generators("secret")[0]["files"] == ["tls/ssl.config"]


def test_services_and_autoscaler_find_the_pods() -> None:
    labels = pod()["metadata"]["labels"]
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert ports == {"grpc": GRPC, "rest": REST}
    assert manifests()["Deployment", "amfam"]["spec"]["selector"]["matchLabels"].items() <= labels.items()
    services = [item for (kind, _), item in manifests().items() if kind == "Service"]
    assert len(services) == 2
    for service in services:
        assert service["spec"]["selector"].items() <= labels.items()
        assert all(ports[port["targetPort"]] == port["port"] for port in service["spec"]["ports"])
    autoscaler = manifests()["HorizontalPodAutoscaler", "amfam"]["spec"]
    target = autoscaler["scaleTargetRef"]
    assert (target["kind"], target["name"]) in manifests()
    assert 1 <= autoscaler["minReplicas"] < autoscaler["maxReplicas"]
    # Utilisation is relative to the request: without one the autoscaler does nothing.
    assert autoscaler["metrics"][0]["resource"]["name"] in container()["resources"]["requests"]


def test_only_clients_reach_the_port_that_can_reload() -> None:
    policy = manifests()["NetworkPolicy", "amfam"]["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= pod()["metadata"]["labels"].items()
    assert (set(policy["policyTypes"]), policy["egress"]) == ({"Ingress", "Egress"}, [])
    ports = {port["name"] for port in container()["ports"]}
    for rule in policy["ingress"]:
        # A rule without "from" or "ports" would let everybody in, or at everything.
        assert rule["from"]
        assert rule["ports"]
        assert {port["port"] for port in rule["ports"]} <= ports
        if "grpc" in {port["port"] for port in rule["ports"]}:
            assert rule["from"] == [{"podSelector": {"matchLabels": {"amfam-client": "true"}}}]
    assert "amfam-client" not in pod()["metadata"]["labels"]


def test_the_proxy_has_no_route_to_the_reload_call() -> None:
    (envoy,) = documents(DEPLOY / "envoy.yaml")
    (listener,), (cluster,) = envoy["static_resources"]["listeners"], envoy["static_resources"]["clusters"]
    (chain,) = listener["filter_chains"]
    assert chain["transport_socket"]["typed_config"]["require_client_certificate"] is True
    (hosts,) = chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"]
    matches = [route["match"] for route in hosts["routes"]]
    assert {route["route"]["cluster"] for route in hosts["routes"]} == {cluster["name"]}
    routed = set()
    for service in model_service_pb2.DESCRIPTOR.services_by_name, prediction_service_pb2.DESCRIPTOR.services_by_name:
        for method in (method for found in service.values() for method in found.methods):
            path = f"/{method.containing_service.full_name}/{method.name}"
            if any(path.startswith(match.get("prefix", "\0")) or path == match.get("path") for match in matches):
                routed.add(method.name)
    assert routed == {"Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata", "GetModelStatus"}
    address = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
    assert address["port_value"] == GRPC


def test_metrics_are_scraped_where_they_are() -> None:
    monitoring: Any = read_text_proto(str(DEPLOY / "monitoring.config"), MonitoringConfig)
    notes = pod()["metadata"]["annotations"]
    assert monitoring.prometheus_config.enable
    assert notes["prometheus.io/path"] == monitoring.prometheus_config.path
    assert (notes["prometheus.io/scrape"], notes["prometheus.io/port"]) == ("true", str(REST))


def test_certificate_template_has_every_field() -> None:
    text = (DEPLOY / "ssl.config.template").read_text().replace("@CLIENT_VERIFY@", "true")
    config = text_format.Parse(text, SSLConfig())
    assert {field.name for field, _ in config.ListFields()} == {field.name for field in SSLConfig.DESCRIPTOR.fields}


@pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")
@pytest.mark.parametrize("verify", ["true", "false"])
def test_script_makes_certificates_of_the_hosts(tmp_path: Path, verify: str) -> None:
    done = make_tls(tmp_path / "tls", "example.org", "10.0.0.7", "fd00::7", CLIENT_VERIFY=verify)
    assert done.returncode == 0, done.stderr
    config: Any = read_text_proto(str(tmp_path / "tls" / "ssl.config"), SSLConfig)
    assert config.client_verify == (verify == "true")
    for name, field in (("server.key", "server_key"), ("server.crt", "server_cert"), ("ca.crt", "custom_ca")):
        assert (tmp_path / "tls" / name).read_text() == getattr(config, field)
    certificate = ["openssl", "x509", "-noout", "-ext", "subjectAltName", "-in", str(tmp_path / "tls" / "server.crt")]
    names = subprocess.run(certificate, capture_output=True, text=True, check=True).stdout
    for name in ("DNS:localhost", "DNS:example.org", "IP Address:10.0.0.7", "IP Address:FD00:0:0:0:0:0:0:7"):
        assert name in names
    assert (tmp_path / "tls").stat().st_mode & 0o077 == 0
    assert not list((tmp_path / "tls").glob(".new"))


def test_script_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    done = make_tls(tmp_path / "tls", CLIENT_VERIFY="yes")
    assert (done.returncode, done.stderr) == (2, "error: CLIENT_VERIFY must be true or false. Received: yes\n")


def start(folder: Path, present: str | None, ssl_config: str = "", **variables: str) -> subprocess.CompletedProcess:
    """Runs start.sh where only one of the container engines is there, which prints its arguments."""
    deploy = folder / "deploy"
    (deploy / "tls").mkdir(parents=True)
    (deploy / "tls" / "ssl.config").write_text(ssl_config)
    shutil.copy(DEPLOY / "start.sh", deploy)
    programs = folder / "programs"
    programs.mkdir()
    for tool in ("dirname", "grep"):
        (programs / tool).symlink_to(shutil.which(tool))
    if present:
        (programs / present).write_text('#!/bin/sh\n[ "$2" = version ] || echo "$@"\n')
        (programs / present).chmod(0o755)
    command = ["/bin/sh", str(deploy / "start.sh"), "--detach"]
    return subprocess.run(
        command, env={"PATH": str(programs), **variables}, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("address", "verify"), [("127.0.0.1", False), ("0.0.0.0", True), ("0.0.0.0", False)])
def test_other_machines_come_in_only_with_certificates(tmp_path: Path, address: str, verify: bool) -> None:
    done = start(tmp_path, "docker", f"client_verify: {str(verify).lower()}\n", AMFAM_ADDRESS=address)
    if address == "0.0.0.0" and not verify:
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("error: whoever reaches 0.0.0.0:8500 could reload the configuration: make cert")
    else:
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("compose ")


@pytest.mark.parametrize("present", ["docker", "podman", None])
def test_start_runs_compose_with_whatever_is_there(tmp_path: Path, present: str | None) -> None:
    deploy = tmp_path / "deploy"
    done = start(tmp_path, present)
    if present:
        assert done.stdout == f"compose --file {deploy}/compose.yaml up --detach\n"
    else:
        assert (done.returncode, done.stdout) == (1, "")
        assert "neither docker nor podman" in done.stderr


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl")
def test_kustomize_resolves_the_generated_names(tmp_path: Path) -> None:
    shutil.copytree(DEPLOY, tmp_path / "deploy", ignore=shutil.ignore_patterns("tls"))
    (tmp_path / "deploy" / "tls").mkdir()
    (tmp_path / "deploy" / "tls" / "ssl.config").write_text("client_verify: false")
    command = ["kubectl", "kustomize", str(tmp_path / "deploy")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    objects = {item["kind"]: item for item in yaml.safe_load_all(done.stdout)}
    volumes = {v["name"]: v for v in objects["Deployment"]["spec"]["template"]["spec"]["volumes"]}
    assert volumes["config"]["configMap"]["name"] == objects["ConfigMap"]["metadata"]["name"]
    assert volumes["tls"]["secret"]["secretName"] == objects["Secret"]["metadata"]["name"]
    assert set(objects["ConfigMap"]["data"]) == set(CONFIGURATIONS)
