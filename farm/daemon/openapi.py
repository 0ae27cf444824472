"""The API's description (OpenAPI 3.1), made of its routes and of the records that they answer.

``python -m farm.daemon.openapi > docs/openapi.yaml`` writes it anew; a test says when that is due.
"""

from __future__ import annotations

import re
import sys
from http import HTTPStatus
from typing import Any

import msgspec
import yaml

from farm.api.answers import Refused
from farm.daemon.routes import ROUTES, Parameter, Route

REFERENCE = "#/components/schemas/{name}"
ABOUT = (
    "The state of a farm, as farmd knows it. farmd serves this API on the Unix socket /run/farm/farmd.sock, and on "
    "the lab's network if farm.yaml sets api.port; there, every request except /healthz needs the token. Fields may "
    "be added, so clients must ignore unknown fields. Times are Unix times in seconds and sizes are bytes, unless "
    "stated otherwise."
)


def document() -> dict[str, Any]:
    """The whole description, as plain data."""
    bodies = [route.body for route in ROUTES if route.body is not None]
    types = [route.answer for route in ROUTES if route.answer is not None]
    schemas, components = msgspec.json.schema_components([*types, *bodies, Refused], ref_template=REFERENCE)
    by_route = dict(zip((route.name for route in ROUTES if route.answer is not None), schemas, strict=False))
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(plain_path(route.path), {})[route.method.lower()] = _operation(route, by_route.get(route.name))
    return {
        "openapi": "3.1.0",
        "info": {"title": "farmd", "version": "2", "description": ABOUT, "license": {"name": "GPL-3.0-or-later"}},
        "servers": [
            {"url": "http://localhost", "description": "On the Unix socket"},
            {
                "url": "http://{server}:{port}",
                "description": "On the lab's network",
                "variables": {"server": {"default": "10.77.0.1"}, "port": {"default": "8070"}},
            },
        ],
        "security": [{}, {"token": []}],
        "paths": paths,
        "components": {
            "responses": {
                "Refused": {
                    "description": "What failed, why, and how to fix it; 401 if the token is missing or wrong.",
                    "content": {"application/json": {"schema": {"$ref": REFERENCE.format(name="Refused")}}},
                }
            },
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {name: _described(schema) for name, schema in sorted(components.items())},
        },
    }


def plain_path(path: str) -> str:
    """A route's path without the patterns of its parameters."""
    return re.sub(r"\{(\w+):(?:[^{}]|\{[^{}]*\})*\}", r"{\1}", path)


def _operation(route: Route, schema: dict[str, Any] | None) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": route.name, "summary": route.text}
    if route.parameters:
        operation["parameters"] = [_parameter(each, route) for each in route.parameters]
    if route.body is not None:
        schema_of_body = {"$ref": REFERENCE.format(name=route.body.__name__)}
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema_of_body}}}
    if route.path == "/ws":
        # OpenAPI has no word for what comes after the handshake.
        operation["responses"] = {"101": {"description": "The WebSocket; each text message is one of x-message."}}
        operation["x-message"] = schema
    else:
        content = {route.content: {"schema": schema or {"type": "string"}}}
        operation["responses"] = {"200": {"description": "Success.", "content": content}}
    refused = {"application/json": {"schema": {"$ref": REFERENCE.format(name="Refused")}}}
    for status in route.errors:
        operation["responses"][str(status)] = {"description": HTTPStatus(status).phrase, "content": refused}
    operation["responses"]["default"] = {"$ref": "#/components/responses/Refused"}
    return operation


def _parameter(parameter: Parameter, route: Route) -> dict[str, Any]:
    described = {"name": parameter.name, "description": parameter.text}
    if f"{{{parameter.name}" in route.path:
        kind = {"type": "string"} if parameter.name == "key" else {"type": "integer"}
        return {**described, "in": "path", "required": True, "schema": kind}
    if parameter.default is None:
        return {**described, "in": "query", "schema": {"type": "string"}}
    bounds = {"type": "integer", "minimum": parameter.least, "maximum": parameter.most, "default": parameter.default}
    return {**described, "in": "query", "schema": bounds}


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema whose description is Markdown, as OpenAPI wants it."""
    if "description" in schema:
        schema = {**schema, "description": schema["description"].replace("``", "`")}
    return schema


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def render() -> str:
    """The text of docs/openapi.yaml."""
    return yaml.dump(document(), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


if __name__ == "__main__":
    sys.stdout.write(render())
