"""Providers that hold no cloud: they serve the schemas of `schemas/` to the real Terraform, and invent what a cloud would compute.

With them `terraform validate`, `plan` and `apply` run for real, without a network and without an account: names, types,
required arguments, blocks, references, conditions and outputs. What only a provider's own code knows (allowed values, values that
exclude one another) is not checked.

Terraform finds them by TF_REATTACH_PROVIDERS, its own means for tests of providers: no download, no lock file.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import msgpack
from google.protobuf import message_factory

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))  # The compiler of the protocol looks for its file here.
messages = grpc.protos("tfplugin.proto")

UNKNOWN = msgpack.ExtType(0, b"\x00")
NESTING = {"one": 2, "list": 2, "single": 1}
OBJECT_NESTING = {"one": 1, "list": 2, "map": 4}


@contextlib.contextmanager
def serving() -> Iterator[dict[str, str]]:
    """Serves every schema; answers the environment by which Terraform finds them."""
    servers, attach = [], {}
    with tempfile.TemporaryDirectory(prefix="tf") as folder:
        for path in sorted((HERE / "schemas").glob("*.json")):
            schema = json.loads(path.read_text())
            server = grpc.server(ThreadPoolExecutor(max_workers=16), options=[("grpc.max_receive_message_length", -1)])
            socket = f"{folder}/{path.stem}"
            server.add_insecure_port(f"unix:{socket}")
            server.add_generic_rpc_handlers((Provider(schema),))
            server.start()
            servers.append(server)
            attach[schema["source"]] = {
                "Protocol": "grpc", "ProtocolVersion": 6, "Pid": os.getpid(), "Test": True,
                "Addr": {"Network": "unix", "String": socket},
            }
        try:
            yield {"TF_REATTACH_PROVIDERS": json.dumps(attach)}
        finally:
            for server in servers:
                server.stop(None)


class Provider(grpc.GenericRpcHandler):
    """One provider."""

    def __init__(self, schema: dict) -> None:
        self.schema = schema

    def service(self, details):
        service, _, method = details.method.strip("/").partition("/")
        descriptor = messages.DESCRIPTOR.services_by_name["Provider"].methods_by_name.get(method)
        if service != "tfplugin6.Provider" or descriptor is None:
            return None
        request = message_factory.GetMessageClass(descriptor.input_type)
        response = message_factory.GetMessageClass(descriptor.output_type)
        answer = getattr(self, f"_{method}")
        return grpc.unary_unary_rpc_method_handler(
            lambda asked, _: answer(asked, response), request.FromString, response.SerializeToString
        )

    def _GetProviderSchema(self, _, response):
        return response(
            provider=_schema(self.schema["provider"]),
            resource_schemas={name: _schema(block) for name, block in self.schema["resource"].items()},
            data_source_schemas={name: _schema(block) for name, block in self.schema["data"].items()},
        )

    def _nothing(self, _, response):
        return response()

    _ValidateProviderConfig = _ValidateResourceConfig = _ValidateDataResourceConfig = _nothing
    _ConfigureProvider = _StopProvider = _nothing

    def _UpgradeResourceState(self, asked, response):
        return response(upgraded_state={"json": asked.raw_state.json})

    def _ReadResource(self, asked, response):
        return response(new_state=asked.current_state, private=asked.private)

    def _PlanResourceChange(self, asked, response):
        proposed, prior = _value(asked.proposed_new_state), _value(asked.prior_state)
        if proposed is not None and prior is None:
            block = self.schema["resource"][asked.type_name]
            proposed = _fill(block, proposed, lambda name, kind: UNKNOWN)
        return response(planned_state=_packed(proposed))

    def _ApplyResourceChange(self, asked, response):
        planned = _value(asked.planned_state)
        if planned is not None:
            block = self.schema["resource"][asked.type_name]
            planned = _fill(block, planned, lambda name, kind: invented(asked.type_name, name, kind, planned))
        return response(new_state=_packed(planned))

    def _ReadDataSource(self, asked, response):
        block = self.schema["data"][asked.type_name]
        config = _value(asked.config)
        return response(state=_packed(_fill(block, config, lambda name, kind: invented(asked.type_name, name, kind, config))))


def _fill(block: dict, value: dict, with_: Callable[[str, object], object]) -> dict:
    """The value with what is computed and still missing."""
    filled = dict(value)
    for name, (kind, presence) in block["attributes"].items():
        missing = filled.get(name) is None and (presence == "computed" or name == "id")
        if missing or isinstance(filled.get(name), msgpack.ExtType):
            filled[name] = with_(name, kind)
    for name, inner in block["blocks"].items():
        if isinstance(filled.get(name), list):
            filled[name] = [_fill(inner, one, with_) if isinstance(one, dict) else one for one in filled[name]]
    return filled


ACCOUNT = "123456789012"
GUID = "11111111-2222-4333-8444-555555555555"


def invented(resource: str, name: str, kind: object, value: dict) -> object:
    """What a cloud could have answered."""
    own = next((value[key] for key in ("name", "function_name", "bucket", "title") if isinstance(value.get(key), str)), "x")
    special = {
        ("aws_sqs_queue", "url"): f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/{own}",
        ("aws_sqs_queue", "id"): f"https://sqs.us-east-1.amazonaws.com/{ACCOUNT}/{own}",
        ("aws_sqs_queue", "arn"): f"arn:aws:sqs:us-east-1:{ACCOUNT}:{own}",
        ("aws_dynamodb_table", "arn"): f"arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/{own}",
        ("aws_iam_role", "arn"): f"arn:aws:iam::{ACCOUNT}:role/{own}",
        ("aws_iam_outbound_web_identity_federation", "issuer_identifier"): f"https://{GUID}.tokens.sts.global.api.aws",
        ("azurerm_cosmosdb_account", "endpoint"): f"https://{own}.documents.azure.com:443/",
        ("azurerm_servicebus_namespace", "endpoint"): f"https://{own}.servicebus.windows.net:443/",
        ("aws_caller_identity", "account_id"): ACCOUNT,
        ("aws_region", "region"): "us-east-1",
        ("aws_partition", "partition"): "aws",
    }
    if (resource, name) in special:
        return special[resource, name]
    if isinstance(kind, dict) or kind == "dynamic":
        return None
    if kind == ["list", "string"]:
        return [f"{name}-a", f"{name}-b", f"{name}-c"]
    if isinstance(kind, list):
        return {} if kind[0] == "map" else []
    if kind == "number":
        return 1
    if kind == "bool":
        return False
    if name in ("tenant_id", "client_id", "principal_id", "subscription_id", "object_id"):
        return GUID
    if name == "arn":
        service = resource.removeprefix("aws_").split("_")[0]
        return f"arn:aws:{service}:us-east-1:{ACCOUNT}:{resource}/{own}"
    if name == "id" and resource.startswith("azurerm_"):
        return f"/subscriptions/{GUID}/{resource}/{own}"
    return f"{own}-{name}"


def _value(packed: object) -> object:
    return msgpack.unpackb(packed.msgpack, ext_hook=msgpack.ExtType, strict_map_key=False) if packed.msgpack else None


def _packed(value: object) -> dict:
    return {"msgpack": msgpack.packb(value)}


def _schema(block: dict) -> dict:
    return {"version": 0, "block": _block(block)}


def _block(block: dict) -> dict:
    nested = [
        {
            "type_name": name, "block": _block(inner), "nesting": NESTING[inner["nesting"]],
            "min_items": 1 if inner["required"] and inner["nesting"] != "single" else 0, "max_items": 1 if inner["nesting"] == "one" else 0,
        }
        for name, inner in block["blocks"].items()
    ]
    return {"attributes": [_attribute(name, *rest) for name, rest in block["attributes"].items()], "block_types": nested}


def _attribute(name: str, kind: object, presence: str) -> dict:
    attribute = {"name": name, "required": presence == "required", "optional": presence == "optional", "computed": presence == "computed"}
    if name == "id" and presence == "optional":
        attribute["computed"] = True
    if isinstance(kind, dict):
        inner = [_attribute(key, *rest) for key, rest in kind["attributes"].items()]
        return attribute | {"nested_type": {"attributes": inner, "nesting": OBJECT_NESTING[kind["nested"]]}}
    return attribute | {"type": json.dumps(kind).encode()}

