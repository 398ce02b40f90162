"""The cast at the admin's door: the administrator, the owner and a stranger are all staff."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from agents import versions
from agents.models import Agent, Provider

KEY = "sk-upstream-secret-key"


def staff(name: str) -> User:
    return User.objects.create_user(name, is_staff=True)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def admin(db: None) -> Client:
    return signed_in(User.objects.create_superuser("admin"))


@pytest.fixture
def owner(db: None) -> User:
    return staff("owner")


@pytest.fixture
def owners(owner: User) -> Client:
    """The owner's browser."""
    return signed_in(owner)


@pytest.fixture
def strangers(db: None) -> Client:
    """The stranger's browser; this stranger even has Django's own permissions on agents."""
    from django.contrib.auth.models import Permission

    stranger = staff("stranger")
    stranger.user_permissions.set(Permission.objects.filter(content_type__model="agent", codename__in=["view_agent", "change_agent"]))
    return signed_in(stranger)


@pytest.fixture
def provider(db: None) -> Provider:
    return Provider.objects.create(name="main", kind="demo", api_key=KEY, headers='{"X-Secret": "header-secret-value"}')


@pytest.fixture
def agent(provider: Provider, owner: User) -> Agent:
    agent = Agent.objects.create(name="helper", provider=provider, model="demo", instructions="Be kind.", owner=owner)
    versions.publish(agent, owner, "first")
    return agent
