"""The clock tells the time where the operator, or the model, says."""

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from agents.specs import ToolSpec
from agents.tools import clock, kind_for
from agents.tools.arguments import check_arguments, check_schema
from agents.tools.base import ToolContext, ToolOutcome

CONTEXT = ToolContext(execution_id="e", agent_name="a")


async def ask(config: dict[str, Any], **arguments: Any) -> ToolOutcome:
    return await kind_for("clock").call(ToolSpec(name="now", kind="clock", config=config), arguments, CONTEXT)


async def test_it_tells_the_time_in_the_configured_zone() -> None:
    answer = await ask({"timezone": "Asia/Tokyo"})
    told = datetime.fromisoformat(answer.output["iso"])
    assert answer.output["timezone"] == "Asia/Tokyo"
    assert told.utcoffset() == timedelta(hours=9)
    assert abs(told - datetime.now(ZoneInfo("UTC"))) < timedelta(minutes=1)


async def test_the_model_may_ask_for_another_zone() -> None:
    assert (await ask({"timezone": "Asia/Tokyo"}, timezone="America/Lima")).output["timezone"] == "America/Lima"


async def test_utc_is_the_default() -> None:
    assert (await ask({})).output["timezone"] == "UTC"


def test_what_is_told() -> None:
    assert clock.told(datetime(2026, 1, 5, 9, 30, 1, 5, tzinfo=ZoneInfo("Europe/Berlin"))) == {
        "iso": "2026-01-05T09:30:01+01:00",
        "date": "2026-01-05",
        "time": "09:30:01",
        "weekday": "Monday",
        "timezone": "Europe/Berlin",
    }


@pytest.mark.parametrize("name", ["Mars/Olympus", "../../etc/passwd", "Europe", "a" * 5000, "\0", "/etc/localtime"])
async def test_an_unknown_zone_is_an_error_the_model_can_read(name: str) -> None:
    outcome = await ask({}, timezone=name)
    assert outcome.is_error
    assert "IANA" in outcome.output


@pytest.mark.parametrize("value", ["Mars/Olympus", 5, ["UTC"]])
def test_operators_are_told_of_a_wrong_zone(value: Any) -> None:
    with pytest.raises(ValueError, match="IANA"):
        clock.check({"timezone": value})


def test_its_parameters_are_a_valid_schema() -> None:
    description, parameters = clock.describe({"timezone": "Asia/Tokyo"})
    assert "Asia/Tokyo" in description
    check_schema(parameters)
    assert check_arguments(parameters, {"timezone": 5}) == 'timezone: does not satisfy type: "string"'


def test_its_config_is_stored_as_it_is() -> None:
    assert clock.prepare({"timezone": "Asia/Tokyo"}) == {"timezone": "Asia/Tokyo"}
