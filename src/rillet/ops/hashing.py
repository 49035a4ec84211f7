"""Hash functions of strings: FarmHash's Fingerprint64 (Geoff Pike's public algorithm), SipHash-2-4 (Aumasson and
Bernstein 2012) and MurmurHash64A (Austin Appleby's public algorithm). Integers are unsigned 64-bit."""

from __future__ import annotations

_MASK = (1 << 64) - 1
_K0, _K1, _K2 = 0xC3A5C85C97CB3127, 0xB492B66FBE98F273, 0x9AE16A3B2F90404F


def _word(data: bytes, start: int) -> int:
    return int.from_bytes(data[start : start + 8], "little")


def _half(data: bytes, start: int) -> int:
    return int.from_bytes(data[start : start + 4], "little")


def _rotate(value: int, shift: int) -> int:
    return ((value >> shift) | (value << (64 - shift))) & _MASK if shift else value


def _shift_mix(value: int) -> int:
    return value ^ (value >> 47)


def _mix(u: int, v: int, multiplier: int = 0x9DDFEA08EB382D69) -> int:
    a = ((u ^ v) * multiplier) & _MASK
    a ^= a >> 47
    b = ((v ^ a) * multiplier) & _MASK
    b ^= b >> 47
    return (b * multiplier) & _MASK


def _up_to_16(data: bytes) -> int:
    size = len(data)
    if size >= 8:
        multiplier = (_K2 + size * 2) & _MASK
        a = (_word(data, 0) + _K2) & _MASK
        b = _word(data, size - 8)
        c = (_rotate(b, 37) * multiplier + a) & _MASK
        d = ((_rotate(a, 25) + b) * multiplier) & _MASK
        return _mix(c, d, multiplier)
    if size >= 4:
        multiplier = (_K2 + size * 2) & _MASK
        a = _half(data, 0)
        return _mix((size + (a << 3)) & _MASK, _half(data, size - 4), multiplier)
    if size > 0:
        y = (data[0] + (data[size >> 1] << 8)) & 0xFFFFFFFF
        z = (size + (data[-1] << 2)) & 0xFFFFFFFF
        return (_shift_mix((y * _K2 ^ z * _K0) & _MASK) * _K2) & _MASK
    return _K2


def _17_to_32(data: bytes) -> int:
    size = len(data)
    multiplier = (_K2 + size * 2) & _MASK
    a = (_word(data, 0) * _K1) & _MASK
    b = _word(data, 8)
    c = (_word(data, size - 8) * multiplier) & _MASK
    d = (_word(data, size - 16) * _K2) & _MASK
    u = (_rotate((a + b) & _MASK, 43) + _rotate(c, 30) + d) & _MASK
    v = (a + _rotate((b + _K2) & _MASK, 18) + c) & _MASK
    return _mix(u, v, multiplier)


def _33_to_64(data: bytes) -> int:
    size = len(data)
    multiplier = (_K2 + size * 2) & _MASK
    a = (_word(data, 0) * _K2) & _MASK
    b = _word(data, 8)
    c = (_word(data, size - 8) * multiplier) & _MASK
    d = (_word(data, size - 16) * _K2) & _MASK
    y = (_rotate((a + b) & _MASK, 43) + _rotate(c, 30) + d) & _MASK
    z = _mix(y, (a + _rotate((b + _K2) & _MASK, 18) + c) & _MASK, multiplier)
    e = (_word(data, 16) * multiplier) & _MASK
    f = _word(data, 24)
    g = ((y + _word(data, size - 32)) * multiplier) & _MASK
    h = ((z + _word(data, size - 24)) * multiplier) & _MASK
    u = (_rotate((e + f) & _MASK, 43) + _rotate(g, 30) + h) & _MASK
    v = (e + _rotate((f + a) & _MASK, 18) + g) & _MASK
    return _mix(u, v, multiplier)


def _weak(data: bytes, start: int, a: int, b: int) -> tuple[int, int]:
    w, x, y, z = (_word(data, start + 8 * index) for index in range(4))
    a = (a + w) & _MASK
    b = _rotate((b + a + z) & _MASK, 21)
    c = a
    a = (a + x + y) & _MASK
    b = (b + _rotate(a, 44)) & _MASK
    return (a + z) & _MASK, (b + c) & _MASK


