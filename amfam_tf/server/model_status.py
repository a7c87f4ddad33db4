"""GetModelStatus and GetModelMetadata, for gRPC and REST alike."""

import grpc
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from amfam_tf.server.manager import ModelManager
from amfam_tf.server.status import invalid_argument, not_found

SIGNATURE_DEF = "signature_def"


def get_model_status(
    manager: ModelManager, request: get_model_status_pb2.GetModelStatusRequest
) -> get_model_status_pb2.GetModelStatusResponse:
    """Returns the states of all versions of a model, newest first, or of the one that is asked for.

    Raises:
        ServingError: no ModelSpec, or no such model or version.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    spec = request.model_spec
    rows = manager.statuses(spec.name)
    if spec.HasField("version"):
        rows = [row for row in rows if row[0] == spec.version.value]
        if not rows:
            raise not_found(f"Could not find version {spec.version.value} of model {spec.name}")
    elif not rows:
        raise not_found(f"Could not find any versions of model {spec.name}")
    response = get_model_status_pb2.GetModelStatusResponse()
    for version, state, error in rows:
        entry = response.model_version_status.add(version=version, state=int(state))
        entry.status.error_code = (error.code if error else grpc.StatusCode.OK).value[0]
        entry.status.error_message = error.message if error else ""
    return response


def get_model_metadata(
    manager: ModelManager, request: get_model_metadata_pb2.GetModelMetadataRequest
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """Returns the signatures of a version.

    Raises:
        ServingError: no ModelSpec, no or an unknown metadata field, or no such model, version or label.
    """
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    if not request.metadata_field:
        raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
    for name in request.metadata_field:
        if name != SIGNATURE_DEF:
            raise invalid_argument(f"Metadata field {name} is not supported")
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    signatures = get_model_metadata_pb2.SignatureDefMap()
    with manager.lease(request.model_spec) as lease:
        for name, definition in lease.servable.signatures.items():
            signatures.signature_def[name].CopyFrom(definition)
        response.model_spec.name = lease.name
        response.model_spec.version.value = lease.version
    response.metadata[SIGNATURE_DEF].Pack(signatures)
    return response
