"""The contract as it is written, compiled with its comments."""

import pytest
from buf.validate import validate_pb2
from commerce.options.v1 import options_pb2
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2

from tests.contract.contract import Contract
from tools.generate import buf

# The options that they define are read only where they are known.
KNOWN = (validate_pb2, options_pb2, annotations_pb2)


@pytest.fixture(scope="session")
def contract(tmp_path_factory):
    image = tmp_path_factory.mktemp("contract") / "image.binpb"
    buf("build", "--as-file-descriptor-set", "--output", str(image))
    return Contract(descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes()))
