"""A protoc plugin around grpc_tools' built-in grpc_python generator, for which buf has no name.

Reads a CodeGeneratorRequest on stdin and writes a CodeGeneratorResponse on stdout, as
google/protobuf/compiler/plugin.proto describes. Files without a service produce nothing.
"""

import sys
import tempfile
from pathlib import Path

from google.protobuf.compiler import plugin_pb2
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc


def generate(request: plugin_pb2.CodeGeneratorRequest) -> plugin_pb2.CodeGeneratorResponse:
    response = plugin_pb2.CodeGeneratorResponse()
    response.supported_features = plugin_pb2.CodeGeneratorResponse.FEATURE_PROTO3_OPTIONAL
    wanted = set(request.file_to_generate)
    with_services = [file.name for file in request.proto_file if file.name in wanted and file.service]
    if not with_services:
        return response

    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        descriptors = directory / "descriptors.binpb"
        descriptors.write_bytes(FileDescriptorSet(file=request.proto_file).SerializeToString())
        arguments = [f"--descriptor_set_in={descriptors}", f"--grpc_python_out={directory}", *with_services]
        if protoc.main(["protoc", *arguments]) != 0:
            response.error = "grpc_python failed; protoc's message is above"
            return response
        for path in sorted(directory.rglob("*_pb2_grpc.py")):
            response.file.add(name=path.relative_to(directory).as_posix(), content=path.read_text())
    return response


if __name__ == "__main__":
    asked = plugin_pb2.CodeGeneratorRequest.FromString(sys.stdin.buffer.read())
    sys.stdout.buffer.write(generate(asked).SerializeToString())
