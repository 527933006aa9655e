from __future__ import annotations

import gzip

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tinygrad_np.data import DataError, parse_idx, read_idx

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def idx(code: int, array: np.ndarray) -> bytes:
    header = bytes([0, 0, code, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return header + array.astype(TYPES[code]).tobytes()


@st.composite
def files(draw: st.DrawFn) -> tuple[bytes, np.ndarray]:
    code = draw(st.sampled_from(list(TYPES)))
    shapes = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
    array = draw(hnp.arrays(np.dtype(TYPES[code]).newbyteorder("="), shapes))
    return idx(code, array), array


@given(files())
def test_any_shape_and_dtype_comes_back(file):
    content, array = file
    parsed = parse_idx(content)
    assert parsed.dtype == array.dtype
    assert parsed.dtype.isnative
    assert parsed.flags.writeable
    np.testing.assert_array_equal(parsed, array, strict=True)


@given(files(), st.data())
def test_a_wrong_length_is_an_error(file, data):
    content, _ = file
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    with pytest.raises(DataError, match=r"labels (is cut short|is not an IDX file)"):
        parse_idx(cut, "labels")
    with pytest.raises(DataError, match="labels is too long"):
        parse_idx(content + data.draw(st.binary(min_size=1, max_size=9)), "labels")


@given(files(), st.data())
def test_a_wrong_header_is_never_another_shape(file, data):
    content, array = file
    at = data.draw(st.integers(0, 3 + 4 * array.ndim))
    altered = bytearray(content)
    altered[at] ^= data.draw(st.integers(1, 255))
    try:
        parsed = parse_idx(bytes(altered))
    except DataError:
        return
    # Some headers fit as well, such as another type of the same size; they still account for every byte.
    assert 4 + 4 * parsed.ndim + parsed.nbytes == len(content)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "digits is not an IDX file: it begins with nothing"),
        (b"PK\x03\x04....", "digits is not an IDX file: it begins with 50 4b 03 04"),
        (b"\0\0\x0a\1\0\0\0\0", "begins with 00 00 0a 01, where 00 00, a type (08, 09, 0b"),
        (b"\0\0\x08\2\0\0\0\1", "digits is cut short: 8 bytes, where the header alone takes 12"),
        (b"\0\0\x0b\1\0\0\0\2?", "9 bytes, where its header (shape (2,), int16) promises 12"),
        (b"\0\0\x08\x41" + b"\0\0\0\1" * 65 + b"?", "digits has 65 dimensions"),
    ],
)
def test_errors_say_what_was_found_and_what_was_expected(content, complaint):
    with pytest.raises(DataError) as caught:
        parse_idx(content, "digits")
    assert complaint in str(caught.value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files(), st.booleans())
def test_files_are_read_compressed_or_not(tmp_path, file, compressed):
    content, array = file
    path = tmp_path / "name-says-nothing"
    path.write_bytes(gzip.compress(content) if compressed else content)
    np.testing.assert_array_equal(read_idx(path), array, strict=True)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(files(), st.data())
def test_a_damaged_compressed_file_is_an_error(tmp_path, file, data):
    content, array = file
    raw = bytearray(gzip.compress(content))
    if data.draw(st.booleans(), label="cut short"):
        del raw[data.draw(st.integers(0, len(raw) - 1), label="length") :]
    else:
        raw[data.draw(st.integers(0, len(raw) - 1), label="at")] ^= data.draw(st.integers(1, 255), label="flip")
    path = tmp_path / "digits.gz"
    path.write_bytes(raw)
    complaint = None
    try:
        found = read_idx(path)
    except DataError as error:
        complaint = str(error)
    if complaint is None:
        # Some bytes of a gzip header, such as its time of day, mean nothing for the content.
        np.testing.assert_array_equal(found, array, strict=True)
    else:
        assert str(path) in complaint


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent"):
        read_idx(tmp_path / "absent")
