"""What a request takes is told from shapes and headers alone, and cut where rows are free."""

import struct
import zlib
from io import BytesIO

import grpc
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from amfam_tf.server import demand as demand_module
from amfam_tf.server.demand import Demand, demand_of
from amfam_tf.server.picture_cost import BYTES_PER_COLUMN, PNG_CHUNK_BYTES, decoded_bytes
from amfam_tf.server.status import ServingError
from amfam_tf.server.wire_format import Steps, TooManyParts

WIDTH, HEIGHT = 60, 40
PIXELS, COLUMNS = WIDTH * HEIGHT, WIDTH * BYTES_PER_COLUMN


def cost(data: bytes, steps: int = 1000) -> int:
    return decoded_bytes(data, Steps(steps))


def saved(mode: str, kind: str, **options) -> bytes:
    file = BytesIO()
    Image.new(mode, (WIDTH, HEIGHT)).save(file, kind, **options)
    return file.getvalue()


def png_head(width: int, height: int, depth: int, more: bytes = b"") -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, depth, 6, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header)) + more


@pytest.mark.parametrize(
    ("data", "per_pixel"),
    [
        (saved("RGB", "PNG"), 6),
        (saved("L", "PNG"), 6),
        (saved("I;16", "PNG"), 18),
        (png_head(WIDTH, HEIGHT, 16), 18),
        (saved("RGB", "JPEG"), 6),
        # Coefficients of two bytes: 1 + 1/4 + 1/4 of them per pixel with 4:2:0, 3 with 4:4:4, 4 of CMYK.
        (saved("RGB", "JPEG", progressive=True, subsampling=2), 6 + 3),
        (saved("RGB", "JPEG", progressive=True, subsampling=0), 6 + 6),
        (saved("CMYK", "JPEG", progressive=True), 6 + 8),
        (saved("L", "JPEG", progressive=True), 6 + 2),
        (saved("RGB", "JPEG", icc_profile=b"any"), 12),
        (saved("RGB", "PNG", icc_profile=bytes(1)), 12),
        (saved("RGB", "BMP"), 12),
        (saved("P", "BMP"), 12),
        (saved("RGBA", "BMP"), 16),
    ],
)
def test_pictures_cost_by_format_and_kind(data: bytes, per_pixel: int) -> None:
    texts = min(PNG_CHUNK_BYTES, 1032 * len(data)) if b"iCCP" in data else 0
    assert cost(data) == PIXELS * per_pixel + COLUMNS + texts


def test_nothing_is_decoded_and_a_lying_header_costs_what_it_says() -> None:
    sides = 2**32 - 1
    assert cost(png_head(sides, sides, 8)) > 6 * sides**2
    jpeg = bytearray(saved("RGB", "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    jpeg[frame + 5 : frame + 9] = struct.pack(">HH", 65535, 65535)
    assert cost(bytes(jpeg)) == 65535**2 * 6 + 65535 * BYTES_PER_COLUMN
    # The pixels of a BMP must be in the file: no more of them than there are bytes.
    bmp = bytearray(saved("RGB", "BMP"))
    bmp[18:26] = struct.pack("<ii", 2**31 - 1, -(2**31) + 1)
    assert cost(bytes(bmp)) <= len(bmp) * (12 + BYTES_PER_COLUMN)


@pytest.mark.parametrize(
    "data",
    [b"", b"no picture", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"\xff\xd8\xff\xd9", b"\xff\xd8" + b"\xff" * 9],
)
def test_what_is_no_whole_header_costs_nothing(data: bytes) -> None:
    assert cost(data) == 0


def test_a_jpeg_is_walked_as_libjpeg_walks_it() -> None:
    jpeg = saved("RGB", "JPEG")
    expected = cost(jpeg)
    odd = jpeg[:2] + b"\xff" * 5000 + b"\x01junk\xff\xd0\xff\x00more" + jpeg[2:]
    assert cost(odd) == expected
    # A thumbnail in a segment before the frame is not the picture.
    thumbnail = b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xff\xff\xff\x03"
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(thumbnail)) + thumbnail
    assert cost(jpeg[:2] + segment + jpeg[2:]) == expected
    with pytest.raises(TooManyParts):
        cost(b"\xff\xd8\xff" + b"\x01\xff\xd0" * 2000)


def test_compressed_texts_of_a_png_count() -> None:
    chunk = b"\0\0\0\1zTXt" + bytes(20_000)
    assert cost(png_head(1, 1, 8, 3 * chunk)) == 6 + BYTES_PER_COLUMN + 3 * PNG_CHUNK_BYTES


def signature(outputs: int = 1, free: bool = True, **inputs: int) -> meta_graph_pb2.SignatureDef:
    """Returns a signature of inputs [free, ...] of the given types and of float outputs [free, 10]."""
    definition = meta_graph_pb2.SignatureDef()
    for name, data_type in inputs.items():
        definition.inputs[name].dtype = data_type
        definition.inputs[name].tensor_shape.dim.add(size=-1 if free else 5)
    for number in range(outputs):
        info = definition.outputs[f"out{number}"]
        info.dtype = types_pb2.DT_FLOAT
        for size in (-1, 10):
            info.tensor_shape.dim.add(size=size)
    return definition


def strings(rows: int, *values: bytes) -> tensor_pb2.TensorProto:
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=values)
    proto.tensor_shape.dim.add(size=rows)
    return proto


