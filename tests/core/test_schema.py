from __future__ import annotations

import json
from pathlib import Path

from graphengine.core.schema import SCHEMA_PATH, workflow_schema
from graphengine.core.workflow import Workflow


def test_the_committed_schema_is_current() -> None:
    assert SCHEMA_PATH.read_text(encoding="utf-8") == workflow_schema()


def test_the_schema_knows_every_field_of_the_file() -> None:
    properties = json.loads(workflow_schema())["properties"]
    assert set(properties) == {field.alias or name for name, field in Workflow.model_fields.items()}


def test_shipped_workflows_have_only_fields_of_the_schema() -> None:
    properties = json.loads(workflow_schema())["properties"]
    files = sorted(Path("workflows").glob("*.json"))
    assert files
    for path in files:
        unknown = set(json.loads(path.read_text(encoding="utf-8"))) - set(properties)
        assert not unknown, path