def fingerprint64(data: bytes) -> int:
    """FarmHash Fingerprint64: stable across machines and versions."""
    size = len(data)
    if size <= 16:
        return _up_to_16(data)
    if size <= 32:
        return _17_to_32(data)
    if size <= 64:
        return _33_to_64(data)
    seed = 81
    x, y = seed, (seed * _K1 + 113) & _MASK
    z = (_shift_mix((y * _K2 + 113) & _MASK) * _K2) & _MASK
    v, w = (0, 0), (0, 0)
    x = (x * _K2 + _word(data, 0)) & _MASK
    end = ((size - 1) // 64) * 64
    last = end + ((size - 1) & 63) - 63
    for start in range(0, end, 64):
        x = (_rotate((x + y + v[0] + _word(data, start + 8)) & _MASK, 37) * _K1) & _MASK
        y = (_rotate((y + v[1] + _word(data, start + 48)) & _MASK, 42) * _K1) & _MASK
        x ^= w[1]
        y = (y + v[0] + _word(data, start + 40)) & _MASK
        z = (_rotate((z + w[0]) & _MASK, 33) * _K1) & _MASK
        v = _weak(data, start, (v[1] * _K1) & _MASK, (x + w[0]) & _MASK)
        w = _weak(data, start + 32, (z + w[1]) & _MASK, (y + _word(data, start + 16)) & _MASK)
        z, x = x, z
    multiplier = (_K1 + ((z & 0xFF) << 1)) & _MASK
    start = last
    w = ((w[0] + ((size - 1) & 63)) & _MASK, w[1])
    v = ((v[0] + w[0]) & _MASK, v[1])
    w = ((w[0] + v[0]) & _MASK, w[1])
    x = (_rotate((x + y + v[0] + _word(data, start + 8)) & _MASK, 37) * multiplier) & _MASK
    y = (_rotate((y + v[1] + _word(data, start + 48)) & _MASK, 42) * multiplier) & _MASK
    x ^= (w[1] * 9) & _MASK
    y = (y + v[0] * 9 + _word(data, start + 40)) & _MASK
    z = (_rotate((z + w[0]) & _MASK, 33) * multiplier) & _MASK
    v = _weak(data, start, (v[1] * multiplier) & _MASK, (x + w[0]) & _MASK)
    w = _weak(data, start + 32, (z + w[1]) & _MASK, (y + _word(data, start + 16)) & _MASK)
    z, x = x, z
    left = (_mix(v[0], w[0], multiplier) + _shift_mix(y) * _K0 + z) & _MASK
    right = (_mix(v[1], w[1], multiplier) + x) & _MASK
    return _mix(left, right, multiplier)


def siphash(key: tuple[int, int], data: bytes) -> int:
    """SipHash-2-4 with a 128-bit key given as two 64-bit integers."""
    v = [
        key[0] ^ 0x736F6D6570736575,
        key[1] ^ 0x646F72616E646F6D,
        key[0] ^ 0x6C7967656E657261,
        key[1] ^ 0x7465646279746573,
    ]

    def rounds(count: int) -> None:
        for _ in range(count):
            v[0] = (v[0] + v[1]) & _MASK
            v[1] = _rotate(v[1], 64 - 13) ^ v[0]
            v[0] = _rotate(v[0], 32)
            v[2] = (v[2] + v[3]) & _MASK
            v[3] = _rotate(v[3], 64 - 16) ^ v[2]
            v[0] = (v[0] + v[3]) & _MASK
            v[3] = _rotate(v[3], 64 - 21) ^ v[0]
            v[2] = (v[2] + v[1]) & _MASK
            v[1] = _rotate(v[1], 64 - 17) ^ v[2]
            v[2] = _rotate(v[2], 32)

    whole = len(data) - len(data) % 8
    words = [_word(data, start) for start in range(0, whole, 8)]
    words.append(int.from_bytes(data[whole:], "little") | (len(data) & 0xFF) << 56)
    for word in words:
        v[3] ^= word
        rounds(2)
        v[0] ^= word
    v[2] ^= 0xFF
    rounds(4)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def murmur64(data: bytes, seed: int = 0xDECAFCAFFE) -> int:
    """MurmurHash64A."""
    multiplier = 0xC6A4A7935BD1E995
    result = seed ^ ((len(data) * multiplier) & _MASK)
    whole = len(data) & ~7
    for start in range(0, whole, 8):
        word = (_word(data, start) * multiplier) & _MASK
        word = ((word ^ (word >> 47)) * multiplier) & _MASK
        result = ((result ^ word) * multiplier) & _MASK
    if whole < len(data):
        result = ((result ^ int.from_bytes(data[whole:], "little")) * multiplier) & _MASK
    result = ((result ^ (result >> 47)) * multiplier) & _MASK
    return result ^ (result >> 47)
