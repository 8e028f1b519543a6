"""What ``deploy`` holds is valid, fits together, and has the names of the requirement documents."""

import base64
import json
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from libraries import library

from kvasir.app import App
from kvasir.core.services.jobs import NewJob
from kvasir.frontends.aws_lambda.objects import changes_of
from kvasir.jobs.celery_app import CeleryOptions
from kvasir.settings import components
from kvasir.settings.document_names import CELERY_NAMES, LAMBDA_NAMES, NAMES
from kvasir.settings.loading import load_settings

kubernetes_validate = library("kubernetes_validate")

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = sorted(path.name for path in (KUBERNETES / "overlays").iterdir())
COMPOSE = [ROOT / "docker-compose.yml", *sorted((DEPLOY / "compose").glob("*.yaml"))]
COMPOSE = [path for path in COMPOSE if not path.name.endswith("settings.yaml")]
COMPOSE.append(ROOT / ".devcontainer" / "compose.yaml")
PROGRAMS = Path(sys.executable).parent
QUEUES = CeleryOptions("redis://localhost").queues
FOREIGN = {"ScaledObject", "TriggerAuthentication", "Route"}
"""Kinds that Kubernetes itself does not have."""


def run(*command, **options):
    done = subprocess.run(
        [str(each) for each in command],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# Kubernetes


@pytest.fixture(scope="module")
def manifests(tmp_path_factory):
    """The manifests of each overlay, as ``kubectl kustomize`` renders them."""
    folder = tmp_path_factory.mktemp("kubernetes") / "kubernetes"
    shutil.copytree(KUBERNETES, folder)
    for example in folder.rglob("*.env.example"):
        shutil.copy(example, example.with_suffix(""))
    return {
        name: list(
            yaml.safe_load_all(run(PROGRAMS / "kubectl", "kustomize", folder / "overlays" / name))
        )
        for name in OVERLAYS
    }


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_manifest_of_an_overlay_is_valid(manifests, overlay):
    found = manifests[overlay]
    assert len(found) > 20
    for manifest in found:
        if manifest["kind"] not in FOREIGN:
            kubernetes_validate.validate(manifest, "1.34", strict=True)


def pods_of(manifests):
    """Yield kind, name and pod template of everything that makes pods."""
    for each in manifests:
        if each["kind"] in ("Deployment", "StatefulSet", "Job"):
            yield each["kind"], each["metadata"]["name"], each["spec"]["template"]


def labels_match(selector, labels):
    wanted = selector.get("matchLabels", {}).items()
    listed = selector.get("matchExpressions", [])
    return wanted <= labels.items() and all(
        labels.get(each["key"]) in each["values"] for each in listed
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_what_a_manifest_names_is_there(manifests, overlay):
    found = manifests[overlay]
    names = {(each["kind"], each["metadata"]["name"]) for each in found}
    labels = [template["metadata"]["labels"] for _, _, template in pods_of(found)]
    for each in found:
        assert each["metadata"].get("namespace", "kvasir") == "kvasir"
        if each["kind"] == "Service":
            wanted = {"matchLabels": each["spec"]["selector"]}
            assert any(labels_match(wanted, pod) for pod in labels), each["metadata"]["name"]
        if each["kind"] == "PodDisruptionBudget":
            assert any(labels_match(each["spec"]["selector"], pod) for pod in labels)
        if each["kind"] in ("HorizontalPodAutoscaler", "ScaledObject"):
            target = each["spec"]["scaleTargetRef"]
            assert (target.get("kind", "Deployment"), target["name"]) in names
    for _, name, template in pods_of(found):
        text = json.dumps(template)
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            for referred in re.findall(rf'"{key}": {{"name": "([^"]+)"', text):
                assert (kind, referred) in names, name
        for referred in re.findall(r'"secretKeyRef": {"key": "[^"]+", "name": "([^"]+)"', text):
            assert ("Secret", referred) in names, name
        for referred in re.findall(r'"claimName": "([^"]+)"', text):
            assert ("PersistentVolumeClaim", referred) in names, name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_are_confined_and_probed(manifests, overlay):
    for kind, name, template in pods_of(manifests[overlay]):
        pod = template["spec"]
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        (container,) = pod["containers"]
        security = container["securityContext"]
        assert security["allowPrivilegeEscalation"] is False, name
        assert security["capabilities"] == {"drop": ["ALL"]}, name
        if "kvasir" in container["image"]:
            assert security["readOnlyRootFilesystem"] is True, name
        assert container["resources"]["requests"].keys() >= {"cpu", "memory"}, name
        assert "memory" in container["resources"]["limits"], name
        if kind != "Job":
            assert "livenessProbe" in container, name
        if overlay == "openshift":
            assert "runAsUser" not in pod["securityContext"], name


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_log_of_a_failed_migration_can_be_read_for_hours(manifests, overlay):
    """Kubernetes deletes a job that failed like one that succeeded, with its pods."""
    job = next(each for each in manifests[overlay] if each["kind"] == "Job")
    assert job["spec"]["ttlSecondsAfterFinished"] >= 6 * 3600
    assert job["spec"]["template"]["spec"]["restartPolicy"] == "Never"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_second_apply_meets_no_job_of_the_first(manifests, overlay):
    """A job's template is immutable, and it names maps and images that change."""
    jobs = [each for each in manifests[overlay] if each["kind"] == "Job"]
    assert [each["metadata"]["name"] for each in jobs] == ["migration"]
    page = (ROOT / "docs/kubernetes.md").read_text("utf-8")
    first, second = (found.start() for found in re.finditer(r"^ +kubectl apply -k", page, re.M))
    assert first < page.index("delete job migration --ignore-not-found") < second


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_pods_environment_is_settings_of_kvasir(manifests, overlay, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = manifests[overlay]
    (config,) = [each for each in found if each["kind"] == "ConfigMap"]
    (secret,) = [
        each
        for each in found
        if each["kind"] == "Secret" and each["metadata"]["name"].startswith("kvasir")
    ]
    values = {k: v for k, v in config["data"].items() if k != "kvasir.yaml"}
    values |= {k: base64.b64decode(v).decode() for k, v in secret["data"].items()}
    unknown = {name for name in values if name not in CELERY_NAMES and "KVASIR__" not in name}
    assert unknown == set()
    settings = load_settings(yaml.safe_load(config["data"]["kvasir.yaml"]), {}, values)
    assert settings.jobs.backend == "celery"
    assert settings.store_uri == "http://qdrant:6333"
    assert settings.generator.type == "openai"
    assert settings.catalog_url == settings.database_url == values["DATABASE_URL"]
    for _, name, template in pods_of(found):
        if template["metadata"]["labels"].get("app.kubernetes.io/component") == "worker":
            seconds = template["spec"]["terminationGracePeriodSeconds"]
            assert seconds > settings.jobs.stop_seconds, name
        if name == "api":
            server = settings.server
            assert template["spec"]["terminationGracePeriodSeconds"] > server.shutdown_seconds + 5


def queues_of(commands):
    """Return the queues that workers with these command lines read."""
    read = set()
    for command in commands:
        if command[:1] == ["worker"]:
            read |= set(command[command.index("--queues") + 1].split(","))
    return read


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_workers_of_an_overlay_read_every_queue(manifests, overlay):
    containers = [pod["spec"]["containers"][0] for _, _, pod in pods_of(manifests[overlay])]
    assert queues_of(each.get("args", []) for each in containers) == set(QUEUES)


def test_the_settings_of_the_pods_and_of_the_course_are_the_presets():
    for copy, preset in (
        (KUBERNETES / "base/kvasir.yaml", "celery-qdrant"),
        (DEPLOY / "compose/classroom-settings.yaml", "classroom"),
    ):
        assert copy.read_text("utf-8") == (ROOT / f"presets/{preset}.yaml").read_text("utf-8")


SCALED_OBJECT = {
    *("scaleTargetRef", "pollingInterval", "initialCooldownPeriod", "cooldownPeriod"),
    *("idleReplicaCount", "minReplicaCount", "maxReplicaCount", "fallback", "advanced"),
    "triggers",
}
TRIGGER = {"type", "name", "metadata", "authenticationRef", "metricType", "useCachedMetrics"}
MYSQL = {
    *("query", "queryValue", "activationQueryValue", "connectionStringFromEnv", "host", "port"),
    *("username", "passwordFromEnv", "dbName"),
}
"""The fields of KEDA's reference. Source: https://keda.sh/docs/2.18/reference/scaledobject-spec/,
https://keda.sh/docs/2.18/scalers/mysql/"""


@pytest.mark.parametrize("overlay", ["production", "gpu"])
def test_workers_are_scaled_on_the_jobs_that_wait_and_run(manifests, overlay):
    found = manifests[overlay]
    (scaled,) = [each for each in found if each["kind"] == "ScaledObject"]
    (login,) = [each for each in found if each["kind"] == "TriggerAuthentication"]
    spec = scaled["spec"]
    assert (scaled["apiVersion"], login["apiVersion"]) == ("keda.sh/v1alpha1",) * 2
    assert set(spec) <= SCALED_OBJECT
    assert set(spec["fallback"]) <= {"failureThreshold", "replicas", "behavior"}
    (trigger,) = spec["triggers"]
    assert set(trigger) <= TRIGGER
    assert set(trigger["metadata"]) <= MYSQL
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    assert trigger["authenticationRef"]["name"] == login["metadata"]["name"]
    assert set(login["spec"]["secretTargetRef"][0]) == {"parameter", "name", "key"}
    assert ("Secret", login["spec"]["secretTargetRef"][0]["name"]) in {
        (each["kind"], each["metadata"]["name"]) for each in found
    }
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "made-by-keda"},
        "spec": {"maxReplicas": 2, "scaleTargetRef": {"kind": "Deployment", "name": "worker"}},
    }
    scaler["spec"]["behavior"] = behavior
    kubernetes_validate.validate(scaler, "1.34", strict=True)
    for _, name, template in pods_of(found):
        if name == "worker":
            grace = template["spec"]["terminationGracePeriodSeconds"]
            assert grace < behavior["scaleDown"]["stabilizationWindowSeconds"]


@pytest.mark.parametrize("overlay", ["production", "gpu"])
def test_the_scaler_reaches_the_database_from_its_own_namespace(manifests, overlay):
    found = manifests[overlay]
    (databases,) = [
        each
        for each in found
        if each["kind"] == "Secret" and each["metadata"]["name"].startswith("databases")
    ]
    connection = base64.b64decode(databases["data"]["mysql-connection"]).decode()
    assert "@tcp(mysql.kvasir.svc:3306)/" in connection
    (policy,) = [each for each in found if each["metadata"]["name"] == "mysql-from-keda"]
    (mysql,) = [pod for _, name, pod in pods_of(found) if name == "mysql"]
    assert labels_match(policy["spec"]["podSelector"], mysql["metadata"]["labels"])
    (rule,) = policy["spec"]["ingress"]
    names = {port["name"] for port in mysql["spec"]["containers"][0]["ports"]}
    assert {port["port"] for port in rule["ports"]} <= names
    (peer,) = rule["from"]
    assert peer["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}


def test_the_query_of_the_scaler_counts_jobs(tmp_path, manifests):
    """The tables are the same in every database."""
    (scaled,) = [each for each in manifests["production"] if each["kind"] == "ScaledObject"]
    query = scaled["spec"]["triggers"][0]["metadata"]["query"]
    with App(load_settings({"data_dir": str(tmp_path)}, {}, {})) as app:
        app.services.jobs.add(NewJob("ingest_address", {"url": "https://x.example"}))
    with sqlite3.connect(tmp_path / "service.db") as database:
        assert database.execute(query).fetchone() == (1,)
    database.close()


# Compose


@pytest.mark.parametrize("path", COMPOSE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_compose_file_is_valid(path):
    run(PROGRAMS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", path)


def resolved(value, **given):
    """Return a text of a compose file with its variables as given, others at their defaults."""
    value = re.sub(
        r"\$\{(\w+):?-([^}]*)\}", lambda found: given.get(found[1], found[2]), str(value)
    )
    return re.sub(r"\$\{\w+:\?[^}]*\}", "x" * 40, value).replace("$$", "$")


def services_of(name):
    return yaml.safe_load((DEPLOY / "compose" / name).read_text("utf-8"))["services"]


def test_the_course_has_the_services_and_names_of_document_004():
    root = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))
    assert root["name"] == "rag"
    assert [each["path"] for each in root["include"]] == ["deploy/compose/classroom.yaml"]
    services = services_of("classroom.yaml")
    assert set(services) == {"database", "mongodb", "ollama", "api", "rag", "email"}
    given = {
        name: {key: resolved(value) for key, value in service["environment"].items()}
        for name, service in services.items()
    }
    assert given["database"]["MYSQL_DATABASE"] == "test_sql"
    assert given["database"]["MYSQL_USER"] == given["database"]["MYSQL_PASSWORD"] == "rag-system"
    assert given["mongodb"]["MONGO_INITDB_ROOT_USERNAME"] == "mongoadmin"
    assert given["mongodb"]["MONGO_INITDB_ROOT_PASSWORD"] == "secret"
    assert given["mongodb"]["MONGO_INITDB_DATABASE"] == "test_nosql"
    assert given["ollama"]["OLLAMA_MODEL"] == "mistral"
    assert 'ollama pull "$OLLAMA_MODEL"' in resolved(services["ollama"]["command"][0])
    api = {
        *("DB_NAME", "DB_USER", "DB_PASS", "DB_HOST", "DB_PORT", "ACCESS_TOKEN_EXPIRE_MINUTES"),
        *("SECRET_KEY", "MONGO_HOST", "MONGO_PORT", "MONGO_USER", "MONGO_PASS", "MONGO_DB_NAME"),
    }
    assert api <= set(given["api"])
    rag = {"API_URL", "DOCUMENT_LOCATION", "PYTHONUNBUFFERED"}
    assert rag | {name for name in api if name.startswith("MONGO")} <= set(given["rag"])
    assert given["api"]["ACCESS_TOKEN_EXPIRE_MINUTES"] == "1440"
    assert "6b3d75e968f26f3be3443503efefd761e22d5e173fea95646a3659e673ebb97b" not in str(services)
    for name, service in services.items():
        assert "healthcheck" in service or name == "api"  # The image has that of the server.
        ports = [str(each) for each in service.get("ports", [])]
        assert ports == ([] if name != "api" else ["${API_PORT:-127.0.0.1:8000}:8000"])


@pytest.mark.parametrize("stack", ["classroom", "celery"])
def test_the_environment_of_a_stack_is_settings_of_kvasir(stack, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    passwords = tmp_path / "passwords.json"
    passwords.write_text("{}")
    passwords.chmod(0o600)
    preset = {"classroom": "classroom", "celery": "celery-qdrant"}[stack]
    checked = 0
    for name, service in services_of(f"{stack}.yaml").items():
        if not service.get("image", "").startswith("kvasir:"):
            continue
        given = {key: resolved(value) for key, value in service["environment"].items()}
        own = {*NAMES, *CELERY_NAMES, "PYTHONUNBUFFERED"}
        assert {key for key in given if not key.startswith("KVASIR__")} <= own, name
        settings = load_settings(ROOT / f"presets/{preset}.yaml", {}, given)
        assert settings.database_url.startswith(("mysql://", "postgresql://"))
        checked += 1
    assert checked >= 3


def test_the_workers_of_the_celery_stack_read_every_queue():
    services = services_of("celery.yaml").values()
    started = [each.get("command", []) for each in services if "profiles" not in each]
    assert queues_of(started) == set(QUEUES)


def test_the_services_on_ecs_read_every_queue():
    page = (ROOT / "docs/aws.md").read_text("utf-8")
    commands = re.findall(r"`(worker --queues [^`]*)`", page)
    assert queues_of(each.split() for each in commands) == set(QUEUES)


def test_an_image_that_embeds_vietnamese_can_cut_it_into_words():
    build = services_of("celery.yaml")["worker-gpu"]["build"]
    assert {"torch", "vietnamese"} <= set(build["args"]["EXTRAS"].split(","))


def test_flower_has_a_login_only_where_one_is_given():
    """A required variable would be asked for without the profile, too."""
    assert services_of("celery.yaml")["flower"]["environment"]["FLOWER_BASIC_AUTH"] is None
    assert "`FLOWER_BASIC_AUTH=" in (ROOT / "docs/docker.md").read_text("utf-8")


def test_the_generator_of_the_celery_stack_is_made_as_its_page_says():
    page = (ROOT / "docs/docker.md").read_text("utf-8")
    words = re.search(r"set `(GENERATOR=openai [^`]*)`", page)[1].split()
    said = dict(word.split("=", 1) for word in words)
    for given, kind, options in (({}, "ollama", {"pull": True}), (said, "openai", {})):
        environment = services_of("celery.yaml")["api"]["environment"]
        values = {key: resolved(value, **given) for key, value in environment.items()}
        settings = load_settings(DEPLOY / "celery/kvasir.yaml", {}, values)
        chosen = settings.generator
        assert (chosen.type, chosen.options) == (kind, options)
        components.check("generators", chosen.type, chosen.arguments)
    assert settings.generator.model == "model"


@pytest.mark.parametrize("stack", ["classroom", "celery"])
def test_what_a_service_of_a_stack_refers_to_is_there(stack):
    whole = yaml.safe_load((DEPLOY / "compose" / f"{stack}.yaml").read_text("utf-8"))
    services = whole["services"]
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services), name
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy" and "build" not in services[other]:
                assert "test" in services[other]["healthcheck"], other
        for volume in service.get("volumes", []):
            source = str(volume).split(":")[0]
            if not source.startswith((".", "$")):
                assert source in whole["volumes"], volume
            elif source.startswith("."):
                assert (DEPLOY / "compose" / source).exists(), volume
        if "build" in service:
            assert (DEPLOY / "compose" / service["build"]["context"]).resolve() == ROOT
            assert (ROOT / service["build"]["dockerfile"]).is_file()
            assert service["read_only"] is True
            assert service["cap_drop"] == ["ALL"]


# The development container

DEVCONTAINER = {
    *("name", "forwardPorts", "portsAttributes", "otherPortsAttributes", "containerEnv"),
    *("remoteEnv", "remoteUser", "containerUser", "updateRemoteUserUID", "userEnvProbe"),
    *("overrideCommand", "shutdownAction", "init", "privileged", "capAdd", "securityOpt"),
    *("mounts", "features", "overrideFeatureInstallOrder", "customizations", "dockerComposeFile"),
    *("service", "runServices", "workspaceFolder", "initializeCommand", "onCreateCommand"),
    *("updateContentCommand", "postCreateCommand", "postStartCommand", "postAttachCommand"),
    *("waitFor", "hostRequirements", "secrets"),
}
"""Source: https://containers.dev/implementors/json_reference/"""


def test_the_development_container_has_redis_and_qdrant_beside_the_editor():
    folder = ROOT / ".devcontainer"
    container = json.loads((folder / "devcontainer.json").read_text("utf-8"))
    assert set(container) <= DEVCONTAINER
    services = yaml.safe_load((folder / container["dockerComposeFile"]).read_text("utf-8"))[
        "services"
    ]
    assert set(services) == {container["service"], "redis", "qdrant"}
    assert set(services["editor"]["environment"]) <= set(CELERY_NAMES)
    assert services["editor"]["volumes"] == [f"..:{container['workspaceFolder']}:cached"]
    assert {8000, 6333, 6379} == set(container["forwardPorts"])


# The image


def stages():
    """Return the instructions of each stage of the image's file by its name."""
    text = (DEPLOY / "image" / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
    found, name = {}, ""
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("FROM "):
            name = line.split(" AS ")[1]
            found[name] = [line]
        elif name:
            found[name].append(line)
    return found


def test_the_image_s_file_passes_its_linter():
    run(PROGRAMS / "hadolint", DEPLOY / "image" / "Dockerfile")


@pytest.mark.parametrize("target", ["kvasir", "lambda", "stream"])
def test_an_image_has_a_numbered_user_and_nothing_that_builds(target):
    found = stages()
    lines = found["base"] + found[target]
    assert found[target][0].startswith("FROM base ")
    assert "USER 10001:0" in lines
    text = "\n".join(lines)
    assert not re.search(r"gcc|g\+\+|build-essential|\bmake\b|python\S* -dev", text)
    assert "pip install" not in text
    assert "ensurepip" in text  # is removed
    copied = [line for line in lines if line.startswith("COPY --from=")]
    assert any(re.search(r"COPY --from=build(-lambda)? /opt/kvasir /opt/kvasir", c) for c in copied)


def test_the_image_has_a_bill_of_materials_and_only_the_sources_it_needs():
    text = "\n".join(stages()["build"])
    assert "cyclonedx-py environment" in text
    assert "/opt/kvasir/sbom.json" in text
    kept = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert kept[0] == "*"
    for line in stages()["build"] + stages()["lambda"]:
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                assert "!" + source.removeprefix("./").split("/")[0] in kept, source


# AWS


def test_the_template_of_lambda_passes_its_linter():
    run(PROGRAMS / "cfn-lint", "--region", "eu-west-1", "--", DEPLOY / "aws" / "template.yaml")


class Template(yaml.SafeLoader):
    """Reads CloudFormation's short forms such as ``!Ref NAME`` as ``{"Ref": NAME}``."""


def read_short_form(loader, name, node):
    if isinstance(node, yaml.ScalarNode):
        return {name: loader.construct_scalar(node)}
    return {name: loader.construct_sequence(node, deep=True)}


Template.add_multi_constructor("!", read_short_form)


@pytest.mark.parametrize("function", ["ImageIngest", "ZipIngest"])
def test_the_template_has_a_schedule_that_keeps_a_collection_equal_to_a_list(function):
    text = (DEPLOY / "aws" / "template.yaml").read_text("utf-8")
    template = yaml.load(text, Template)
    assert template["Parameters"]["SyncAddress"]["Default"] == ""
    schedule = template["Resources"][function]["Properties"]["Events"]["Sync"]
    assert schedule["Type"] == "Schedule"
    assert schedule["Properties"]["State"] == {"If": ["Syncs", "ENABLED", "DISABLED"]}
    event = schedule["Properties"]["Input"]["Sub"]
    for name, value in (("SyncAddress", "s3://docs/manuals"), ("SyncCollection", "manuals")):
        event = event.replace(f"${{{name}}}", value)
    (change,) = changes_of(json.loads(event))
    assert (change.listing, change.collection) == ("s3://docs/manuals", "manuals")


def test_the_gateway_of_the_template_takes_and_gives_bytes():
    text = (DEPLOY / "aws" / "template.yaml").read_text("utf-8")
    gateway = yaml.load(text, Template)["Resources"]["Gateway"]["Properties"]
    assert gateway["BinaryMediaTypes"] == ["*~1*"]


def test_the_template_gives_the_variables_of_document_003():
    text = (DEPLOY / "aws" / "template.yaml").read_text("utf-8")
    # The model's folder is that of the package.
    for name in set(LAMBDA_NAMES) - {"MODEL_PATH"}:
        assert re.search(rf"^ +{name}: ", text, re.MULTILINE), name
    assert text.count("FunctionResponseTypes: [ReportBatchItemFailures]") == 2
    assert "responseTransferMode: STREAM" in text
    assert "ApplyOn: PublishedVersions" in text
