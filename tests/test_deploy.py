"""What the containers are told to run exists: commands, the Celery application, settings, the health check's path."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands
from django.urls import resolve

ROOT = Path(__file__).resolve().parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if service.get("image") == "switchboard"}


def test_every_role_of_the_site_is_a_service() -> None:
    assert set(OURS) == {"web", "worker", "beat", "migrate"}
    assert {"proxy", "postgres", "redis"} <= set(COMPOSE["services"])


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_service_runs_a_command_that_exists(name: str) -> None:
    command = OURS[name]["command"]
    if command[0] == "python":
        assert command[1] == "manage.py"
        assert command[2] in get_commands()
    else:
        assert command[:3] == ["celery", "--app", "config.celery"]
        assert import_module(command[2]).app.conf.broker_url


def test_the_environment_of_the_containers_is_known_to_the_settings() -> None:
    read = set(re.findall(r'env\.\w+\("(\w+)"', (ROOT / "config/settings.py").read_text()))
    assert set(OURS["web"]["environment"]) <= read


def test_what_a_service_waits_for_is_there_and_can_be_healthy() -> None:
    for service in COMPOSE["services"].values():
        for wanted, how in (service.get("depends_on") or {}).items():
            assert wanted in COMPOSE["services"]
            if how["condition"] == "service_healthy":
                assert "healthcheck" in COMPOSE["services"][wanted] or wanted in OURS


def test_the_health_check_asks_a_path_that_needs_no_credentials() -> None:
    asked = re.search(r"'GET', '(/\w+)'", (ROOT / "Dockerfile").read_text())
    assert asked
    assert resolve(asked[1]).func.view_class.public
