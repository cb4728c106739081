"""The JSON Schema of workflow files, generated from the models."""

from __future__ import annotations

import json
from pathlib import Path

from graphengine.core.workflow import Workflow

__all__ = ["SCHEMA_PATH", "workflow_schema"]

SCHEMA_PATH = Path(__file__).parent / "graphengine-workflow-1.schema.json"
"""The committed copy; a check keeps it current."""


def workflow_schema() -> str:
    """Generate the schema as JSON text."""
    schema = Workflow.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "graphengine workflow, version 1"
    schema["required"] = ["format", "version", "nodes"]
    schema["additionalProperties"] = False
    schema["patternProperties"] = {"^x-": {}}
    return json.dumps(schema, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