def test_a_repeated_picture_counts_in_every_row() -> None:
    picture = saved("I;16", "PNG")
    one = 4 * (24 + len(picture)) + PIXELS * 18 + COLUMNS
    demand = demand_of(signature(x=types_pb2.DT_STRING), {"x": strings(100, b"", picture)}, 1000, 100)
    assert demand.rows == 100
    assert demand.row_bytes.tolist() == [4 * 24 + 1000.0] + [one + 1000.0] * 99
    assert demand.held_bytes == 100 * 24 + len(picture) + 100 * 10 * (8 + 16)
    assert demand.can_be_cut


def test_pictures_inside_tf_examples_count() -> None:
    picture = saved("RGB", "JPEG", progressive=True, subsampling=0)
    example = tf.train.Example()
    example.features.feature["clinical"].bytes_list.value.extend([picture, b"text"])
    example.features.feature["number"].int64_list.value.append(3)
    data = example.SerializeToString()
    demand = demand_of(signature(x=types_pb2.DT_STRING), {"x": strings(1, data)}, 0, 1)
    assert demand.row_bytes.tolist() == [4 * (24 + len(data)) + PIXELS * 12 + COLUMNS]


def test_arrays_of_pictures_count_their_resizing() -> None:
    proto = tensor_pb2.TensorProto(dtype=types_pb2.DT_UINT8, int_val=[1])
    for size in (5, 7, 11, 3):
        proto.tensor_shape.dim.add(size=size)
    demand = demand_of(signature(x=types_pb2.DT_UINT8), {"x": proto}, 0, 5)
    assert demand.row_bytes.tolist() == [2 * 7 * 11 * 3 + 11 * BYTES_PER_COLUMN] * 5


def test_more_rows_than_the_limit_are_refused_with_both_numbers() -> None:
    with pytest.raises(ServingError, match="has 101 rows; the limit is 100") as error:
        demand_of(signature(x=types_pb2.DT_STRING), {"x": strings(101, b"")}, 0, 100)
    assert error.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_files_of_very_many_parts_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demand_module, "MOST_PARTS", 50)
    with pytest.raises(ServingError, match="more than 50 parts") as error:
        demand_of(signature(x=types_pb2.DT_STRING), {"x": strings(1, b"\x0a\x00" * 51)}, 0, 1)
    assert error.value.code == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_only_free_and_equal_rows_can_be_cut() -> None:
    both = {"x": types_pb2.DT_STRING, "y": types_pb2.DT_STRING}
    even, uneven = {"x": strings(4, b"a"), "y": strings(4, b"b")}, {"x": strings(4, b"a"), "y": strings(3, b"b")}
    assert demand_of(signature(**both), even, 10, 9).can_be_cut
    for definition, inputs in ((signature(**both), uneven), (signature(free=False, **both), even)):
        whole = demand_of(definition, inputs, 10, 9)
        assert not whole.can_be_cut
        assert len(whole.row_bytes) == 1
    assert demand_of(signature(**both), uneven, 10, 9).row_bytes[0] == 4 * 10 + 7 * 4 * 25


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([1, 1, 1], [(0, 3)]),
        ([4, 4, 4, 4], [(0, 2), (2, 4)]),
        ([20, 1, 1, 9, 20], [(0, 1), (1, 3), (3, 4), (4, 5)]),
        ([0, 20, 0, 0], [(0, 2), (2, 4)]),
    ],
)
def test_pieces_are_consecutive_and_fit(rows: list[int], expected: list[tuple[int, int]]) -> None:
    demand = Demand(len(rows), 0, np.array(rows, np.float64))
    pieces = [(piece.start, piece.stop) for piece in demand.pieces(10)]
    assert pieces == expected
    assert sum(demand.piece_bytes(slice(*piece)) for piece in pieces) == sum(rows)
